//! The layers around the router, and the reason for the position of each.

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
    access_log, drop_in,
    http_metrics::{self, HttpMetrics},
    problem::{self, Problem, ProblemCode},
    request_id,
    request_limits::{self, RequestLimits},
    trace,
};

/// Wraps the routes in the layers; the last is the outermost.
pub fn apply(routes: Router, metrics: Arc<HttpMetrics>, limits: RequestLimits, cors: Option<CorsLayer>) -> Router {
    let routes = routes
        // Innermost: a panic in a handler becomes a response instead of closing the connection.
        .layer(CatchPanicLayer::custom(render_panic))
        // Rejects requests beyond the limits before other work is done for them.
        .layer(from_fn_with_state(limits, request_limits::enforce))
        // Limits bodies whose length is not declared.
        .layer(DefaultBodyLimit::max(request_limits::MAX_BODY_BYTES))
        // Renders problems below /open-apis/ as Feishu errors, including those of panics and unknown paths.
        .layer(from_fn(drop_in::render))
        // Renders all other problems as problem documents.
        .layer(from_fn(problem::render))
        // Outside the problem rendering, so that it logs the final status.
        .layer(from_fn_with_state(Arc::<access_log::RefusalCounter>::default(), access_log::log_requests));
    // Outside authentication, because preflight requests have no credentials, and outside problem rendering, so that
    // pages can read problems.
    let routes = match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    routes
        // Inside the request id, so that the span has it; outside all layers that can change the status.
        // Failures are logged where they are handled, so this layer does not log them again.
        .layer(
            TraceLayer::new_for_http().make_span_with(trace::request_span).on_request(()).on_failure(()).on_response(
                |response: &Response, latency: std::time::Duration, span: &Span| {
                    let (status, took_ms) = (response.status().as_u16(), latency.as_secs_f64() * 1e3);
                    span.record("http.response.status_code", status);
                    if span.metadata().is_some_and(|metadata| metadata.name() == trace::PROBE_SPAN) {
                        tracing::debug!(took_ms, status, "answered");
                    } else {
                        tracing::info!(took_ms, "answered");
                    }
                },
            ),
        )
        // Outside the layers above, so that it counts the status that the client receives.
        .layer(from_fn_with_state(metrics, http_metrics::record_requests))
        // Outermost, so that all layers can use the id.
        .layer(from_fn(request_id::assign))
}

#[expect(clippy::needless_pass_by_value, reason = "`CatchPanicLayer` passes the panic by value")]
fn render_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("no message"), "a handler panicked");
    Problem::new(ProblemCode::Internal, "the request failed because of a defect in this service").into_response()
}
