//! Tracing spans of upstream calls.

use std::collections::HashMap;

use opentelemetry::{propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use reqwest::{RequestBuilder, StatusCode};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{call_metrics::CallOutcome, reply_class::ReplyClass};
use crate::source::UpstreamDetail;

/// The span of one call. It starts when the request is sent, after the wait for the throttle. It does not contain the
/// query, because a query can name a person.
pub(super) fn call_span(path: &str) -> Span {
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

/// Adds the W3C Trace Context headers to the request, if tracing is enabled in the gateway. Without it, the trace
/// context of a caller is not forwarded to Feishu.
pub(super) fn with_trace_headers(request: RequestBuilder, span: &Span) -> RequestBuilder {
    let context = span.context();
    let mut headers = HashMap::new();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut headers);
    }
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Records a reply in the current span.
pub(super) fn record_reply(status: StatusCode, upstream: &UpstreamDetail, class: &ReplyClass) {
    let span = Span::current();
    span.record("http.response.status_code", status.as_u16());
    upstream.code.map(|code| span.record("feishu.code", code));
    upstream.log_id.as_deref().map(|id| span.record("feishu.log_id", id));
    if *class != ReplyClass::Success {
        record_failure(CallOutcome::from(class), "");
    }
}

/// Records a failed call in the current span. `reason` may be empty.
pub(super) fn record_failure(outcome: CallOutcome, reason: &str) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR").record("otel.status_description", reason);
    span.record("error.type", <&str>::from(outcome));
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn header(name: &str) -> Option<String> {
        let request = reqwest::Client::new().get("http://127.0.0.1:1/");
        let request = with_trace_headers(request, &call_span("/stats")).build().unwrap();
        request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn trace_headers_are_sent_only_if_the_gateway_traces() {
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));

        let traced =
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || header("traceparent"));
        let untraced = tracing::subscriber::with_default(tracing_subscriber::registry(), || header("traceparent"));

        assert!(traced.is_some_and(|traced| traced.starts_with("00-") && traced.ends_with("-01")));
        assert_eq!(untraced, None);
    }
}
