//! Logs, to standard error, and traces, to a collector where one is named.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
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
    audit_lines::{self, AuditLines},
    log_writer,
};
use crate::api::LogFilter;

/// The name that traces carry unless `OTEL_SERVICE_NAME` gives another.
const SERVICE: &str = env!("CARGO_PKG_NAME");

/// What is traced, whatever is logged: what this crate does, not what its libraries do.
const TRACED: &str = "feishu_pulse=info";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// What is told, and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// What is logged: a level, or levels by target such as `info,feishu_pulse::feishu=debug`.
    pub filter: String,
    /// How log lines are written.
    pub format: LogFormat,
    /// The OpenTelemetry collector that traces are sent to.
    pub collector: Option<Url>,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter makes no sense.
    #[error("PULSE_LOG is no log filter: {0}")]
    Filter(#[from] ParseError),
    /// The exporter does not take its settings.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT, or another OTEL_ variable: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Logs and traces while it is kept.
#[derive(Debug)]
#[must_use = "nothing is told any more once it is dropped"]
pub struct Telemetry {
    /// Changes what is logged.
    pub log_filter: LogFilter,
    spans: Option<SdkTracerProvider>,
    _flushed: WorkerGuard,
}

/// Whether `filter` can be understood.
///
/// # Errors
/// Where the filter makes no sense.
pub fn check(filter: &str) -> Result<(), ParseError> {
    EnvFilter::builder().parse(filter).map(drop)
}

/// Begins to log, and to trace where there is a collector.
///
/// # Errors
/// Where the filter or the exporter's settings make no sense.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::builder().parse(&config.filter)?);
    let spans = config.collector.as_ref().map(provider).transpose()?;
    let traced = spans.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE));
        // Where in the source a span begins, and on which thread, tells an operator nothing.
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        layer.with_filter(EnvFilter::new(TRACED))
    });
    let (writer, flushed) = log_writer::standard_error();
    let audit = AuditLines(writer.clone()).with_filter(filter_fn(audit_lines::are_of));
    let lines =
        lines::<Registry>(config.format, writer).with_filter(filter_fn(|metadata| !audit_lines::are_of(metadata)));
    let logged = lines.and_then(audit).with_filter(filter);
    // A second call, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(logged).with(traced).try_init();
    Ok(Telemetry { log_filter: LogFilter::new(handle), spans, _flushed: flushed })
}

fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(
    format: LogFormat,
    writer: NonBlocking,
) -> Box<dyn Layer<S> + Send + Sync> {
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(is_coloured()).boxed(),
        // What a line was logged in the course of stands beside what it says: request_id, trace_id.
        LogFormat::Json => json_subscriber::layer()
            .with_writer(writer)
            .with_current_span(false)
            .flatten_event(true)
            .flatten_span_list_on_top_level(true)
            .boxed(),
    }
}

/// Colours are for people; <https://no-color.org> says how those who want none say so.
fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

fn provider(collector: &Url) -> Result<SdkTracerProvider, TelemetryError> {
    let mut traces = collector.clone();
    // OTLP/HTTP, as the specification of OTEL_EXPORTER_OTLP_ENDPOINT wants it.
    traces.set_path(&format!("{}/v1/traces", collector.path().trim_end_matches('/')));
    let exporter = SpanExporter::builder().with_http().with_endpoint(traces).build()?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build())
}

/// What traces say of the process. The operator's variables win.
fn resource() -> Resource {
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty());
    let named = named || EnvResourceDetector::new().detect().get(&"service.name".into()).is_some();
    let resource = Resource::builder();
    let resource = if named { resource } else { resource.with_service_name(SERVICE) };
    resource.with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

impl Telemetry {
    /// Sends what has not been sent yet. Waits for the collector some seconds at most.
    pub async fn end(self) {
        let Some(spans) = self.spans else { return };
        let ended = tokio::task::spawn_blocking(move || spans.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}
