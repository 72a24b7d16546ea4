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
    http::{Method as HttpMethod, StatusCode},
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

/// A request under way: counted as such until it is answered, or its caller has left.
struct UnderWay(Arc<Traffic>);

/// Counts a request and times its answer.
pub(super) async fn count(State(traffic): State<Arc<Traffic>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let under_way = UnderWay::begin(traffic);
    let route: Arc<str> = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).into();
    let method = request.method().clone();
    let response = next.run(request).await;
    under_way.0.answered(&route, &method, response.status(), begun.elapsed());
    response
}

impl Traffic {
    /// Counts one answer.
    pub(super) fn answered(&self, route: &Arc<str>, method: &HttpMethod, status: StatusCode, taken: Duration) {
        let kind = Kind { route: Arc::clone(route), method: method.into(), status: status.into() };
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
            "How long requests took until their answer began, by route, method and class of status.",
        );
        for (Kind { route, method, status }, histogram) in kinds {
            family.distribution(&[("route", route), ("method", method.name()), ("status", status.name())], histogram);
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
