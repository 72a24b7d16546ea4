//! Preconditions of a request (RFC 9110, section 13): `If-Match`, `If-Unmodified-Since`, `If-None-Match` and
//! `If-Modified-Since`.

use std::time::SystemTime;

use axum::{
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use super::ETag;
use crate::api::problem::{Problem, ProblemCode};

/// The preconditions of a request, which compare the client's copy with the current representation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`; `None` without it.
    required: Option<Vec<String>>,
    /// `If-Unmodified-Since`.
    unmodified_since: Option<Timestamp>,
    /// `If-None-Match`.
    received: Vec<String>,
    /// `If-Modified-Since`.
    modified_since: Option<Timestamp>,
}

impl Preconditions {
    /// Reads the preconditions of a GET or HEAD request. A date is ignored if there is a condition on ETags of the same kind
    /// (sections 13.1.3 and 13.1.4).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let etags = |name: HeaderName| headers.get_all(name).iter().flat_map(parse_etags);
        let date = |name: HeaderName, etags: HeaderName| {
            let date = headers.get(name).filter(|_| !headers.contains_key(etags))?;
            Timestamp::try_from(httpdate::parse_http_date(date.to_str().ok()?).ok()?).ok()
        };
        Self {
            required: headers.contains_key(header::IF_MATCH).then(|| etags(header::IF_MATCH).collect()),
            unmodified_since: date(header::IF_UNMODIFIED_SINCE, header::IF_MATCH),
            // Comparison is weak (section 13.1.2).
            received: etags(header::IF_NONE_MATCH).map(|etag| etag.trim_start_matches("W/").to_owned()).collect(),
            modified_since: date(header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH),
        }
    }

    /// Whether `If-None-Match` lists the ETag, and no other precondition fails. If so, the client has received this
    /// representation before.
    #[must_use]
    pub fn lists(&self, etag: &ETag, modified_at: Option<Timestamp>) -> bool {
        !self.is_failed(etag, modified_at) && self.received.iter().any(|listed| listed == etag.as_str())
    }

    /// The response that the preconditions demand instead of the representation (section 13.2.2): 412 if it is not the one
    /// that the client requires, or `not_modified` if the client's copy is current. The representation must exist: `*` and a
    /// date match any representation, but say nothing about an error response (section 13.2.1).
    #[must_use]
    pub fn response(
        &self,
        etag: &ETag,
        modified_at: Option<Timestamp>,
        not_modified: impl FnOnce() -> Response,
    ) -> Option<Response> {
        if self.is_failed(etag, modified_at) {
            let detail = "the representation has changed, or has another ETag in this format and content coding";
            return Some(Problem::new(ProblemCode::PreconditionFailed, detail).into_response());
        }
        self.is_not_modified(etag, modified_at).then(not_modified)
    }

    fn is_failed(&self, etag: &ETag, modified_at: Option<Timestamp>) -> bool {
        // Comparison is strong (section 13.1.1).
        let is_other = |required: &Vec<String>| !required.iter().any(|one| one == "*" || one == etag.as_str());
        let is_newer = |(since, at)| is_after(at, since);
        self.required.as_ref().is_some_and(is_other) || self.unmodified_since.zip(modified_at).is_some_and(is_newer)
    }

    fn is_not_modified(&self, etag: &ETag, modified_at: Option<Timestamp>) -> bool {
        let is_older = |(since, at)| !is_after(at, since);
        self.received.iter().any(|listed| listed == "*" || listed == etag.as_str())
            || self.modified_since.zip(modified_at).is_some_and(is_older)
    }
}

/// Whether `at` is later than the date of a header: dates have no fractions of a second.
fn is_after(at: Timestamp, date: Timestamp) -> bool {
    at.as_second() > date.as_second()
}

/// The ETags of one header value.
fn parse_etags(value: &axum::http::HeaderValue) -> Vec<String> {
    let text = value.to_str().unwrap_or_default();
    // ETags of this service contain no comma, and others need not match.
    let etags = text.split(',').map(str::trim).filter(|etag| !etag.is_empty());
    etags.map(str::to_owned).collect()
}

/// Formats an instant as an HTTP date (IMF-fixdate).
#[must_use]
pub fn http_date(at: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::from(at))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::caching::ContentEncoding;

    fn etag() -> ETag {
        ETag::new(b"1", "/", "json", ContentEncoding::Identity)
    }

    fn is_current(name: header::HeaderName, value: &str) -> bool {
        let at = "2026-11-22T04:00:00.75Z".parse().ok();
        Preconditions::from_headers(&HeaderMap::from_iter([(name, value.parse().unwrap())]))
            .is_not_modified(&etag(), at)
    }

    #[rstest]
    #[case("*", true)]
    #[case("TAG", true)]
    #[case("\"other\", W/TAG", true)]
    #[case("\"other\"", false)]
    #[case("", false)]
    fn a_listed_etag_matches(#[case] value: &str, #[case] expected: bool) {
        assert_eq!(is_current(header::IF_NONE_MATCH, &value.replace("TAG", etag().as_str())), expected);
    }

    #[rstest]
    #[case("Sun, 22 Nov 2026 04:00:00 GMT", true)]
    #[case("Sun, 22 Nov 2026 03:59:59 GMT", false)]
    #[case("yesterday", false)]
    fn without_an_etag_the_date_decides(#[case] value: &str, #[case] expected: bool) {
        assert_eq!(is_current(header::IF_MODIFIED_SINCE, value), expected);
    }

    #[rstest]
    #[case(&[("if-match", "*")], false)]
    #[case(&[("if-match", "\"other\", TAG")], false)]
    #[case(&[("if-match", "\"other\"")], true)]
    #[case(&[("if-match", "W/TAG")], true)]
    #[case(&[("if-match", "")], true)]
    #[case(&[("if-match", "\"other\""), ("if-none-match", "TAG")], true)]
    #[case(&[("if-match", "\"other\""), ("if-unmodified-since", "Sun, 22 Nov 2026 04:00:00 GMT")], true)]
    #[case(&[("if-match", "TAG"), ("if-unmodified-since", "Sun, 22 Nov 2026 03:59:59 GMT")], false)]
    #[case(&[("if-unmodified-since", "Sun, 22 Nov 2026 04:00:00 GMT")], false)]
    #[case(&[("if-unmodified-since", "Sun, 22 Nov 2026 03:59:59 GMT")], true)]
    #[case(&[("if-unmodified-since", "yesterday")], false)]
    fn another_representation_than_the_required_one_fails(#[case] fields: &[(&str, &str)], #[case] expected: bool) {
        let field = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.replace("TAG", etag().as_str()).parse().unwrap())
        };
        let at = "2026-11-22T04:00:00.75Z".parse().ok();
        let preconditions = Preconditions::from_headers(&fields.iter().map(field).collect());
        let response = preconditions.response(&etag(), at, Response::default);
        let is_failed = response.is_some_and(|response| response.status() == 412);
        assert_eq!((is_failed, preconditions.is_failed(&etag(), at)), (expected, expected));
        assert!(!(expected && preconditions.lists(&etag(), at)), "it is not the client's copy that counts");
    }

    #[rstest]
    #[case(b"\"other\"")]
    #[case(b"")]
    #[case(b"\xff")]
    fn an_etag_takes_precedence_over_the_date(#[case] etags: &[u8]) {
        let headers = HeaderMap::from_iter([
            (header::IF_NONE_MATCH, etags.try_into().unwrap()),
            (header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 04:00:00 GMT".parse().unwrap()),
        ]);
        assert!(!Preconditions::from_headers(&headers).is_not_modified(&etag(), "2026-11-22T04:00:00Z".parse().ok()));
    }
}
