//! The parameters of `admin_user_stats`, read as upstream reads them: unknown ones are ignored, of repeated ones the
//! last counts, and empty ones count as not sent.

use std::{ops::RangeInclusive, str::FromStr};

use axum::{
    extract::Query as Pairs,
    http::{HeaderMap, HeaderName, Uri},
};
use utoipa::{IntoParams, ToSchema};

use super::{Failure, page_token};
use crate::{
    api::cursor::Cursor,
    model::{Day, DayRange, DepartmentIdType, Geo, Scope, UserIdType},
    query::{Query, Span},
    table::Selection,
};

/// Asks for more than upstream can do: longer spans and larger pages.
const EXTENDED: HeaderName = HeaderName::from_static("x-pulse-extended");

/// The longest id that is accepted, in bytes.
const LONGEST_ID: usize = 512;

const DEFAULT_PAGE_SIZE: usize = 10;

/// The query parameters, for the documentation.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `StatsQuery::read` reads")]
pub struct StatsParams {
    /// Which ids rows carry, and which kind `user_id` is. Default: `open_id`.
    #[param(inline)]
    user_id_type: Option<UserIdKind>,
    /// What kind of id `department_id` is. Default: `open_department_id`.
    #[param(inline)]
    department_id_type: Option<DepartmentIdKind>,
    /// First day, inclusive (`YYYY-MM-DD`).
    #[param(example = "2026-11-01", format = Date)]
    start_date: String,
    /// Last day, inclusive; at most 31 days, with `X-Pulse-Extended` ten years.
    #[param(example = "2026-11-07", format = Date)]
    end_date: String,
    /// A department and all below it.
    department_id: Option<String>,
    /// One person.
    user_id: Option<String>,
    /// Rows a page: at most 60, with `X-Pulse-Extended` 10,000. Default: 10.
    #[param(minimum = 1, maximum = 10_000, example = 60)]
    page_size: Option<usize>,
    /// The `page_token` of the page before, of the same question.
    page_token: Option<String>,
    /// One of the geos that are served here. Default: the tenant's own.
    #[param(inline)]
    target_geo: Option<GeoName>,
}

/// The header, for the documentation.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents what `Limits::of` reads")]
pub struct ExtendedHeader {
    /// `1`: accept spans of up to ten years and pages of up to 10,000 rows, which Feishu itself does not.
    #[param(rename = "X-Pulse-Extended")]
    extended: Option<String>,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, clippy::enum_variant_names, reason = "documents what is read; the names are upstream's")]
enum UserIdKind {
    OpenId,
    UnionId,
    UserId,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what is read")]
enum DepartmentIdKind {
    OpenDepartmentId,
    DepartmentId,
}

#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what is read")]
enum GeoName {
    Cn,
    Us,
    Sg,
    Jp,
}

/// A call as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// The question.
    pub query: Query,
    /// Rows a page.
    pub page_size: usize,
    /// Where the page begins; `None` for the first.
    pub from: Option<Cursor>,
    /// What page tokens of this question are bound to.
    pub question: [u8; 8],
}

/// What is served here.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The geos, the tenant's own first.
    pub geos: &'a [Geo],
    /// Whether the wider limits count for everyone.
    pub extended: bool,
}

/// How much one call may ask for.
#[derive(Clone, Debug)]
struct Limits {
    days: usize,
    page_size: RangeInclusive<usize>,
}

/// The pairs of a query string.
struct Fields(Vec<(String, String)>);

impl StatsQuery {
    /// Reads a call.
    ///
    /// # Errors
    /// The first parameter that is no good, in upstream's words.
    pub fn read(uri: &Uri, headers: &HeaderMap, served: &Served<'_>) -> Result<Self, Failure> {
        let pairs = Pairs::try_from_uri(uri).map_err(|_| Failure::invalid("query", "is not a query string"))?;
        let (fields, limits) = (Fields(pairs.0), Limits::of(headers, served.extended));
        let query = fields.query(&limits, served.geos)?;
        let question = page_token::question(&query);
        Ok(Self {
            page_size: fields.page_size(&limits)?,
            from: fields.text("page_token").map(|token| page_token::read(token, question)).transpose()?,
            question,
            query,
        })
    }
}

impl Limits {
    const UPSTREAMS: Self = Self { days: 31, page_size: 1..=60 };
    const EXTENDED: Self = Self { days: 3660, page_size: 1..=10_000 };

    fn of(headers: &HeaderMap, extended: bool) -> Self {
        if extended || headers.get(EXTENDED).is_some_and(|value| value == "1") {
            Self::EXTENDED
        } else {
            Self::UPSTREAMS
        }
    }
}

impl Fields {
    fn query(&self, limits: &Limits, served: &[Geo]) -> Result<Query, Failure> {
        let span = self.span(limits)?;
        let geo = self.geo(served)?;
        let user_id_type: UserIdType = self.parsed("user_id_type")?.unwrap_or_default();
        let department_id_type: DepartmentIdType = self.parsed("department_id_type")?.unwrap_or_default();
        let (department_id, user_id) = (self.id("department_id")?, self.id("user_id")?);
        let scope = match (department_id, user_id) {
            (Some(id), _) => Scope::Department(department_id_type, id.into()),
            (None, Some(id)) => Scope::User(id.into()),
            (None, None) => Scope::Everyone,
        };
        let selection = Selection { user_id: user_id.map(str::to_owned), ..Selection::default() };
        Ok(Query { span: Span::Days(span), geos: vec![geo], user_id_type, scope, selection, lead: 0 })
    }

    fn span(&self, limits: &Limits) -> Result<DayRange, Failure> {
        let (first, last) = (self.day("start_date")?, self.day("end_date")?);
        let span = DayRange::new(first, last).ok_or_else(|| Failure::invalid("end_date", "comes before start_date"))?;
        let too_long = || Failure::invalid("end_date", format!("makes it more than {} days", limits.days));
        (span.len() <= limits.days).then_some(span).ok_or_else(too_long)
    }

    fn day(&self, name: &'static str) -> Result<Day, Failure> {
        self.parsed(name)?.ok_or_else(|| Failure::invalid(name, "is missing"))
    }

    fn geo(&self, served: &[Geo]) -> Result<Geo, Failure> {
        let wanted: Option<Geo> = self.parsed("target_geo")?;
        let geo = wanted.or_else(|| served.first().copied());
        geo.filter(|geo| served.contains(geo)).ok_or_else(Failure::geo_not_served)
    }

    fn page_size(&self, limits: &Limits) -> Result<usize, Failure> {
        let Some(text) = self.text("page_size") else { return Ok(DEFAULT_PAGE_SIZE) };
        let allowed = &limits.page_size;
        let size = text.parse().ok().filter(|size| allowed.contains(size));
        let wrong = || format!("is not a whole number from {} to {}", allowed.start(), allowed.end());
        size.ok_or_else(|| Failure::invalid("page_size", wrong()))
    }

    fn id(&self, name: &'static str) -> Result<Option<&str>, Failure> {
        let id = self.text(name);
        let is_sound = id.is_none_or(|id| id.len() <= LONGEST_ID && !id.chars().any(char::is_control));
        is_sound.then_some(id).ok_or_else(|| Failure::invalid(name, "is no id"))
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error: T::Err| Failure::invalid(name, format!("is wrong: {error}")))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let sent = self.0.iter().rev().find(|(key, value)| key == name && !value.is_empty());
        sent.map(|(_, value)| value.as_str())
    }
}
