//! The parameters of `admin_user_stats`, validated as strictly as upstream does.

use std::str::FromStr;

use axum::{extract::Query, http::Uri};

use super::failure::Failure;
use crate::{
    model::{Day, DayRange, DepartmentIdType, Geo, UserIdType},
    sim::chance::{mix, mix_text},
};

/// The most days of one call, counted with both ends.
const LONGEST_SPAN: usize = 31;

/// A valid stats call's parameters, as the ledger shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// The days asked for.
    pub span: DayRange,
    /// The geo asked for; `None` means the tenant's own.
    pub target_geo: Option<Geo>,
    /// The type of user ids, in rows and in `user_id`.
    pub user_id_type: UserIdType,
    /// The type of `department_id`.
    pub department_id_type: DepartmentIdType,
    /// The department asked for.
    pub department_id: Option<String>,
    /// The person asked for.
    pub user_id: Option<String>,
    /// Rows per page, `1..=60`.
    pub page_size: usize,
    /// Which page, as an earlier reply named it; `None` for the first.
    pub page_token: Option<String>,
}

impl StatsQuery {
    /// Reads a query string. Unknown parameters are ignored, of repeated ones the last one counts, and empty ones count
    /// as not sent.
    pub(crate) fn read(uri: &Uri) -> Result<Self, Failure> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Failure::invalid("query"))?;
        let fields = Fields(&pairs.0);
        let first: Day = fields.required("start_date")?;
        let last: Day = fields.required("end_date")?;
        let span = DayRange::new(first, last).filter(|span| span.len() <= LONGEST_SPAN);
        let page_size = fields.optional("page_size")?.unwrap_or(10);
        Ok(Self {
            span: span.ok_or_else(|| Failure::invalid("end_date"))?,
            target_geo: fields.optional("target_geo")?,
            user_id_type: fields.optional("user_id_type")?.unwrap_or_default(),
            department_id_type: fields.optional("department_id_type")?.unwrap_or_default(),
            department_id: fields.optional("department_id")?,
            user_id: fields.optional("user_id")?,
            page_size: Some(page_size)
                .filter(|size| (1..=60).contains(size))
                .ok_or_else(|| Failure::invalid("page_size"))?,
            page_token: fields.optional("page_token")?,
        })
    }

    /// A number for everything but the page token: what a page token belongs to.
    pub(crate) fn fingerprint(&self) -> u64 {
        let days = format!("{}/{}", self.span, self.target_geo.map_or("", Geo::name));
        let kinds = [self.user_id_type.name(), self.department_id_type.name()];
        let ids = [self.department_id.as_deref(), self.user_id.as_deref()].map(|id| id.map_or(0, mix_text));
        mix(&[mix_text(&days), mix_text(kinds[0]), mix_text(kinds[1]), ids[0], ids[1], self.page_size as u64])
    }
}

/// The pairs of a query string.
struct Fields<'a>(&'a [(String, String)]);

impl Fields<'_> {
    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Failure> {
        let sent = self.0.iter().rev().find(|(key, value)| key == name && !value.is_empty());
        sent.map(|(_, value)| value.parse().map_err(|_| Failure::invalid(name))).transpose()
    }

    fn required<T: FromStr>(&self, name: &'static str) -> Result<T, Failure> {
        self.optional(name)?.ok_or_else(|| Failure::invalid(name))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(query: &str) -> Result<StatsQuery, Failure> {
        StatsQuery::read(&format!("/stats?{query}").parse().expect("a URI"))
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
    fn what_is_no_good_is_named(#[case] query: &str, #[case] field: &str) {
        assert_eq!(read(query).expect_err("no good").field, Some(field));
    }

    #[test]
    fn what_is_left_out_has_upstreams_defaults() {
        let query = read("start_date=2026-10-01&end_date=2026-10-31&page_token=&colour=red").expect("a good query");

        assert_eq!((query.span.len(), query.page_size, query.page_token), (31, 10, None));
        assert_eq!((query.user_id_type, query.target_geo), (UserIdType::OpenId, None));
    }

    #[test]
    fn queries_that_differ_have_different_fingerprints() {
        let plain = "start_date=2026-10-01&end_date=2026-10-02";
        let extras = ["", "&page_size=11", "&target_geo=cn", "&user_id=a", "&department_id=a", "&user_id_type=user_id"];

        let queries = extras.map(|extra| read(&format!("{plain}{extra}")).expect("a good query").fingerprint());

        for (place, fingerprint) in queries.iter().enumerate() {
            assert!(!queries[..place].contains(fingerprint), "{}", extras[place]);
        }
        assert_eq!(read(&format!("{plain}&page_token=2")).expect("a good query").fingerprint(), queries[0]);
    }
}
