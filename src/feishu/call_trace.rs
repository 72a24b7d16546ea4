//! A call of upstream as part of a trace.

use std::collections::HashMap;

use opentelemetry::{propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::{RequestBuilder, StatusCode};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{calls::Outcome, verdict::Verdict};
use crate::{meter::Label as _, source::Upstream};

/// The span of one call: from the moment it is sent, after all waiting for a turn. What is asked for stays out of it,
/// since that may be a person.
pub(super) fn call(path: &str) -> Span {
    tracing::info_span!(
        "call",
        otel.name = format!("GET {path}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        otel.status_description = field::Empty,
        http.request.method = "GET",
        url.path = path,
        http.response.status_code = field::Empty,
        feishu.code = field::Empty,
        feishu.log_id = field::Empty,
        error.r#type = field::Empty,
    )
}

/// The request with the headers of W3C Trace Context, where the gateway itself traces. A caller's trace alone is none of
/// Feishu's business.
pub(super) fn propagated(request: RequestBuilder, span: &Span) -> RequestBuilder {
    let context = span.context();
    let mut headers = HashMap::new();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut headers);
    }
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Notes on the current span what upstream said.
pub(super) fn replied(status: StatusCode, upstream: &Upstream, verdict: &Verdict) {
    let span = Span::current();
    span.record("http.response.status_code", status.as_u16());
    upstream.code.map(|code| span.record("feishu.code", code));
    upstream.log_id.as_deref().map(|id| span.record("feishu.log_id", id));
    if *verdict != Verdict::Success {
        failed(Outcome::from(verdict), "");
    }
}

/// Notes on the current span how the call failed, and why where that is known.
pub(super) fn failed(outcome: Outcome, reason: &str) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR").record("otel.status_description", reason);
    span.record("error.type", outcome.value());
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn header(name: &str) -> Option<String> {
        let request = reqwest::Client::new().get("http://127.0.0.1:1/");
        let request = propagated(request, &call("/stats")).build().unwrap();
        request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn upstream_is_told_of_a_trace_only_where_the_gateway_traces() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));

        let traced =
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || header("traceparent"));
        let untraced = tracing::subscriber::with_default(tracing_subscriber::registry(), || header("traceparent"));

        assert!(traced.is_some_and(|traced| traced.starts_with("00-") && traced.ends_with("-01")));
        assert_eq!(untraced, None);
    }
}
