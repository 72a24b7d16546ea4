//! The credentials of a request and the host name that it was sent to.

use std::net::IpAddr;

use axum::http::{self, HeaderMap, Uri, header};
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

/// Whether the request was sent to a loopback host name. Browsers always send the name in `Host` or `:authority`.
#[must_use]
pub fn is_sent_to_loopback<B>(request: &http::Request<B>) -> bool {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let authorities = [request.uri().authority().map(http::uri::Authority::as_str), host];
    authorities.into_iter().flatten().all(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    // Parsed as part of a URI, so that user information and ports are recognised.
    let uri: Option<Uri> = format!("http://{authority}/").parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost", true)]
    #[case("LOCALHOST:8080", true)]
    #[case("pulse.localhost:80", true)]
    #[case("127.0.0.1:8080", true)]
    #[case("127.8.9.1", true)]
    #[case("[::1]:8080", true)]
    #[case("localhost.", true)]
    #[case("example.com", false)]
    #[case("127.0.0.1.example.com", false)]
    #[case("localhost.example.com:8080", false)]
    #[case("notlocalhost", false)]
    #[case("10.0.0.1", false)]
    #[case("[::2]", false)]
    #[case("user@127.0.0.1", true)]
    #[case("127.0.0.1@example.com", false)]
    #[case("", false)]
    #[case("a b", false)]
    fn only_names_of_the_loopback_interface_are_accepted(#[case] host: &str, #[case] expected: bool) {
        assert_eq!(is_loopback(host), expected);
    }

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
