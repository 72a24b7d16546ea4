//! The parameters of `admin_user_stats`, parsed as Feishu does: unknown parameters are ignored, the last of repeated
//! parameters counts, and empty parameters count as missing (observed).

use std::{ops::RangeInclusive, str::FromStr};

use axum::{
    extract::Query as Pairs,
    http::{HeaderMap, HeaderName, Uri},
};
use utoipa::{IntoParams, ToSchema};

use super::{FeishuError, page_token};
use crate::{
    api::cursor::Cursor,
    model::{DataScope, Day, DayRange, DepartmentIdType, Geo, UserIdType},
    query::{Query, QueryDates},
    table::RowSelection,
};

/// Request header that allows longer ranges and larger pages than Feishu's.
const EXTENDED_LIMITS: HeaderName = HeaderName::from_static("x-pulse-extended");

/// Maximum length of an id in bytes.
const MAX_ID_BYTES: usize = 512;

const DEFAULT_PAGE_SIZE: usize = 10;

/// The query parameters, for the OpenAPI document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `StatsQuery::parse` parses")]
pub struct StatsParams {
    /// Type of the user ids in rows and of the parameter `user_id`. Default: `open_id`.
    #[param(inline)]
    user_id_type: Option<UserIdKind>,
    /// Type of `department_id`. Default: `open_department_id`.
    #[param(inline)]
    department_id_type: Option<DepartmentIdKind>,
    /// First day, inclusive (`YYYY-MM-DD`).
    #[param(example = "2026-11-01", format = Date)]
    start_date: String,
    /// Last day, inclusive. The range can span at most 31 days, with `X-Pulse-Extended` ten years.
    #[param(example = "2026-11-07", format = Date)]
    end_date: String,
    /// A department and its sub-departments.
    department_id: Option<String>,
    /// One person.
    user_id: Option<String>,
    /// Rows per page: at most 60, with `X-Pulse-Extended` 10,000. Default: 10.
    #[param(minimum = 1, maximum = 10_000, example = 60)]
    page_size: Option<usize>,
    /// `page_token` of the previous page of the same query.
    page_token: Option<String>,
    /// A geo that this instance serves. Default: the tenant's home geo.
    #[param(inline)]
    target_geo: Option<GeoName>,
}

/// The request header, for the OpenAPI document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents what `Limits::of` uses")]
pub struct ExtendedHeader {
    /// `1`: accept ranges of up to ten years and pages of up to 10,000 rows, beyond Feishu's limits.
    #[param(rename = "X-Pulse-Extended")]
    extended: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    clippy::enum_variant_names,
    reason = "documents what `StatsQuery::parse` parses; the names are Feishu's"
)]
enum UserIdKind {
    OpenId,
    UnionId,
    UserId,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `StatsQuery::parse` parses")]
enum DepartmentIdKind {
    OpenDepartmentId,
    DepartmentId,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `StatsQuery::parse` parses")]
enum GeoName {
    Cn,
    Us,
    Sg,
    Jp,
}

/// The parsed parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// The days and rows that the request needs.
    pub query: Query,
    /// Rows per page.
    pub page_size: usize,
    /// Start of the page; `None` for the first page.
    pub start: Option<Cursor>,
    /// The hash that page tokens of this query contain.
    pub query_hash: [u8; 8],
}

/// The settings of the drop-in API.
#[derive(Clone, Copy, Debug)]
pub struct DropInSettings<'a> {
    /// The geos that are served, the tenant's home geo first.
    pub geos: &'a [Geo],
    /// Whether the extended limits apply to all requests.
    pub extended: bool,
}

/// Limits of one request.
#[derive(Clone, Debug)]
struct Limits {
    days: usize,
    page_size: RangeInclusive<usize>,
}

/// The name and value pairs of the query string.
struct QueryPairs(Vec<(String, String)>);

impl StatsQuery {
    /// Parses the query string.
    ///
    /// # Errors
    /// The first invalid parameter.
    pub fn parse(uri: &Uri, headers: &HeaderMap, settings: &DropInSettings<'_>) -> Result<Self, FeishuError> {
        let pairs = Pairs::try_from_uri(uri)
            .map_err(|_| FeishuError::invalid_parameter("query", "is not a valid query string"))?;
        let (pairs, limits) = (QueryPairs(pairs.0), Limits::of(headers, settings.extended));
        let query = pairs.query(&limits, settings.geos)?;
        let query_hash = page_token::query_hash(&query);
        Ok(Self {
            page_size: pairs.page_size(&limits)?,
            start: pairs.text("page_token").map(|token| page_token::decode(token, query_hash)).transpose()?,
            query_hash,
            query,
        })
    }
}

impl Limits {
    const FEISHU: Self = Self { days: 31, page_size: 1..=60 };
    const EXTENDED: Self = Self { days: 3660, page_size: 1..=10_000 };

    fn of(headers: &HeaderMap, extended: bool) -> Self {
        if extended || headers.get(EXTENDED_LIMITS).is_some_and(|value| value == "1") {
            Self::EXTENDED
        } else {
            Self::FEISHU
        }
    }
}

impl QueryPairs {
    fn query(&self, limits: &Limits, served_geos: &[Geo]) -> Result<Query, FeishuError> {
        let range = self.range(limits)?;
        let geo = self.geo(served_geos)?;
        let user_id_type: UserIdType = self.parsed("user_id_type")?.unwrap_or_default();
        let department_id_type: DepartmentIdType = self.parsed("department_id_type")?.unwrap_or_default();
        let (department_id, user_id) = (self.id("department_id")?, self.id("user_id")?);
        let scope = match (department_id, user_id) {
            (Some(id), _) => DataScope::Department(department_id_type, id.into()),
            (None, Some(id)) => DataScope::User(id.into()),
            (None, None) => DataScope::Everyone,
        };
        let selection = RowSelection { user_id: user_id.map(str::to_owned), ..RowSelection::default() };
        Ok(Query { dates: QueryDates::Days(range), geos: vec![geo], user_id_type, scope, selection, lead_days: 0 })
    }

    fn range(&self, limits: &Limits) -> Result<DayRange, FeishuError> {
        let (first, last) = (self.day("start_date")?, self.day("end_date")?);
        let range = DayRange::new(first, last)
            .ok_or_else(|| FeishuError::invalid_parameter("end_date", "is before start_date"))?;
        let too_long =
            || FeishuError::invalid_parameter("end_date", format!("makes the range longer than {} days", limits.days));
        (range.len() <= limits.days).then_some(range).ok_or_else(too_long)
    }

    fn day(&self, name: &'static str) -> Result<Day, FeishuError> {
        self.parsed(name)?.ok_or_else(|| FeishuError::invalid_parameter(name, "is missing"))
    }

    fn geo(&self, served_geos: &[Geo]) -> Result<Geo, FeishuError> {
        let requested: Option<Geo> = self.parsed("target_geo")?;
        let geo = requested.or_else(|| served_geos.first().copied());
        geo.filter(|geo| served_geos.contains(geo)).ok_or_else(FeishuError::geo_not_served)
    }

    fn page_size(&self, limits: &Limits) -> Result<usize, FeishuError> {
        let Some(text) = self.text("page_size") else { return Ok(DEFAULT_PAGE_SIZE) };
        let allowed = &limits.page_size;
        let size = text.parse().ok().filter(|size| allowed.contains(size));
        let detail = || format!("is not a whole number from {} to {}", allowed.start(), allowed.end());
        size.ok_or_else(|| FeishuError::invalid_parameter("page_size", detail()))
    }

    fn id(&self, name: &'static str) -> Result<Option<&str>, FeishuError> {
        let id = self.text(name);
        let is_valid = id.is_none_or(|id| id.len() <= MAX_ID_BYTES && !id.chars().any(char::is_control));
        is_valid.then_some(id).ok_or_else(|| FeishuError::invalid_parameter(name, "is not a valid id"))
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<Option<T>, FeishuError> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| FeishuError::invalid_parameter(name, format!("is invalid: {error}")))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let pair = self.0.iter().rev().find(|(key, value)| key == name && !value.is_empty());
        pair.map(|(_, value)| value.as_str())
    }
}
