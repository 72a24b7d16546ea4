//! Forward proxies: which requests to other services go through the proxy of the environment.
//!
//! The HTTP client reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` by itself. It sends requests to this
//! machine through the proxy too, does not apply `NO_PROXY=*` to IP addresses, and ignores a proxy that it cannot parse.
//! This module corrects these three.

use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, Url};

use crate::model::redact::redacted_setting;

/// The variables with the address of a proxy.
const PROXY_VARIABLES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variables with the hosts that are reached without a proxy. Only the first that is set counts.
const NO_PROXY_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A variable contains no address of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{variable} ({value}) is not the address of a proxy: expected an address such as http://proxy.example.com:3128"
)]
pub struct InvalidProxy {
    variable: &'static str,
    /// The value without credentials.
    value: String,
}

/// A builder of a client for the service at `url`, with the proxy of the environment.
pub fn client_builder(url: &Url) -> ClientBuilder {
    if is_direct(url) { Client::builder().no_proxy() } else { Client::builder() }
}

/// Whether the service at `url` is reached without a proxy although the HTTP client might use one: it is on this machine,
/// or `NO_PROXY` has an asterisk.
#[must_use]
pub fn is_direct(url: &Url) -> bool {
    let no_proxy = NO_PROXY_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
    is_loopback(url) || excludes_all(&no_proxy.unwrap_or_default())
}

/// Checks the variables of the environment.
///
/// # Errors
/// The first variable that contains no address of a proxy.
pub fn check_environment() -> Result<(), InvalidProxy> {
    for variable in PROXY_VARIABLES {
        let value = std::env::var_os(variable).unwrap_or_default();
        let value = value.to_string_lossy();
        if !value.is_empty() && !is_proxy(&value) {
            return Err(InvalidProxy { variable, value: redacted_setting(&value) });
        }
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
}

fn excludes_all(no_proxy: &str) -> bool {
    no_proxy.split(',').any(|host| host.trim() == "*")
}

/// Whether this is a host with an optional port, or an http or https URL of one.
fn is_proxy(value: &str) -> bool {
    let url: Option<Url> =
        if value.contains("://") { value.parse().ok() } else { format!("http://{value}").parse().ok() };
    // The parser of URLs skips white space.
    let is_plain = !value.contains(char::is_whitespace);
    let is_address = |url: Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    is_plain && url.is_some_and(is_address)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://127.0.0.1:9/x", true)]
    #[case("http://127.8.8.8", true)]
    #[case("https://[::1]:9", true)]
    #[case("http://[::ffff:127.0.0.1]", true)]
    #[case("http://LOCALHOST", true)]
    #[case("http://minio.localhost.", true)]
    #[case("http://10.0.0.1", false)]
    #[case("https://open.feishu.cn", false)]
    #[case("https://localhost.example.com", false)]
    fn services_of_this_machine_are_reached_directly(#[case] url: &str, #[case] expected: bool) {
        assert_eq!(is_loopback(&url.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("*", true)]
    #[case("example.com, * ", true)]
    #[case("*.example.com", false)]
    #[case("", false)]
    fn an_asterisk_excludes_all_hosts(#[case] no_proxy: &str, #[case] expected: bool) {
        assert_eq!(excludes_all(no_proxy), expected);
    }

    #[rstest]
    #[case("http://proxy:3128", true)]
    #[case("http://proxy:3128/", true)]
    #[case("https://me:hush@proxy.example.com", true)]
    #[case("proxy:3128", true)]
    #[case("10.0.0.1:3128", true)]
    #[case("socks5://proxy:1080", false)]
    #[case("http://", false)]
    #[case("http://proxy:port", false)]
    #[case("http://proxy:99999", false)]
    #[case("http://proxy:3128/path", false)]
    #[case("proxy 3128", false)]
    #[case(" http://proxy:3128", false)]
    fn a_proxy_is_a_host_with_an_optional_port(#[case] value: &str, #[case] expected: bool) {
        assert_eq!(is_proxy(value), expected);
    }
}
