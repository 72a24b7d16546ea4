//! What every request passes on its way in and out.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer, trace::TraceLayer};
use tracing::Span;

use super::{
    audit,
    bounds::{self, Bounds},
    compat,
    problem::{self, Problem, ProblemCode},
    request_id, trace,
    traffic::{self, Traffic},
};

/// Puts the layers around the routes.
pub fn around(routes: Router, traffic: Arc<Traffic>, bounds: Bounds, cors: Option<CorsLayer>) -> Router {
    let routes = routes
        // Innermost: one broken handler must not close the client's connection.
        .layer(CatchPanicLayer::custom(panicked))
        // Turns away what is too long and those for whom there is no room, before anything is done for them.
        .layer(from_fn_with_state(bounds, bounds::keep))
        // Bodies of unknown length are cut off where they exceed the bound.
        .layer(DefaultBodyLimit::max(bounds::LARGEST_BODY))
        // Below /open-apis/, turns problems into upstream's own errors, also those of a panic and of unknown paths.
        .layer(from_fn(compat::render))
        // Turns all other problems into documents.
        .layer(from_fn(problem::render))
        // Knows the final status, and whatever the gate has found out of the caller.
        .layer(from_fn_with_state(Arc::<audit::Refusals>::default(), audit::record));
    // A browser asks beforehand, without saying who asks: so it is answered before the gate, and problems too are told
    // to pages that may read them.
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        // Sees the final status of all that, within the span that carries the request's id.
        // A failure is logged where it is handled; here it would be logged a second time, as an error of ours.
        .layer(TraceLayer::new_for_http().make_span_with(trace::span).on_request(()).on_failure(()).on_response(
            |response: &Response, latency: std::time::Duration, span: &Span| {
                let (status, took_ms) = (response.status().as_u16(), latency.as_secs_f64() * 1e3);
                span.record("http.response.status_code", status);
                if span.metadata().is_some_and(|metadata| metadata.name() == trace::PROBE) {
                    tracing::debug!(took_ms, status, "answered");
                } else {
                    tracing::info!(took_ms, "answered");
                }
            },
        ))
        // Counts what the caller sees, like the log.
        .layer(from_fn_with_state(traffic, traffic::count))
        // Outermost: everything below knows the id.
        .layer(from_fn(request_id::identify))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over like this")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::new(ProblemCode::Internal, "the request ran into a defect of this service").into_response()
}
