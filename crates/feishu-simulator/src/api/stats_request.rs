//! The parameters of `admin_user_stats`, validated as Feishu documents them.

use std::{ops::RangeInclusive, str::FromStr};

use axum::{extract::Query, http::Uri};
use jiff::civil::Date;

use super::api_error::ApiError;
use crate::{
    DepartmentIdKind, TenantGeo, UserIdKind,
    date::{days_between, parse_date},
    seeded_rng::{hash_parts, hash_text},
};

/// The longest date range of a call, including both ends.
const MAX_DAYS_PER_CALL: i32 = 31;

/// The valid parameters of a call to `admin_user_stats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsRequest {
    /// The date range, including both ends.
    pub days: RangeInclusive<Date>,
    /// The requested geo; `None` means the tenant's home geo.
    pub target_geo: Option<TenantGeo>,
    /// The kind of user id in the rows and in `user_id`.
    pub user_id_type: UserIdKind,
    /// The kind of `department_id`.
    pub department_id_type: DepartmentIdKind,
    /// Only rows of this department and the departments below it.
    pub department_id: Option<String>,
    /// Only rows of this person.
    pub user_id: Option<String>,
    /// Rows per page, `1..=60`.
    pub page_size: usize,
    /// The page token of an earlier reply; `None` for the first page.
    pub page_token: Option<String>,
}

impl StatsRequest {
    /// Parses a query string. Unknown parameters and empty values are ignored; of a repeated parameter the last value
    /// counts.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let pairs =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| ApiError::invalid_parameter("query"))?;
        let fields = QueryPairs(&pairs.0);
        let (first, last) = (fields.date("start_date")?, fields.date("end_date")?);
        let is_valid = (1..=MAX_DAYS_PER_CALL).contains(&(days_between(first, last) + 1));
        let page_size = fields.optional("page_size")?.unwrap_or(10);
        Ok(Self {
            days: is_valid.then_some(first..=last).ok_or_else(|| ApiError::invalid_parameter("end_date"))?,
            target_geo: fields.optional("target_geo")?,
            user_id_type: fields.optional("user_id_type")?.unwrap_or_default(),
            department_id_type: fields.optional("department_id_type")?.unwrap_or_default(),
            department_id: fields.optional("department_id")?,
            user_id: fields.optional("user_id")?,
            page_size: Some(page_size)
                .filter(|size| (1..=60).contains(size))
                .ok_or_else(|| ApiError::invalid_parameter("page_size"))?,
            page_token: fields.optional("page_token")?,
        })
    }

    /// A hash of all parameters except the page token. A page token is bound to it.
    pub(crate) fn fingerprint(&self) -> u64 {
        let days =
            format!("{}..{}/{}", self.days.start(), self.days.end(), self.target_geo.map_or("", TenantGeo::name));
        let kinds = [self.user_id_type.name(), self.department_id_type.name()];
        let ids = [self.department_id.as_deref(), self.user_id.as_deref()].map(|id| id.map_or(0, hash_text));
        hash_parts(&[hash_text(&days), hash_text(kinds[0]), hash_text(kinds[1]), ids[0], ids[1], self.page_size as u64])
    }
}

/// The key-value pairs of a query string.
struct QueryPairs<'a>(&'a [(String, String)]);

impl QueryPairs<'_> {
    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let sent = self.0.iter().rev().find(|(key, value)| key == name && !value.is_empty());
        sent.map(|(_, value)| value.parse().map_err(|_| ApiError::invalid_parameter(name))).transpose()
    }

    fn date(&self, name: &'static str) -> Result<Date, ApiError> {
        let text: Option<String> = self.optional(name)?;
        text.as_deref().and_then(parse_date).ok_or_else(|| ApiError::invalid_parameter(name))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(query: &str) -> Result<StatsRequest, ApiError> {
        StatsRequest::parse(&format!("/stats?{query}").parse().expect("a URI"))
    }

    #[rstest]
    #[case("", "start_date")]
    #[case("start_date=2026-11-01", "end_date")]
    #[case("start_date=2026-11-1&end_date=2026-11-02", "start_date")]
    #[case("start_date=2026-02-01&end_date=2026-02-30", "end_date")]
    #[case("start_date=2026-11-02&end_date=2026-11-01", "end_date")]
    #[case("start_date=2026-10-01&end_date=2026-11-01", "end_date")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&page_size=0", "page_size")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&page_size=61", "page_size")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&page_size=ten", "page_size")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&user_id_type=email", "user_id_type")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&department_id_type=od", "department_id_type")]
    #[case("start_date=2026-11-01&end_date=2026-11-01&target_geo=de", "target_geo")]
    fn an_error_names_the_invalid_parameter(#[case] query: &str, #[case] field: &str) {
        assert_eq!(read(query).expect_err("an invalid parameter").field, Some(field));
    }

    #[test]
    fn missing_parameters_have_the_documented_defaults() {
        let query = read("start_date=2026-10-01&end_date=2026-10-31&page_token=&colour=red").expect("a valid query");

        assert_eq!(
            (days_between(*query.days.start(), *query.days.end()), query.page_size, query.page_token),
            (30, 10, None)
        );
        assert_eq!((query.user_id_type, query.target_geo), (UserIdKind::OpenId, None));
    }

    #[test]
    fn queries_that_differ_have_different_fingerprints() {
        let plain = "start_date=2026-10-01&end_date=2026-10-02";
        let extras = ["", "&page_size=11", "&target_geo=cn", "&user_id=a", "&department_id=a", "&user_id_type=user_id"];

        let queries = extras.map(|extra| read(&format!("{plain}{extra}")).expect("a valid query").fingerprint());

        for (index, fingerprint) in queries.iter().enumerate() {
            assert!(!queries[..index].contains(fingerprint), "{}", extras[index]);
        }
        assert_eq!(read(&format!("{plain}&page_token=2")).expect("a valid query").fingerprint(), queries[0]);
    }
}
