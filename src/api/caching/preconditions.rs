//! Whether the caller holds the answer already: `If-None-Match` and `If-Modified-Since` (RFC 9110, section 13).

use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::Tag;

/// What a caller holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    tags: Vec<String>,
    modified_since: Option<Timestamp>,
}

impl Conditions {
    /// Reads the conditions of a GET or HEAD. Where there are tags, the time does not count (section 13.1.3).
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let tags: Vec<String> = headers.get_all(header::IF_NONE_MATCH).iter().flat_map(tags).collect();
        let since = headers.get(header::IF_MODIFIED_SINCE).filter(|_| !headers.contains_key(header::IF_NONE_MATCH));
        let since = since.and_then(|since| httpdate::parse_http_date(since.to_str().ok()?).ok());
        Self { tags, modified_since: since.and_then(|since| Timestamp::try_from(since).ok()) }
    }

    /// Whether the caller names this tag, and so was given the representation once.
    #[must_use]
    pub fn name(&self, tag: &Tag) -> bool {
        self.tags.iter().any(|held| held == tag.as_str())
    }

    /// Whether the caller has the representation with this tag, which came about at `modified_at`. There must be one: that
    /// any will do, or that none is newer, says nothing of an answer that would be a problem (section 13.2.1).
    #[must_use]
    pub fn hold(&self, tag: &Tag, modified_at: Option<Timestamp>) -> bool {
        let any = self.tags.iter().any(|held| held == "*");
        // The date that callers were told has no fractions of a second.
        let is_older = |(since, at): (Timestamp, Timestamp)| at.as_second() <= since.as_second();
        any || self.name(tag) || self.modified_since.zip(modified_at).is_some_and(is_older)
    }
}

/// The tags of one header. A weak one matches the strong one with the same text (section 13.1.2).
fn tags(value: &axum::http::HeaderValue) -> Vec<String> {
    let text = value.to_str().unwrap_or_default();
    // No tag of ours holds a comma; of others it is enough that they match none of ours.
    let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned()).collect()
}

/// An instant as HTTP writes it (IMF-fixdate).
#[must_use]
pub fn http_date(at: Timestamp) -> String {
    httpdate::fmt_http_date(SystemTime::from(at))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::caching::Encoding;

    fn tag() -> Tag {
        Tag::new(b"1", "/", "json", Encoding::Identity)
    }

    fn holds(name: header::HeaderName, value: &str) -> bool {
        let at = "2026-11-22T04:00:00.75Z".parse().ok();
        Conditions::read(&HeaderMap::from_iter([(name, value.parse().unwrap())])).hold(&tag(), at)
    }

    #[rstest]
    #[case("*", true)]
    #[case("TAG", true)]
    #[case("\"other\", W/TAG", true)]
    #[case("\"other\"", false)]
    #[case("", false)]
    fn a_caller_who_names_the_tag_holds_it(#[case] value: &str, #[case] held: bool) {
        assert_eq!(holds(header::IF_NONE_MATCH, &value.replace("TAG", tag().as_str())), held);
    }

    #[rstest]
    #[case("Sun, 22 Nov 2026 04:00:00 GMT", true)]
    #[case("Sun, 22 Nov 2026 03:59:59 GMT", false)]
    #[case("yesterday", false)]
    fn without_a_tag_the_time_counts(#[case] value: &str, #[case] held: bool) {
        assert_eq!(holds(header::IF_MODIFIED_SINCE, value), held);
    }

    #[rstest]
    #[case(b"\"other\"")]
    #[case(b"")]
    #[case(b"\xff")]
    fn a_tag_outweighs_the_time(#[case] tags: &[u8]) {
        let headers = HeaderMap::from_iter([
            (header::IF_NONE_MATCH, tags.try_into().unwrap()),
            (header::IF_MODIFIED_SINCE, "Sun, 22 Nov 2026 04:00:00 GMT".parse().unwrap()),
        ]);
        assert!(!Conditions::read(&headers).hold(&tag(), "2026-11-22T04:00:00Z".parse().ok()));
    }
}
