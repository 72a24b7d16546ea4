//! The path below which a reverse proxy publishes the gateway, such as `/pulse`.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, Request, Uri, header, uri::PathAndQuery},
    response::Response,
};
use reqwest::Url;

use super::{
    at_leader::PassedOn,
    drop_in,
    middleware::{Finish, Middleware, Served},
};

/// The layer that removes the public path from the paths of requests, and adds it to `Location` and `Link` of responses. A
/// proxy may remove the path or not. Paths without it are served as well.
#[derive(Clone, Debug, Default)]
pub(super) struct PublicPath(Option<Arc<str>>);

/// Marks a request for the public path without a slash at its end, in the extensions of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct BarePublicPath;

/// Adds the public path to the links of a response.
#[derive(Debug)]
pub(super) struct PrefixLinks(Option<Arc<str>>);

impl PublicPath {
    /// The path of the public URL.
    #[must_use]
    pub(super) fn of(public_url: Option<&Url>) -> Self {
        let path = public_url.map(|url| url.path().trim_end_matches('/')).filter(|path| !path.is_empty());
        Self(path.map(Arc::from))
    }

    /// The path inside the gateway.
    fn local<'a>(&self, path: &'a str) -> &'a str {
        let below = self.0.as_deref().and_then(|prefix| path.strip_prefix(prefix));
        let path = match below {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        // An SDK that appends a path to a base URL with a trailing slash requests `//open-apis/…`.
        let leading_slashes = path.len() - path.trim_start_matches('/').len();
        let single = &path[leading_slashes.saturating_sub(1)..];
        if single.starts_with(drop_in::PATH_PREFIX) { single } else { path }
    }
}

impl Middleware for PublicPath {
    type Finish = PrefixLinks;

    fn before<B>(&self, request: &mut Request<B>) -> Result<PrefixLinks, Response> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let local = self.local(path);
        let is_bare = self.0.as_deref() == Some(path);
        if local.len() != path.len()
            && let Some(uri) = with_path(request.uri(), local, query)
        {
            *request.uri_mut() = uri;
        }
        if is_bare {
            request.extensions_mut().insert(BarePublicPath);
        }
        // The replica that passed a request on adds the path to the response.
        let is_passed_on = request.extensions().get::<PassedOn>().is_some();
        Ok(PrefixLinks(self.0.clone().filter(|_| !is_passed_on)))
    }
}

/// The URI with another path.
fn with_path(uri: &Uri, path: &str, query: Option<&str>) -> Option<Uri> {
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let path_and_query = Some(PathAndQuery::from_maybe_shared(target).ok()?);
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path_and_query;
    Uri::from_parts(parts).ok()
}

impl Finish for PrefixLinks {
    fn finish(self, Ok(mut response): Served) -> Response {
        let Some(prefix) = self.0 else { return response };
        prefix_header(&mut response, &header::LOCATION, "", &prefix);
        prefix_header(&mut response, &header::LINK, "<", &prefix);
        response
    }
}

/// Inserts `prefix` into the header after `start`, if an absolute path follows there.
fn prefix_header(response: &mut Response, name: &HeaderName, start: &str, prefix: &str) {
    let Some(value) = response.headers().get(name).and_then(|value| value.to_str().ok()) else { return };
    let Some(path) = value.strip_prefix(start).filter(|path| path.starts_with('/')) else { return };
    if let Ok(value) = HeaderValue::try_from(format!("{start}{prefix}{path}")) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/pulse/v1/users", "/v1/users")]
    #[case("/pulse/", "/")]
    #[case("/pulse", "/")]
    #[case("/pulses", "/pulses")]
    #[case("/v1/users", "/v1/users")]
    #[case("/pulse//open-apis/x", "/open-apis/x")]
    #[case("//open-apis/x", "/open-apis/x")]
    #[case("//v1/users", "//v1/users")]
    fn the_public_path_is_removed(#[case] path: &str, #[case] local: &str) {
        let url = "https://bi.example.com/pulse/".parse().unwrap();
        assert_eq!(PublicPath::of(Some(&url)).local(path), local);
    }

    #[test]
    fn a_url_without_a_path_changes_nothing() {
        let url = "https://bi.example.com/".parse().unwrap();
        assert_eq!(PublicPath::of(Some(&url)).local("/pulse/v1"), "/pulse/v1");
    }
}
