//! The credentials of a request.

use axum::http::{HeaderMap, header};

/// The bearer token of the header `Authorization`; `None` if there is none. For another authentication scheme, an invalid
/// token is returned.
#[must_use]
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or("invalid");
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(token.trim()).filter(|token| !token.is_empty())
        }
        None if text.eq_ignore_ascii_case("bearer") => None,
        _ => Some("invalid"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some("Bearer abc"), Some("abc"))]
    #[case(Some("bearer  abc "), Some("abc"))]
    #[case(Some("Bearer"), None)]
    #[case(Some("Bearer "), None)]
    #[case(Some("Basic abc"), Some("invalid"))]
    #[case(Some("abc"), Some("invalid"))]
    #[case(None, None)]
    fn the_token_follows_the_scheme_bearer(#[case] sent: Option<&str>, #[case] expected: Option<&str>) {
        let headers = HeaderMap::from_iter(sent.map(|sent| (header::AUTHORIZATION, sent.parse().unwrap())));
        assert_eq!(bearer_token(&headers), expected);
    }
}
