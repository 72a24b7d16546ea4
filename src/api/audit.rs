//! The audit log: who asked for what, and how many rows went out. On a target of its own (`audit`), so that it can be
//! kept apart from the log and for longer. It names keys and routes, never people, and no parameters: these hold ids.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use futures_util::StreamExt as _;

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

/// Tells the log of every request whose caller is known, when its answer has gone out, or its caller has left.
pub async fn record(id: RequestId, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let Some(caller) = response.extensions_mut().remove::<Caller>() else { return response };
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
    tracing::info!(
        target: "audit",
        caller = &**caller.name(),
        http.method = method.as_str(),
        http.route = route,
        http.status = status.as_u16(),
        rows = rows.0.load(Ordering::Relaxed),
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
