//! What every request passes on its way in and out.

use std::{any::Any, convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, Request},
    http::{HeaderName, HeaderValue, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use tower_http::{catch_panic::CatchPanicLayer, trace::TraceLayer};
use tracing::{Span, field};

use super::{
    problem::{self, Problem, ProblemCode},
    traffic::{self, Traffic},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's own where it is sound, else one of ours.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Puts the layers around the routes.
pub fn around(routes: Router, traffic: Arc<Traffic>) -> Router {
    routes
        // Innermost: one broken handler must not close the client's connection.
        .layer(CatchPanicLayer::custom(panicked))
        // Turns problems into documents, also the one of a panic.
        .layer(from_fn(problem::render))
        // Sees the final status of all that, within the span that carries the request's id.
        // A failure is logged where it is handled; here it would be logged a second time, as an error of ours.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_failure(()).on_response(
            |response: &Response, latency: std::time::Duration, _: &Span| {
                let (status, took_ms) = (response.status().as_u16(), latency.as_secs_f64() * 1e3);
                tracing::info!(http.status = status, took_ms, "answered");
            },
        ))
        // Counts what the caller sees, like the log.
        .layer(from_fn_with_state(traffic, traffic::count))
        // Outermost: everything below knows the id.
        .layer(from_fn(identify))
}

async fn identify(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sound(id));
    let id = sent.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned);
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// Short and plain, so that it can do no harm in a log.
fn is_sound(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Names the route, never the query: it holds people's ids.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>().map_or("", |RequestId(id)| id);
    tracing::info_span!("request", http.method = %request.method(), http.route = route, request_id = id, otel.kind = field::Empty)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over like this")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::new(ProblemCode::Internal, "the request ran into a defect of this service").into_response()
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(String::new())))
    }
}
