//! Preconditions of a request: `If-None-Match` and `If-Modified-Since` (RFC 9110, section 13).

use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::ETag;

/// The validators of the copy that the client has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    etags: Vec<String>,
    modified_since: Option<Timestamp>,
}

impl Preconditions {
    /// Reads the preconditions of a GET or HEAD request. `If-Modified-Since` is ignored if there is an `If-None-Match`
    /// (section 13.1.3).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let etags: Vec<String> = headers.get_all(header::IF_NONE_MATCH).iter().flat_map(parse_etags).collect();
        let since = headers.get(header::IF_MODIFIED_SINCE).filter(|_| !headers.contains_key(header::IF_NONE_MATCH));
        let since = since.and_then(|since| httpdate::parse_http_date(since.to_str().ok()?).ok());
        Self { etags, modified_since: since.and_then(|since| Timestamp::try_from(since).ok()) }
    }

    /// Whether `If-None-Match` lists the ETag. If so, the client has received this representation before.
    #[must_use]
    pub fn lists(&self, etag: &ETag) -> bool {
        self.etags.iter().any(|listed| listed == etag.as_str())
    }

    /// Whether the client's copy of a representation is current, so that the response is 304. The representation must
    /// exist: `*` and a date match any representation, but say nothing about an error response (section 13.2.1).
    #[must_use]
    pub fn is_not_modified(&self, etag: &ETag, modified_at: Option<Timestamp>) -> bool {
        let any = self.etags.iter().any(|listed| listed == "*");
        // `Last-Modified` has no fractions of a second.
        let is_older = |(since, at): (Timestamp, Timestamp)| at.as_second() <= since.as_second();
        any || self.lists(etag) || self.modified_since.zip(modified_at).is_some_and(is_older)
    }
}

/// The ETags of one header value, without the prefix `W/`: comparison is weak (section 13.1.2).
fn parse_etags(value: &axum::http::HeaderValue) -> Vec<String> {
    let text = value.to_str().unwrap_or_default();
    // ETags of this service contain no comma, and others need not match.
    let etags = text.split(',').map(str::trim).filter(|etag| !etag.is_empty());
    etags.map(|etag| etag.strip_prefix("W/").unwrap_or(etag).to_owned()).collect()
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
