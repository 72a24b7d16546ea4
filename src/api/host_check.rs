//! The check of the host name that a request was sent to.
//!
//! It protects against DNS rebinding: a web page that makes its own host name resolve to the address of this service
//! shares an origin with it. The host name is then a name of the page's domain, which is not served.

use std::{net::IpAddr, sync::Arc};

use axum::{
    http::{HeaderMap, Request, Version, header, uri::Authority},
    response::{IntoResponse as _, Response},
};

use super::{
    at_leader::PassedOn,
    middleware::Middleware,
    problem::{Problem, ProblemCode},
    request_facts::RequestFacts,
};

/// The host names that a listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedHosts {
    /// All names: requests need credentials, or another component controls access.
    All,
    /// Names and addresses of the loopback interface.
    Loopback,
    /// Names of the loopback interface, all addresses, and these names. An address as the host is not rebound: the page
    /// would have to come from that address.
    AddressesAnd(Arc<[String]>),
}

/// The layer that refuses requests without exactly one host name, and requests to host names that are not served.
#[derive(Clone, Debug)]
pub struct CheckHost(pub ServedHosts);

impl Middleware for CheckHost {
    type Finish = ();

    fn before<B>(&self, request: &mut Request<B>) -> Result<(), Response> {
        // The replica that passed the request on has checked its host.
        let is_passed_on = request.extensions().get::<PassedOn>().is_some();
        let refusal = match requested_host(request) {
            Err(detail) => Problem::new(ProblemCode::InvalidHost, detail),
            Ok(host) if is_passed_on || host.as_ref().is_none_or(|host| self.0.serves(host.host())) => return Ok(()),
            Ok(_) => Problem::new(ProblemCode::HostNotServed, self.0.refusal()),
        };
        RequestFacts::of(request).audit();
        Err(refusal.into_response())
    }
}

impl ServedHosts {
    fn serves(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Loopback => is_loopback_host(host),
            Self::AddressesAnd(names) => {
                let name = without_root(host);
                is_loopback_host(host)
                    || address(host).is_some()
                    || names.iter().any(|served| served.eq_ignore_ascii_case(name))
            }
        }
    }

    const fn refusal(&self) -> &'static str {
        match self {
            Self::All | Self::Loopback => {
                "the request was sent to a host name that does not belong to the loopback interface"
            }
            Self::AddressesAnd(_) => {
                "the request was sent to a host name that is neither an address, nor a name of the loopback interface, \
                 nor in PULSE_ADMIN_HOSTS"
            }
        }
    }
}

/// The host that the request was sent to (RFC 9112, section 3.2; RFC 9113, section 8.3.1). `None` for a request of
/// HTTP/1.0 without one.
///
/// # Errors
/// Why the request names no host, or more than one.
pub(super) fn requested_host<B>(request: &Request<B>) -> Result<Option<Authority>, &'static str> {
    let field = host_field(request.headers())?;
    let is_http2 = request.version() >= Version::HTTP_2;
    match (request.uri().authority(), field) {
        (Some(target), Some(field)) if is_http2 && *target != field => {
            Err("the header `Host` and `:authority` name different hosts")
        }
        // The target of HTTP/1.1 has no host without the header field, even if it is a complete URL.
        (_, None) if request.version() == Version::HTTP_11 => Err("the header `Host` is missing"),
        (None, None) if is_http2 => Err("the request has no `:authority`"),
        (Some(target), _) => Ok(Some(target.clone())),
        (None, field) => Ok(field),
    }
}

fn host_field(headers: &HeaderMap) -> Result<Option<Authority>, &'static str> {
    let mut fields = headers.get_all(header::HOST).iter();
    let (first, second) = (fields.next(), fields.next());
    if second.is_some() {
        return Err("the header `Host` is repeated");
    }
    let Some(field) = first else { return Ok(None) };
    let authority: Option<Authority> = field.as_bytes().try_into().ok();
    authority
        .filter(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
        .map(Some)
        .ok_or("the header `Host` is malformed")
}

/// Whether the host is a name or an address of the loopback interface.
pub(super) fn is_loopback_host(host: &str) -> bool {
    let name = without_root(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// The name without the dot of the root zone.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request<()> {
        let request = Request::get(target).version(version);
        hosts.iter().fold(request, |request, host| request.header(header::HOST, *host)).body(()).unwrap()
    }

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
    fn only_names_of_the_loopback_interface_are_accepted(#[case] host: &str, #[case] expected: bool) {
        let host = requested_host(&request(Version::HTTP_11, "/", &[host])).unwrap().unwrap();
        assert_eq!(ServedHosts::Loopback.serves(host.host()), expected);
    }

    #[rstest]
    #[case("10.0.0.1:9090", true)]
    #[case("[fd00::1]:9090", true)]
    #[case("localhost:9090", true)]
    #[case("Pulse-Admin:9090", true)]
    #[case("pulse-admin.:9090", true)]
    #[case("evil.example:9090", false)]
    #[case("10.0.0.1.evil.example:9090", false)]
    fn the_operations_listener_serves_addresses_and_configured_names(#[case] host: &str, #[case] expected: bool) {
        let host = requested_host(&request(Version::HTTP_11, "/", &[host])).unwrap().unwrap();
        assert_eq!(ServedHosts::AddressesAnd(["pulse-admin".to_owned()].into()).serves(host.host()), expected);
    }

    #[rstest]
    #[case(Version::HTTP_11, "/", &[])]
    #[case(Version::HTTP_11, "/", &["localhost", "localhost"])]
    #[case(Version::HTTP_10, "/", &["localhost", "localhost"])]
    #[case(Version::HTTP_11, "/", &[""])]
    #[case(Version::HTTP_11, "/", &["a b"])]
    #[case(Version::HTTP_11, "/", &["user@localhost"])]
    #[case(Version::HTTP_11, "http://localhost/", &[])]
    #[case(Version::HTTP_2, "http://localhost/", &["evil.example"])]
    #[case(Version::HTTP_2, "/", &[])]
    fn a_request_without_exactly_one_host_is_invalid(
        #[case] version: Version,
        #[case] target: &str,
        #[case] hosts: &[&str],
    ) {
        assert!(requested_host(&request(version, target, hosts)).is_err());
    }

    #[rstest]
    #[case(Version::HTTP_10, "/", &[], None)]
    #[case(Version::HTTP_2, "http://localhost/", &["localhost"], Some("localhost"))]
    #[case(Version::HTTP_2, "http://localhost:80/", &[], Some("localhost:80"))]
    // A complete URL as the target has precedence.
    #[case(Version::HTTP_11, "http://evil.example/", &["localhost"], Some("evil.example"))]
    fn the_host_is_that_of_the_target_or_of_the_field(
        #[case] version: Version,
        #[case] target: &str,
        #[case] hosts: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let host = requested_host(&request(version, target, hosts)).unwrap();
        assert_eq!(host.as_ref().map(Authority::as_str), expected);
    }
}
