//! The span of a request: what its log lines and the calls below it have in common.

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

use super::request_id::RequestId;

/// The headers of [W3C Trace Context](https://www.w3.org/TR/trace-context/).
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The name of the span of a request by a machine that looks after the process.
pub(super) const PROBE: &str = "probe";

/// What such machines ask for every few seconds. It is logged at `debug` and not traced, or nobody would find the rest.
const PROBED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// A span that goes on with the caller's trace where there is one. It names the route, never the query: that holds
/// people's ids.
pub(super) fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let id = request.extensions().get::<RequestId>().map_or("", |RequestId(id)| id);
    if PROBED.contains(&route) {
        return tracing::debug_span!(PROBE, http.route = route, request_id = id);
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
    let caller = context(request);
    // Fails where nothing is traced; the caller's id is good for the log all the same.
    let _ = span.set_parent(caller.clone());
    let own = span.context().span().span_context().trace_id();
    let trace = if own == TraceId::INVALID { caller.span().span_context().trace_id() } else { own };
    if trace != TraceId::INVALID {
        span.record("trace_id", field::display(trace));
    }
    span
}

/// The trace that the caller says the request belongs to.
fn context(request: &Request) -> Context {
    let sent = HEADERS.iter().filter_map(|name| {
        let value = request.headers().get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    TraceContextPropagator::new().extract_with_context(&Context::new(), &sent.collect::<HashMap<_, _>>())
}
