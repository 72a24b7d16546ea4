//! `Prefer` (RFC 7240): how long a caller wants to wait, and whether at all.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a caller prefers. A preference that makes no sense is ignored, as the RFC has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// `wait=N`: the caller wants an answer, whatever it is, within this time.
    pub wait: Option<Duration>,
    /// `respond-async`: rather than wait, the caller wants to be told where to follow the work.
    pub respond_async: bool,
}

/// Hands the preferences to the handler, and tells the caller which of them were heeded.
pub async fn heed(mut request: Request, next: Next) -> Response {
    let preference = Preference::read(request.headers());
    request.extensions_mut().insert(preference);
    let mut response = next.run(request).await;
    let applied = preference.applied(response.status());
    response.headers_mut().extend(applied.map(|applied| (APPLIED, applied)));
    response
}

impl Preference {
    fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut read = Self::default();
        for preference in values.flat_map(|value| value.split(',')) {
            // Parameters after a semicolon say nothing that is known here.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                // Of two values the first counts.
                "wait" => read.wait = read.wait.or_else(|| seconds(value)),
                "respond-async" => read.respond_async = true,
                _ => {}
            }
        }
        read
    }

    fn applied(self, status: StatusCode) -> Option<HeaderValue> {
        let is_async = (self.respond_async && status == StatusCode::ACCEPTED).then(|| "respond-async".to_owned());
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let applied: Vec<String> = is_async.into_iter().chain(wait).collect();
        HeaderValue::from_str(&applied.join(", ")).ok().filter(|applied| !applied.is_empty())
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().trim_matches('"').parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

impl<S: Sync> FromRequestParts<S> for Preference {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(prefer: &str) -> Preference {
        Preference::read(&HeaderMap::from_iter([(PREFER, prefer.parse().unwrap())]))
    }

    #[rstest]
    #[case("wait=5", Some(5))]
    #[case("respond-async, Wait = \"10\"", Some(10))]
    #[case("wait=0", Some(0))]
    #[case("wait=7, wait=8", Some(7))]
    #[case("wait=-1", None)]
    #[case("wait", None)]
    #[case("handling=lenient", None)]
    fn a_wait_is_whole_seconds_or_ignored(#[case] prefer: &str, #[case] seconds: Option<u64>) {
        assert_eq!(read(prefer).wait, seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case("respond-async", true)]
    #[case("wait=3, Respond-Async", true)]
    #[case("respond-async; foo", true)]
    #[case("respond", false)]
    fn a_caller_may_prefer_not_to_wait(#[case] prefer: &str, #[case] respond_async: bool) {
        assert_eq!(read(prefer).respond_async, respond_async);
    }
}
