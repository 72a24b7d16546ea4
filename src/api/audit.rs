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
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::request_id::{REQUEST_ID, RequestId};
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
    RequestId(request_id): RequestId,
    mut request: Request,
    next: Next,
) -> Response {
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let caller = match asker.0.get() {
        Some(Found::Caller(caller)) => caller.clone(),
        Some(Found::Refused(name)) => {
            refused(&refusals, name.as_deref().unwrap_or("unknown"), &method, &route, status, &request_id);
            return response;
        }
        None => return response,
    };
    let rows = response.extensions_mut().remove::<Rows>().unwrap_or_default();
    let entry = Entry { caller, method, route, status, rows, request_id };
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

/// Tells the log of a request that was answered from what is kept.
pub fn known(caller: &Caller, method: &Method, route: &str, response: &mut Response) {
    let rows = response.extensions_mut().remove::<Rows>().unwrap_or_default();
    let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let (request_id, status) = (id.to_owned(), response.status().as_u16());
    let (caller, method, route) = (caller.clone(), method.to_string(), route.to_owned());
    drop(Entry { caller, method, route, status, rows, request_id });
}

fn refused(refusals: &Refusals, caller: &str, method: &str, route: &str, status: u16, request_id: &str) {
    let (is_told, untold) = refusals.counted();
    if untold > 0 {
        tracing::warn!(target: "audit", untold, "so many refusals were not told of one by one");
    }
    if is_told {
        tracing::warn!(
            target: "audit",
            caller,
            http.method = method,
            http.route = route,
            http.status = status,
            request_id,
            "refused"
        );
    }
}

/// A line of the log, written when it is dropped.
struct Entry {
    caller: Caller,
    method: String,
    route: String,
    status: u16,
    rows: Rows,
    request_id: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Self { caller, method, route, status, rows, request_id } = self;
        // Anyone is nobody to be called to account.
        if caller.id().is_none() {
            return;
        }
        // Of what a HEAD asks about, nothing goes out.
        let rows = if method == Method::HEAD.as_str() { 0 } else { rows.0.load(Ordering::Relaxed) };
        tracing::info!(
            target: "audit",
            caller = %caller.name(),
            http.method = %method,
            http.route = %route,
            http.status = status,
            rows,
            request_id,
            "asked"
        );
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
