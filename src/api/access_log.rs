//! The access log, documented as the audit log: the caller, route, status and number of rows of every authenticated
//! request. It is written to the tracing target `audit`, so that it can be stored separately and for longer than the
//! operational log. It contains names of keys and route patterns, never ids of people and no query parameters, because
//! these contain ids.

use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::request_id::RequestId;
use crate::access::Caller;

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

/// A request extension that receives the outcome of authentication, so that the request is logged whatever its response
/// is.
#[derive(Clone, Debug, Default)]
pub struct CallerSlot(Arc<OnceLock<AuthOutcome>>);

/// The outcome of authentication.
#[derive(Clone, Debug)]
pub enum AuthOutcome {
    /// Authentication succeeded.
    Caller(Caller),
    /// Authentication failed. Contains the name of the key, if the request had a token that was issued for one.
    Refused(Option<Arc<str>>),
}

/// Counts refusals, so that only some of them are logged.
#[derive(Debug, Default)]
pub struct RefusalCounter(Mutex<RefusalWindow>);

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

impl CallerSlot {
    /// Sets the outcome, unless it is set.
    pub fn set(&self, outcome: AuthOutcome) {
        // The first outcome decides; later ones are derived from it.
        let _ = self.0.set(outcome);
    }
}

/// Without the access-log layer, the extractor yields an empty slot.
impl<S: Sync> FromRequestParts<S> for CallerSlot {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl RefusalCounter {
    /// Logs a refused request, unless the limit of the period is reached.
    fn log_refusal(&self, caller: &str, method: &Method, route: &str, status: StatusCode, id: &RequestId) {
        let CountedRefusal { is_logged, unlogged_before } = self.count();
        if unlogged_before > 0 {
            tracing::warn!(
                target: "audit",
                untold = unlogged_before,
                "more requests were refused than are logged one by one"
            );
        }
        if is_logged {
            tracing::warn!(
                target: "audit",
                caller,
                http.method = method.as_str(),
                http.route = route,
                http.status = status.as_u16(),
                request_id = id.0,
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

/// Logs every authenticated or refused request: after its response body was sent, or after the client has disconnected.
pub async fn log_requests(
    State(refusals): State<Arc<RefusalCounter>>,
    id: RequestId,
    mut request: Request,
    next: Next,
) -> Response {
    let slot = CallerSlot::default();
    request.extensions_mut().insert(slot.clone());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let caller = match slot.0.get() {
        Some(AuthOutcome::Caller(caller)) => caller.clone(),
        Some(AuthOutcome::Refused(name)) => {
            let name = name.as_deref().unwrap_or("unknown");
            refusals.log_refusal(name, &method, &route, response.status(), &id);
            return response;
        }
        None => return response,
    };
    let rows = response.extensions_mut().remove::<RowCount>().unwrap_or_default();
    let entry = AccessLogEntry { caller, method, route, status: response.status(), rows, id };
    if response.body().is_end_stream() || response.body().size_hint().exact().is_some() {
        // The body is complete, so its rows are counted.
        drop(entry);
        return response;
    }
    response.map(|body| {
        // The entry is dropped with the body: at its end, or when the client disconnects.
        let chunks = body.into_data_stream().map(move |chunk: Result<Bytes, axum::Error>| {
            let _ = &entry;
            chunk
        });
        Body::from_stream(chunks)
    })
}

/// Logs an authenticated request. Anonymous requests are not logged.
pub fn log_access(caller: &Caller, method: &Method, route: &str, status: StatusCode, rows: &RowCount, id: &RequestId) {
    if caller.id().is_none() {
        return;
    }
    // Responses to HEAD and 304 responses contain no rows.
    let has_body = *method != Method::HEAD && status != StatusCode::NOT_MODIFIED;
    tracing::info!(
        target: "audit",
        caller = &**caller.name(),
        http.method = method.as_str(),
        http.route = route,
        http.status = status.as_u16(),
        rows = if has_body { rows.0.load(Ordering::Relaxed) } else { 0 },
        request_id = id.0,
    );
}

/// An entry of the access log, written when it is dropped.
struct AccessLogEntry {
    caller: Caller,
    method: Method,
    route: String,
    status: StatusCode,
    rows: RowCount,
    id: RequestId,
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        let Self { caller, method, route, status, rows, id } = self;
        log_access(caller, method, route, *status, rows, id);
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
