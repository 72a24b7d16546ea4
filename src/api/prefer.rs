//! The header `Prefer` (RFC 7240): how long a caller waits for days, or whether it gets a job instead.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};

use super::at_leader::serve_at_leader;

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preferences of a request. Invalid and unknown preferences are ignored, as RFC 7240 requires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// `wait=N`: maximum time until the response.
    pub wait: Option<Duration>,
    /// `respond-async`: respond with a job instead of waiting.
    pub respond_async: bool,
}

/// Middleware that passes the preferences to the handler and sets `Preference-Applied` in the response.
pub async fn apply_preference(mut request: Request, next: Next) -> Response {
    let preference = Preference::parse(request.headers());
    request.extensions_mut().insert(preference);
    // The leader of a fleet runs the jobs.
    let mut response =
        if preference.respond_async { serve_at_leader(request, next).await } else { next.run(request).await };
    let applied = preference.applied(response.status());
    response.headers_mut().extend(applied.map(|applied| (PREFERENCE_APPLIED, applied)));
    response
}

impl Preference {
    fn parse(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let mut parsed = Self::default();
        for preference in values.flat_map(|value| value.split(',')) {
            // No supported preference has parameters, so those after a semicolon are ignored.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                // The first of several values counts (RFC 7240, section 2).
                "wait" => parsed.wait = parsed.wait.or_else(|| seconds(value)),
                "respond-async" => parsed.respond_async = true,
                _ => {}
            }
        }
        parsed
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

    fn parse(prefer: &str) -> Preference {
        Preference::parse(&HeaderMap::from_iter([(PREFER, prefer.parse().unwrap())]))
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
        assert_eq!(parse(prefer).wait, seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case("respond-async", true)]
    #[case("wait=3, Respond-Async", true)]
    #[case("respond-async; foo", true)]
    #[case("respond", false)]
    fn a_caller_can_request_an_asynchronous_response(#[case] prefer: &str, #[case] respond_async: bool) {
        assert_eq!(parse(prefer).respond_async, respond_async);
    }
}
