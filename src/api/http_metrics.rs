//! Requests as an operator sees them: how many of which kind, and how long they took.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method as HttpMethod, StatusCode},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;

use crate::meter::{Exposition, Histogram, Meter};

/// From an answer out of memory to one that has waited for Feishu.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Counts and times requests.
#[derive(Debug, Default)]
pub struct Traffic {
    answered: Mutex<HashMap<Kind, Histogram>>,
    in_flight: AtomicU64,
}

/// What requests are told apart by. Routes are the patterns of the router, never what a caller wrote; so the number of
/// kinds is known before the first request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Kind {
    route: Arc<str>,
    method: Method,
    status: StatusClass,
    cache: Cache,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum StatusClass {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
}

/// Where the answer came from, as `Cache-Status` (RFC 9211) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Cache {
    /// What was held.
    Hit,
    /// Something had to be fetched first.
    Miss,
    /// What was held, though it is fetched anew.
    Stale,
    /// It has nothing to do with what is held.
    None,
}

/// A request under way: counted as such until it is answered, or its caller has left.
struct UnderWay(Arc<Traffic>);

/// Counts a request and times its answer.
pub(super) async fn count(State(traffic): State<Arc<Traffic>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let under_way = UnderWay::begin(traffic);
    let route: Arc<str> = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).into();
    let method = request.method().clone();
    let response = next.run(request).await;
    under_way.0.answered(&route, &method, &response, begun.elapsed());
    response
}

impl Traffic {
    /// Counts one answer.
    pub(super) fn answered(&self, route: &Arc<str>, method: &HttpMethod, response: &Response, taken: Duration) {
        let (status, cache) = (response.status().into(), response.headers().into());
        let kind = Kind { route: Arc::clone(route), method: method.into(), status, cache };
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.entry(kind).or_insert_with(|| Histogram::new(SECONDS)).record(taken);
    }
}

impl UnderWay {
    fn begin(traffic: Arc<Traffic>) -> Self {
        traffic.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(traffic)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter for Traffic {
    fn write(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_http_requests_in_flight", "Requests whose answer has not begun yet.")
            .value(self.in_flight.load(Ordering::Relaxed) as f64);
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds: Vec<_> = answered.iter().collect();
        kinds.sort_unstable_by_key(|(kind, _)| *kind);
        let mut family = page.histogram(
            "feishu_pulse_http_request_seconds",
            "How long requests took until their answer began, by route, method, class of status, and where it came from.",
        );
        for (Kind { route, method, status, cache }, histogram) in kinds {
            let (method, status, cache) = (method.name(), status.name(), cache.name());
            let labels = [("route", &**route), ("method", method), ("status", status), ("cache", cache)];
            family.distribution(&labels, histogram);
        }
    }
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "other",
        }
    }
}

impl From<&HttpMethod> for Method {
    fn from(method: &HttpMethod) -> Self {
        match *method {
            HttpMethod::GET => Self::Get,
            HttpMethod::HEAD => Self::Head,
            HttpMethod::POST => Self::Post,
            HttpMethod::PUT => Self::Put,
            HttpMethod::DELETE => Self::Delete,
            HttpMethod::OPTIONS => Self::Options,
            // A caller may invent methods without end.
            _ => Self::Other,
        }
    }
}

impl StatusClass {
    const fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

impl Cache {
    const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

impl From<&HeaderMap> for Cache {
    fn from(headers: &HeaderMap) -> Self {
        let said = headers.get("cache-status").and_then(|said| said.to_str().ok()).unwrap_or_default();
        let parameter = |name: &str| said.split([';', ',']).any(|parameter| parameter.trim().starts_with(name));
        // A time to live below zero says that the answer is older than it should be (RFC 9211, section 2.3).
        if parameter("fwd=stale") || parameter("ttl=-") {
            Self::Stale
        } else if parameter("hit") {
            Self::Hit
        } else if parameter("fwd=") {
            Self::Miss
        } else {
            Self::None
        }
    }
}

impl From<StatusCode> for StatusClass {
    fn from(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::held("feishu-pulse; hit", Cache::Hit)]
    #[case::with_more_to_say("feishu-pulse;hit;ttl=300", Cache::Hit)]
    #[case::fetched("feishu-pulse; fwd=miss; stored", Cache::Miss)]
    #[case::fetched_in_part("feishu-pulse; fwd=partial; collapsed", Cache::Miss)]
    #[case::fetched_anew("feishu-pulse; hit; ttl=-1; detail=refresh-failed", Cache::Stale)]
    #[case::forwarded_as_stale("feishu-pulse; fwd=stale", Cache::Stale)]
    #[case::silent("feishu-pulse", Cache::None)]
    fn the_header_tells_where_an_answer_came_from(#[case] said: &'static str, #[case] expected: Cache) {
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("cache-status"),
            HeaderValue::from_static(said),
        )]);

        assert_eq!(Cache::from(&headers), expected);
        assert_eq!(Cache::from(&HeaderMap::new()), Cache::None);
    }
}
