//! The origins whose web pages may send requests and read responses.

use std::sync::Arc;

use axum::http::{HeaderValue, uri::Authority};

use super::host_check::is_loopback_host;

/// The origins whose web pages may send requests and read responses (CORS).
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    /// Origins in the form that browsers send.
    pub listed: Arc<[HeaderValue]>,
    /// Whether pages from the loopback interface are allowed, at any port.
    pub includes_loopback: bool,
}

impl AllowedOrigins {
    /// Whether no origin is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && !self.includes_loopback
    }

    /// Whether this origin is allowed.
    #[must_use]
    pub fn contains(&self, origin: &HeaderValue) -> bool {
        self.listed.contains(origin) || (self.includes_loopback && is_loopback(origin))
    }
}

fn is_loopback(origin: &HeaderValue) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")?.1.parse::<Authority>().ok());
    authority.is_some_and(|authority| is_loopback_host(authority.host()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://localhost:5173", true)]
    #[case("http://127.0.0.1:3000", true)]
    #[case("http://[::1]:3000", true)]
    #[case("http://localhost.example.com", false)]
    #[case("https://evil.example", false)]
    #[case("http://192.168.1.2:3000", false)]
    #[case("null", false)]
    fn pages_from_the_loopback_interface_are_allowed_on_request(
        #[case] origin: &'static str,
        #[case] is_allowed: bool,
    ) {
        let origin = HeaderValue::from_static(origin);
        assert!(!AllowedOrigins::default().contains(&origin));
        assert_eq!(
            AllowedOrigins { includes_loopback: true, ..AllowedOrigins::default() }.contains(&origin),
            is_allowed
        );
    }
}
