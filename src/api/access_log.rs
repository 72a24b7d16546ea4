//! The access log: one line for each request, with the caller, route, status, duration and size of the response.
//!
//! The lines of authenticated and refused requests are also the audit log. They are written to the tracing target `audit`,
//! so that they can be stored separately and for longer than the operational log, which contains the lines of anonymous
//! requests. The access log contains names of keys and route patterns, never ids of people and no query parameters, because
//! these contain ids.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Method, Request, StatusCode},
    response::Response,
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    middleware::{Finish, Middleware, Served},
    request_facts::{Authentication, RequestFacts},
    trace,
};

/// The number of rows about people in a response; figures are not rows. An export counts its rows while it is written.
#[derive(Clone, Debug, Default)]
pub struct RowCount(Arc<AtomicU64>);

impl RowCount {
    /// A count of `rows`.
    #[must_use]
    pub fn of(rows: usize) -> Self {
        let count = Self::default();
        count.add(rows);
        count
    }

    /// Adds `rows` to the count.
    pub fn add(&self, rows: usize) {
        self.0.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Attaches the count to a response, for the access log.
    #[must_use]
    pub fn attach_to(&self, mut response: Response) -> Response {
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Maximum number of refusals logged per [`REFUSAL_WINDOW`], so that unauthenticated clients cannot fill the log.
const MAX_LOGGED_REFUSALS: u64 = 60;

/// The period of the limit.
const REFUSAL_WINDOW: Duration = Duration::from_secs(60);

/// The layer that logs every request: after its response body was sent, or after the client has disconnected. Of anonymous
/// requests, those that the response cache answers are only counted.
#[derive(Clone, Debug, Default)]
pub struct LogAccess(Arc<RefusalCounter>);

/// Logs the response to a request.
#[derive(Debug)]
pub struct LogResponse {
    refusals: Arc<RefusalCounter>,
    method: Method,
    began_at: Instant,
    facts: Arc<RequestFacts>,
}

/// Counts refusals, so that only some of them are logged.
#[derive(Debug, Default)]
struct RefusalCounter(Mutex<RefusalWindow>);

#[derive(Debug, Default)]
struct RefusalWindow {
    began_at: Option<Instant>,
    refusals: u64,
}

/// The result of counting a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CountedRefusal {
    /// Whether this refusal is logged.
    is_logged: bool,
    /// Refusals of the previous period that were not logged.
    unlogged_before: u64,
}

impl RefusalCounter {
    /// Logs a refused request, unless the limit of the period is reached.
    fn log_refusal(&self, caller: &str, method: &Method, status: StatusCode, began_at: Instant, facts: &RequestFacts) {
        let CountedRefusal { is_logged, unlogged_before } = self.count();
        if unlogged_before > 0 {
            tracing::warn!(
                target: "audit",
                unlogged = unlogged_before,
                "more requests were refused than are logged one by one"
            );
        }
        if is_logged {
            tracing::warn!(
                target: "audit",
                caller,
                http.method = method.as_str(),
                http.route = route_label(facts),
                http.status = status.as_u16(),
                duration_ms = elapsed_ms(began_at),
                request_id = facts.request_id(),
                "refused"
            );
        }
    }

    /// Counts a refusal.
    fn count(&self) -> CountedRefusal {
        let now = Instant::now();
        let mut window = self.0.lock();
        let mut unlogged_before = 0;
        if window.began_at.is_none_or(|began_at| now.duration_since(began_at) >= REFUSAL_WINDOW) {
            unlogged_before = window.refusals.saturating_sub(MAX_LOGGED_REFUSALS);
            *window = RefusalWindow { began_at: Some(now), refusals: 0 };
        }
        window.refusals += 1;
        CountedRefusal { is_logged: window.refusals <= MAX_LOGGED_REFUSALS, unlogged_before }
    }
}

impl Middleware for LogAccess {
    type Finish = LogResponse;

    fn before<B>(&self, request: &mut Request<B>) -> Result<LogResponse, Response> {
        let method = request.method().clone();
        let (refusals, began_at) = (Arc::clone(&self.0), Instant::now());
        Ok(LogResponse { refusals, method, began_at, facts: RequestFacts::of(request) })
    }
}

impl Finish for LogResponse {
    fn finish(self, Ok(mut response): Served) -> Response {
        let Self { refusals, method, began_at, facts } = self;
        let rows = response.extensions_mut().remove::<RowCount>().unwrap_or_default();
        let is_identified = facts.caller().is_some_and(|caller| caller.id().is_some());
        if facts.is_audited() && facts.caller().is_none() {
            let key_name = match facts.authentication() {
                Some(Authentication::Refused { key_name, .. }) => key_name.as_deref(),
                Some(Authentication::MissingCredentials | Authentication::Caller(_)) | None => None,
            };
            refusals.log_refusal(key_name.unwrap_or("unknown"), &method, response.status(), began_at, &facts);
            return response;
        }
        let is_logged = facts.reached_router() || (is_identified && facts.is_audited());
        if !is_logged {
            return response;
        }
        let entry = AccessLogEntry { method, status: response.status(), rows, began_at, bytes: 0, facts };
        entry.attach_to(response)
    }
}

fn route_label(facts: &RequestFacts) -> &str {
    facts.route().map_or("none", |route| route)
}

/// An entry of the access log, written when it is dropped.
struct AccessLogEntry {
    method: Method,
    status: StatusCode,
    rows: RowCount,
    began_at: Instant,
    /// Bytes of the response body that were sent.
    bytes: u64,
    facts: Arc<RequestFacts>,
}

/// Milliseconds since `began_at`, with one decimal.
fn elapsed_ms(began_at: Instant) -> f64 {
    (began_at.elapsed().as_secs_f64() * 1e4).round() / 10.0
}

impl AccessLogEntry {
    /// Writes the entry at the end of the response body, or when the client disconnects.
    fn attach_to(mut self, response: Response) -> Response {
        let complete = if response.body().is_end_stream() { Some(0) } else { response.body().size_hint().exact() };
        if let Some(bytes) = complete {
            // The body is complete, so its rows are counted.
            self.bytes = bytes;
            return response;
        }
        response.map(|body| {
            // The entry is dropped with the body.
            let chunks = body.into_data_stream().map(move |chunk: Result<Bytes, axum::Error>| {
                let entry = &mut self;
                entry.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                chunk
            });
            Body::from_stream(chunks)
        })
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let Self { method, status, rows, began_at, bytes, facts } = self;
        // Responses to HEAD and 304 responses contain no rows.
        let has_body = *method != Method::HEAD && *status != StatusCode::NOT_MODIFIED;
        let (rows, bytes) = if has_body { (rows.0.load(Ordering::Relaxed), *bytes) } else { (0, 0) };
        let (method, route, status, duration_ms) =
            (method.as_str(), route_label(facts), status.as_u16(), elapsed_ms(*began_at));
        let (request_id, trace_id) = (facts.request_id(), facts.trace_id().map(tracing::field::display));
        match facts.caller().filter(|caller| caller.id().is_some() && facts.is_audited()) {
            Some(caller) => tracing::info!(
                target: "audit",
                caller = &**caller.name(),
                http.method = method,
                http.route = route,
                http.status = status,
                rows,
                bytes,
                duration_ms,
                request_id,
                trace_id,
            ),
            None if trace::PROBE_ROUTES.contains(&route) => tracing::debug!(
                http.method = method,
                http.route = route,
                http.status = status,
                bytes,
                duration_ms,
                request_id,
                trace_id,
                "answered"
            ),
            None => tracing::info!(
                caller = "anonymous",
                http.method = method,
                http.route = route,
                http.status = status,
                rows,
                bytes,
                duration_ms,
                request_id,
                trace_id,
                "answered"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_logged_in_part_and_then_counted() {
        let refusals = RefusalCounter::default();
        let logged = (0..1000).filter(|_| refusals.count().is_logged).count() as u64;
        assert_eq!(logged, MAX_LOGGED_REFUSALS);

        tokio::time::advance(REFUSAL_WINDOW).await;

        let unlogged_before = 1000 - MAX_LOGGED_REFUSALS;
        assert_eq!(refusals.count(), CountedRefusal { is_logged: true, unlogged_before });
        assert_eq!(refusals.count(), CountedRefusal { is_logged: true, unlogged_before: 0 });
    }
}
