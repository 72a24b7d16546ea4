//! `Prefer` (RFC 7240): how long a caller wants to wait.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// `wait=N`: the caller wants an answer, whatever it is, within this time. A preference that makes no sense is ignored,
/// as the RFC has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(pub Option<Duration>);

/// Hands the preference to the handler, and tells the caller that it was heeded.
pub async fn heed(mut request: Request, next: Next) -> Response {
    let wait = Wait::read(request.headers());
    request.extensions_mut().insert(wait);
    let mut response = next.run(request).await;
    let applied = wait.0.and_then(|wait| HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok());
    response.headers_mut().extend(applied.map(|applied| (APPLIED, applied)));
    response
}

impl Wait {
    fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut preferences = values.flat_map(|value| value.split(',')).map(str::trim);
        let seconds = preferences.find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u32>().ok())?
        });
        Self(seconds.map(|seconds| Duration::from_secs(seconds.into())))
    }
}

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("wait=5", Some(5))]
    #[case("respond-async, Wait = \"10\"", Some(10))]
    #[case("wait=0", Some(0))]
    #[case("wait=-1", None)]
    #[case("wait", None)]
    #[case("handling=lenient", None)]
    fn a_wait_is_whole_seconds_or_ignored(#[case] prefer: &str, #[case] seconds: Option<u64>) {
        let headers = HeaderMap::from_iter([(PREFER, prefer.parse().unwrap())]);
        assert_eq!(Wait::read(&headers).0, seconds.map(Duration::from_secs));
    }
}
