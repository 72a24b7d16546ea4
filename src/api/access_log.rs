//! The audit log: who asked for what, and how many rows went out. On a target of its own (`audit`), so that it can be
//! kept apart from the log and for longer. It names keys and routes, never people, and no parameters: these hold ids.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
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
use tokio::time::Instant;

use super::request_id::RequestId;
use crate::access::Caller;

/// How many rows about people an answer has; figures are none. An export counts while it is written.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<AtomicU64>);

impl Rows {
    /// So many.
    #[must_use]
    pub fn of(rows: usize) -> Self {
        let counted = Self::default();
        counted.add(rows);
        counted
    }

    /// Counts some more.
    pub fn add(&self, rows: usize) {
        self.0.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Notes on an answer that it has these rows.
    #[must_use]
    pub fn on(&self, mut response: Response) -> Response {
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Refusals that the log is told of in [`WINDOW`]. Whoever is not let in could fill it otherwise.
const REFUSALS: u64 = 60;

/// The time over which they count.
const WINDOW: Duration = Duration::from_secs(60);

/// Who asks: noted by whoever finds it out, for the log, whatever becomes of the request after that.
#[derive(Clone, Debug, Default)]
pub struct Asker(Arc<OnceLock<Found>>);

/// What was found out about who asks.
#[derive(Clone, Debug)]
pub enum Found {
    /// Somebody who is let in.
    Caller(Caller),
    /// Somebody who is not; the name of the key where it is known whose it was.
    Refused(Option<Arc<str>>),
}

/// The refusals of late.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    refusals: u64,
}

impl Asker {
    /// Notes what was found out first.
    pub fn note(&self, found: Found) {
        // What is found out later rests on it.
        let _ = self.0.set(found);
    }
}

/// Where nobody reads it, it is noted in vain.
impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Refusals {
    /// Tells the log of a request that was not let in.
    fn tell(&self, caller: &str, method: &Method, route: &str, status: StatusCode, id: &RequestId) {
        let (is_told, untold) = self.counted();
        if untold > 0 {
            tracing::warn!(target: "audit", untold, "so many refusals were not told of one by one");
        }
        if is_told {
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

    /// Whether this one may be told of, and how many were not in the window before it.
    fn counted(&self) -> (bool, u64) {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut untold = 0;
        if window.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            untold = window.refusals.saturating_sub(REFUSALS);
            *window = Window { began: Some(now), refusals: 0 };
        }
        window.refusals += 1;
        (window.refusals <= REFUSALS, untold)
    }
}

/// Tells the log of every request that had to say who asks: when its answer has gone out, or its caller has left.
pub async fn record(
    State(refusals): State<Arc<Refusals>>,
    id: RequestId,
    mut request: Request,
    next: Next,
) -> Response {
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let caller = match asker.0.get() {
        Some(Found::Caller(caller)) => caller.clone(),
        Some(Found::Refused(name)) => {
            let name = name.as_deref().unwrap_or("unknown");
            refusals.tell(name, &method, &route, response.status(), &id);
            return response;
        }
        None => return response,
    };
    let rows = response.extensions_mut().remove::<Rows>().unwrap_or_default();
    let entry = Entry { caller, method, route, status: response.status(), rows, id };
    if response.body().is_end_stream() || response.body().size_hint().exact().is_some() {
        // Whole already: nothing more is counted.
        drop(entry);
        return response;
    }
    response.map(|body| {
        // Goes with the body, to its end or to where the caller leaves it.
        let chunks = body.into_data_stream().map(move |chunk: Result<Bytes, axum::Error>| {
            let _ = &entry;
            chunk
        });
        Body::from_stream(chunks)
    })
}

/// Tells the log of a request that was answered. Anyone is nobody to be called to account.
pub fn tell(caller: &Caller, method: &Method, route: &str, status: StatusCode, rows: &Rows, id: &RequestId) {
    if caller.id().is_none() {
        return;
    }
    // Of what a HEAD asks about, and of what the caller has already, nothing goes out.
    let goes_out = *method != Method::HEAD && status != StatusCode::NOT_MODIFIED;
    tracing::info!(
        target: "audit",
        caller = &**caller.name(),
        http.method = method.as_str(),
        http.route = route,
        http.status = status.as_u16(),
        rows = if goes_out { rows.0.load(Ordering::Relaxed) } else { 0 },
        request_id = id.0,
    );
}

/// A line of the log, written when it is dropped.
struct Entry {
    caller: Caller,
    method: Method,
    route: String,
    status: StatusCode,
    rows: Rows,
    id: RequestId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Self { caller, method, route, status, rows, id } = self;
        tell(caller, method, route, *status, rows, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_told_of_in_part_and_then_counted() {
        let refusals = Refusals::default();
        let told = (0..1000).filter(|_| refusals.counted().0).count() as u64;
        assert_eq!(told, REFUSALS);

        tokio::time::advance(WINDOW).await;

        assert_eq!(refusals.counted(), (true, 1000 - REFUSALS));
        assert_eq!(refusals.counted(), (true, 0));
    }
}
