//! Logs to standard error, and traces to an OpenTelemetry collector.

use std::{io::IsTerminal as _, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector as _},
    trace::SdkTracerProvider,
};
use reqwest::Url;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{ParseError, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use super::{
    audit_log::{self, AuditLogLayer},
    log_writer,
};
use crate::{api::LogFilter, proxy};

/// The default service name of traces. `OTEL_SERVICE_NAME` overrides it.
const DEFAULT_SERVICE_NAME: &str = env!("CARGO_PKG_NAME");

/// The filter of traces. It is independent of the log filter and excludes spans of libraries.
const TRACE_FILTER: &str = "feishu_pulse=info";

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable text.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// The configuration of logs and traces.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// The log filter: a level, or levels by target such as `info,feishu_pulse::feishu=debug`.
    pub filter: String,
    /// The format of log lines.
    pub format: LogFormat,
    /// The OpenTelemetry collector. `None` disables traces.
    pub collector: Option<Url>,
}

/// Why logs or traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter is invalid.
    #[error("the log filter is invalid: {0}")]
    Filter(#[from] ParseError),
    /// The exporter rejects its settings.
    #[error("the exporter of traces cannot be set up: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Guard of logging and tracing.
#[derive(Debug)]
#[must_use = "dropping the guard stops logging"]
pub struct Telemetry {
    /// Changes the log filter at run time.
    pub log_filter: LogFilter,
    tracer_provider: Option<SdkTracerProvider>,
    _log_guard: WorkerGuard,
}

/// Validates a log filter.
///
/// # Errors
/// [`ParseError`] if the filter is invalid.
pub fn check(filter: &str) -> Result<(), ParseError> {
    EnvFilter::builder().parse(filter).map(drop)
}

/// Starts logging, and tracing if there is a collector.
///
/// # Errors
/// [`TelemetryError`] if the filter or the exporter's settings are invalid.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse(&config.filter)?);
    let tracer_provider = config.collector.as_ref().map(build_tracer_provider).transpose()?;
    let trace_layer = tracer_provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(DEFAULT_SERVICE_NAME));
        // Source locations, threads and targets of spans do not help operators.
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        layer.with_filter(EnvFilter::new(TRACE_FILTER))
    });
    let (writer, log_guard) = log_writer::standard_error();
    let audit = AuditLogLayer(writer.clone()).with_filter(filter_fn(audit_log::is_audit_event));
    let log_lines = log_layer::<Registry>(config.format, writer)
        .with_filter(filter_fn(|metadata| !audit_log::is_audit_event(metadata)));
    let logs = log_lines.and_then(audit).with_filter(filter);
    // In tests the subscriber may already be set; the second call is ignored.
    let _ = tracing_subscriber::registry().with(logs).with(trace_layer).try_init();
    Ok(Telemetry { log_filter: LogFilter::new(handle), tracer_provider, _log_guard: log_guard })
}

fn log_layer<S: Subscriber + for<'a> LookupSpan<'a>>(
    format: LogFormat,
    writer: NonBlocking,
) -> Box<dyn Layer<S> + Send + Sync> {
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(uses_colours()).boxed(),
        // Fields of the enclosing spans, such as `request_id` and `trace_id`, are added at the top level.
        LogFormat::Json => json_subscriber::layer()
            .with_writer(writer)
            .with_current_span(false)
            .flatten_event(true)
            .flatten_span_list_on_top_level(true)
            .boxed(),
    }
}

/// Whether to use colours. `NO_COLOR` disables them: <https://no-color.org>.
fn uses_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn build_tracer_provider(collector: &Url) -> Result<SdkTracerProvider, TelemetryError> {
    let mut endpoint = collector.clone();
    // The path that the OTLP/HTTP specification defines for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    endpoint.set_path(&format!("{}/v1/traces", collector.path().trim_end_matches('/')));
    let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint);
    let exporter = match direct_client(collector) {
        Some(client) => exporter.with_http_client(client).build(),
        None => exporter.build(),
    }?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build())
}

/// A client without a proxy for a collector that is reached directly; `None` if the exporter's own client fits.
fn direct_client(collector: &Url) -> Option<reqwest::blocking::Client> {
    if !proxy::is_direct(collector) {
        return None;
    }
    let configured = std::env::var(OTEL_EXPORTER_OTLP_TIMEOUT).ok().and_then(|millis| millis.parse().ok());
    let timeout = configured.map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis);
    // A blocking client must not be built on a thread that runs async tasks.
    let client = std::thread::spawn(move || reqwest::blocking::Client::builder().no_proxy().timeout(timeout).build());
    client.join().ok()?.ok()
}

/// Attributes of the process in traces. The operator's variables take precedence.
fn resource() -> Resource {
    let is_named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty());
    let is_named = is_named || EnvResourceDetector::new().detect().get(&"service.name".into()).is_some();
    let resource = Resource::builder();
    let resource = if is_named { resource } else { resource.with_service_name(DEFAULT_SERVICE_NAME) };
    resource.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

impl Telemetry {
    /// Sends the remaining traces. Waits a few seconds at most.
    pub async fn end(self) {
        let Some(tracer_provider) = self.tracer_provider else { return };
        let result = tokio::task::spawn_blocking(move || tracer_provider.shutdown()).await;
        if let Ok(Err(error)) = result {
            tracing::warn!(%error, "the remaining traces could not be sent");
        }
    }
}
