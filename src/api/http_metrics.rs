//! Metrics of HTTP requests: how many are in flight, and how long responses took, by route, method, status and cache
//! use.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    http::{HeaderMap, Method as HttpMethod, Request, StatusCode},
    response::Response,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    middleware::{Finish, Middleware, Served},
    request_facts::RequestFacts,
};
use crate::prometheus::{Collector, Exposition, Histogram};

/// Bucket bounds of the duration histogram, in seconds: from a cached response to one that waited for Feishu.
const DURATION_BUCKETS_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The collector of HTTP request metrics.
#[derive(Debug)]
pub struct HttpMetrics {
    durations: Mutex<HashMap<RequestLabels, Histogram>>,
    in_flight: AtomicU64,
    /// The label of requests that no route matches.
    no_route: Arc<str>,
}

/// The labels of a request. Routes are the router's patterns, never text from a caller, so the number of label sets is
/// bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RequestLabels {
    route: Arc<str>,
    method: Method,
    status: StatusClass,
    cache: CacheLabel,
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

/// The use of cached days, as `Cache-Status` (RFC 9211) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum CacheLabel {
    /// All days were cached.
    Hit,
    /// At least one day was fetched for the request.
    Miss,
    /// Cached days were used although they are due to be fetched again.
    Stale,
    /// The response does not depend on days.
    None,
}

/// The layer that counts requests and measures the time until their responses begin.
#[derive(Clone, Debug)]
pub struct RecordMetrics(pub Arc<HttpMetrics>);

/// Counts a request as in flight until its response begins or its client disconnects.
struct InFlightGuard(Arc<HttpMetrics>);

/// Records the response to a request.
pub struct RecordResponse {
    in_flight: InFlightGuard,
    began_at: Instant,
    method: Method,
    facts: Arc<RequestFacts>,
}

impl Middleware for RecordMetrics {
    type Finish = RecordResponse;

    fn before<B>(&self, request: &mut Request<B>) -> Result<RecordResponse, Response> {
        Ok(RecordResponse {
            in_flight: InFlightGuard::begin(Arc::clone(&self.0)),
            began_at: Instant::now(),
            method: request.method().into(),
            facts: RequestFacts::of(request),
        })
    }
}

impl Finish for RecordResponse {
    fn finish(self, Ok(response): Served) -> Response {
        let Self { in_flight: InFlightGuard(metrics), began_at, method, facts } = &self;
        let route = facts.route().unwrap_or(&metrics.no_route);
        metrics.record(Arc::clone(route), *method, &response, began_at.elapsed());
        response
    }
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self { durations: Mutex::default(), in_flight: AtomicU64::default(), no_route: "none".into() }
    }
}

impl HttpMetrics {
    /// Records one response and the time until it began.
    fn record(&self, route: Arc<str>, method: Method, response: &Response, duration: Duration) {
        let (status, cache) = (response.status().into(), response.headers().into());
        let labels = RequestLabels { route, method, status, cache };
        let mut durations = self.durations.lock();
        durations.entry(labels).or_insert_with(|| Histogram::new(DURATION_BUCKETS_SECONDS)).observe(duration);
    }
}

impl InFlightGuard {
    fn begin(metrics: Arc<HttpMetrics>) -> Self {
        metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(metrics)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Collector for HttpMetrics {
    fn collect(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_http_requests_in_flight", "Requests whose response has not begun.")
            .sample(self.in_flight.load(Ordering::Relaxed) as f64);
        let durations = self.durations.lock();
        let mut series: Vec<_> = durations.iter().collect();
        series.sort_unstable_by_key(|(labels, _)| *labels);
        let mut family = page.histogram(
            "feishu_pulse_http_request_duration_seconds",
            "Time until the response began, by route, method, status class and cache use.",
        );
        for (RequestLabels { route, method, status, cache }, histogram) in series {
            let (method, status, cache) = (method.name(), status.name(), cache.name());
            let labels = [("route", &**route), ("method", method), ("status", status), ("cache", cache)];
            family.histogram_samples(&labels, histogram);
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
            // Clients can send any method name; a label of its own for each would be unbounded.
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

impl CacheLabel {
    const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::None => "none",
        }
    }
}

impl From<&HeaderMap> for CacheLabel {
    fn from(headers: &HeaderMap) -> Self {
        let status = headers.get("cache-status").and_then(|status| status.to_str().ok()).unwrap_or_default();
        let parameter = |name: &str| status.split([';', ',']).any(|parameter| parameter.trim().starts_with(name));
        // RFC 9211, section 2.3: a negative `ttl` means that the response is stale.
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
    #[case::cached("feishu-pulse; hit", CacheLabel::Hit)]
    #[case::cached_with_ttl("feishu-pulse;hit;ttl=300", CacheLabel::Hit)]
    #[case::fetched("feishu-pulse; fwd=miss; stored", CacheLabel::Miss)]
    #[case::fetched_in_part("feishu-pulse; fwd=partial; collapsed", CacheLabel::Miss)]
    #[case::stale_with_failed_refresh("feishu-pulse; hit; ttl=-1; detail=refresh-failed", CacheLabel::Stale)]
    #[case::forwarded_as_stale("feishu-pulse; fwd=stale", CacheLabel::Stale)]
    #[case::without_parameters("feishu-pulse", CacheLabel::None)]
    fn the_cache_label_follows_the_cache_status_header(#[case] status: &'static str, #[case] expected: CacheLabel) {
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("cache-status"),
            HeaderValue::from_static(status),
        )]);

        assert_eq!(CacheLabel::from(&headers), expected);
        assert_eq!(CacheLabel::from(&HeaderMap::new()), CacheLabel::None);
    }
}
