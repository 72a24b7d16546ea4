//! The tracing span of a request, shared by its log lines and the spans of the upstream calls made for it.

use std::collections::HashMap;

use axum::extract::{MatchedPath, Request};
use opentelemetry::{
    Context,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::request_facts::RequestFacts;

/// The headers of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
const TRACE_CONTEXT_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The name of the span of a probe request.
pub(super) const PROBE_SPAN: &str = "probe";

/// Routes that monitoring requests every few seconds. They are logged at `debug` and not traced, and they are exempt
/// from the limit of concurrent requests.
pub(super) const PROBE_ROUTES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Creates the span of a request, as a child of the caller's trace if the request has one. The span names the route
/// pattern, never the query, which can contain ids of people.
pub(super) fn request_span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let facts = RequestFacts::of(request);
    let id = facts.request_id();
    if PROBE_ROUTES.contains(&route) {
        return tracing::debug_span!(PROBE_SPAN, http.route = route, request_id = id);
    }
    let method = request.method();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = %method,
        http.route = route,
        http.response.status_code = field::Empty,
        request_id = id,
        trace_id = field::Empty,
    );
    let caller = parent_context(request);
    // Fails if tracing is disabled; the caller's trace id is then still logged.
    let _ = span.set_parent(caller.clone());
    let own = span.context().span().span_context().trace_id();
    let trace = if own == TraceId::INVALID { caller.span().span_context().trace_id() } else { own };
    if trace != TraceId::INVALID {
        span.record("trace_id", field::display(trace));
        facts.set_trace_id(trace);
    }
    span
}

/// The trace context in the headers of the request.
fn parent_context(request: &Request) -> Context {
    let headers = TRACE_CONTEXT_HEADERS.iter().filter_map(|name| {
        let value = request.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    TraceContextPropagator::new().extract_with_context(&Context::new(), &headers.collect::<HashMap<_, _>>())
}
