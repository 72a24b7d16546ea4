//! Request limits: maximum sizes, a maximum number of concurrent requests, and a timeout. Requests beyond a limit are
//! rejected before any other work is done for them.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::Semaphore;

use super::{
    problem::{Problem, ProblemCode},
    trace::PROBE_ROUTES,
};

/// Maximum length of path and query, in bytes. All parameters at their maximum lengths fit.
const MAX_URI_BYTES: usize = 8 << 10;

/// Maximum length of a request body, in bytes. Only token requests have a body.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// Time that a request may take in addition to waiting for days: for receiving its body and for computing the response.
const PROCESSING_TIME: Duration = Duration::from_secs(30);

/// `Retry-After` of requests beyond the limit of concurrent requests or connections.
const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Request extension: the request came on a connection beyond the connection limit. Only probes are answered on it.
#[derive(Clone, Copy, Debug)]
pub struct OverCapacity;

/// The limits of all requests of a listener.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl RequestLimits {
    /// Allows `requests` concurrent requests, each of which may wait for days for `wait`.
    #[must_use]
    pub fn new(requests: usize, wait: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS)));
        Self { permits, timeout: wait + PROCESSING_TIME }
    }
}

/// Passes a request on if it is within the limits.
pub async fn enforce(State(limits): State<RequestLimits>, request: Request, next: Next) -> Response {
    if let Err(problem) = check_size(&request) {
        return problem.into_response();
    }
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| PROBE_ROUTES.contains(&route)) {
        return next.run(request).await;
    }
    if request.extensions().get::<OverCapacity>().is_some() {
        return overloaded("the maximum number of connections is open");
    }
    let Ok(_permit) = limits.permits.try_acquire() else {
        return overloaded("the maximum number of concurrent requests is reached");
    };
    let response = tokio::time::timeout(limits.timeout, next.run(request)).await;
    response.unwrap_or_else(|_| {
        let detail = format!("no response was ready within {} s", limits.timeout.as_secs());
        Problem::new(ProblemCode::RequestTimeout, detail).into_response()
    })
}

fn overloaded(detail: &str) -> Response {
    Problem::new(ProblemCode::Overloaded, detail).with_retry_after(OVERLOAD_RETRY_AFTER).into_response()
}

fn check_size(request: &Request) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |path_and_query| path_and_query.as_str().len());
    if uri > MAX_URI_BYTES {
        let detail = format!("path and query have {uri} bytes; the maximum is {MAX_URI_BYTES}");
        return Err(Problem::new(ProblemCode::UriTooLong, detail));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let body: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match body {
        Some(body) if body > MAX_BODY_BYTES => {
            let detail = format!("the body has {body} bytes; the maximum is {MAX_BODY_BYTES}");
            Err(Problem::new(ProblemCode::PayloadTooLarge, detail))
        }
        _ => Ok(()),
    }
}
