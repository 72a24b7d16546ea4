//! Range requests (RFC 9110, section 14): parts of a stored response.

use std::ops::Range;

use axum::http::{HeaderMap, header};
use http_range_header::parse_range_header;

/// The part of a body that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedPart {
    /// The whole body. Also the response to several ranges, to a malformed `Range`, and if `If-Range` names another
    /// representation.
    Whole,
    /// These bytes.
    Bytes(Range<usize>),
    /// Bytes that the body does not have.
    Unsatisfiable,
}

impl RequestedPart {
    /// The part of a body of `length` bytes that a GET request with these headers asks for. `etag` is the strong validator
    /// of the body, with its quotes.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, etag: Option<&[u8]>, length: usize) -> Self {
        let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Self::Whole };
        // A date is not compared: two representations can be made within one second (section 13.1.5).
        if headers.get(header::IF_RANGE).is_some_and(|validator| Some(validator.as_bytes()) != etag) {
            return Self::Whole;
        }
        let Ok(ranges) = parse_range_header(range) else { return Self::Whole };
        match ranges.validate(length as u64).as_deref() {
            Err(_) => Self::Unsatisfiable,
            Ok([range]) => {
                let position = |byte: u64| usize::try_from(byte).unwrap_or(length).min(length);
                Self::Bytes(position(*range.start())..position(range.end().saturating_add(1)))
            }
            Ok(_) => Self::Whole,
        }
    }
}

/// The headers without `Range`, which has a meaning only for GET.
#[must_use]
pub fn without_range(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(header::RANGE);
    headers
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn part(fields: &[(HeaderName, &str)], length: usize) -> RequestedPart {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        RequestedPart::from_headers(&headers, Some(b"\"a\""), length)
    }

    #[rstest]
    #[case("bytes=0-3", RequestedPart::Bytes(0..4))]
    #[case("bytes=8-", RequestedPart::Bytes(8..10))]
    #[case("bytes=8-99", RequestedPart::Bytes(8..10))]
    #[case("bytes=-3", RequestedPart::Bytes(7..10))]
    #[case("bytes=-99", RequestedPart::Bytes(0..10))]
    #[case("bytes=10-", RequestedPart::Unsatisfiable)]
    #[case("bytes=0-1,4-5", RequestedPart::Whole)]
    #[case("lines=0-1", RequestedPart::Whole)]
    #[case("bytes=a-b", RequestedPart::Whole)]
    fn one_range_of_bytes_is_a_part(#[case] range: &str, #[case] expected: RequestedPart) {
        assert_eq!(part(&[(header::RANGE, range)], 10), expected);
    }

    #[rstest]
    #[case("\"a\"", RequestedPart::Bytes(0..4))]
    #[case("\"b\"", RequestedPart::Whole)]
    #[case("W/\"a\"", RequestedPart::Whole)]
    #[case("Sun, 22 Nov 2026 04:00:00 GMT", RequestedPart::Whole)]
    fn if_range_must_name_the_representation(#[case] validator: &str, #[case] expected: RequestedPart) {
        assert_eq!(part(&[(header::RANGE, "bytes=0-3"), (header::IF_RANGE, validator)], 10), expected);
    }

    proptest! {
        #[test]
        fn a_part_is_within_the_body(range in "bytes=[0-9]{0,21}-[0-9]{0,21}(,[0-9]{0,2}-)?", length in 0_usize..50) {
            if let RequestedPart::Bytes(bytes) = part(&[(header::RANGE, &range)], length) {
                prop_assert!(bytes.start < bytes.end && bytes.end <= length);
            }
        }
    }
}
