//! Traces and logs: the spans of a request and its calls, and the ids in log lines.

use std::{
    io::{BufReader, Read as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use feishu_pulse::model::{Clock as _, Geo, SystemClock};
use feishu_simulator::{PageTokenStyle, Simulator, SimulatorConfig};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    cli::process::{CREDENTIALS, RunningProcess},
    support::eventually,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A trace collector that stores the spans it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Starts to listen and returns the URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let record = async |State(collector): State<Self>, body: Bytes| collector.record_spans(&body);
        let routes = Router::new().route("/v1/traces", post(record)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }

    fn record_spans(&self, body: &[u8]) {
        let sent = ExportTraceServiceRequest::decode(body).expect("a request to export traces");
        let scopes = sent.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

/// A gateway process and its log.
struct Gateway {
    running: RunningProcess,
    log: BufReader<std::process::ChildStderr>,
    address: String,
}

impl Gateway {
    fn start(settings: &[(&str, &str)]) -> Self {
        let usual = [CREDENTIALS[0], CREDENTIALS[1], ("PULSE_LISTEN", "127.0.0.1:0"), ("PULSE_LOG_FORMAT", "json")];
        let mut running = RunningProcess::start(&["serve"], &[&usual, settings].concat());
        let mut log = BufReader::new(running.0.stderr.take().expect("its log"));
        let address = next_log_line(&mut log)["address"].as_str().expect("an address").to_owned();
        Self { running, log, address }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.expect("an answer")
    }

    /// Stops the process and reads the rest of its log.
    async fn stop_and_read_log(mut self) -> Vec<Value> {
        self.running.signal("TERM");
        assert!(self.running.exit_status().await.success());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("the log");
        rest.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn next_log_line(log: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    log.read_line(&mut line).expect("a line");
    serde_json::from_str(&line).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn simulation() -> SimulatorConfig {
    let page_tokens = PageTokenStyle::Opaque;
    SimulatorConfig { users: 130, latency: Duration::from_millis(200), page_tokens, ..SimulatorConfig::default() }
}

#[tokio::test]
async fn a_trace_contains_the_calls_of_a_request_and_links_from_requests_that_shared_them() {
    let simulator = Simulator::start(simulation(), || SystemClock.now()).await.expect("a simulator");
    let (collector, upstream) = (Collector::default(), simulator.base_url());
    let endpoint = collector.start().await;
    let gateway = Gateway::start(&[("FEISHU_BASE_URL", &upstream), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    // Not always yesterday: before 09:30, Feishu has not produced yesterday yet.
    let day = Geo::Cn.latest_produced(SystemClock.now());
    let path = &format!("/v1/user-days?start_date={day}&end_date={day}&limit=1");
    let traceparent = format!("00-{TRACE}-{CALLER}-01");

    let headers = [("traceparent", traceparent.as_str())];
    let first = gateway.get(path, &headers);
    let second = async {
        eventually(async || !simulator.call_log().stats_calls().is_empty()).await;
        gateway.get(path, &[]).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.status().is_success() && second.status().is_success());
    gateway.get("/livez", &[]).await;
    gateway.stop_and_read_log().await;

    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).cloned().collect::<Vec<_>>();
    let (of_caller, others): (Vec<_>, Vec<_>) =
        named("GET /v1/user-days").into_iter().partition(|span| hex(&span.trace_id) == TRACE);
    let ([request], [collapsed]) = (&of_caller[..], &others[..]) else { panic!("{spans:#?}") };
    assert_eq!((hex(&request.parent_span_id).as_str(), request.kind), (CALLER, SpanKind::Server as i32));
    let ([fetch], [chain]) = (&named("fetch")[..], &named("chain")[..]) else { panic!("{spans:#?}") };
    assert_eq!((&fetch.parent_span_id, &chain.parent_span_id), (&request.span_id, &fetch.span_id));
    let calls = named("GET /open-apis/admin/v1/admin_user_stats");
    assert_eq!(calls.len(), simulator.call_log().stats_calls().len());
    for call in &calls {
        assert_eq!((&call.parent_span_id, hex(&call.trace_id).as_str()), (&chain.span_id, TRACE));
        assert_eq!(call.kind, SpanKind::Client as i32);
    }
    assert!(collapsed.links.iter().any(|link| link.span_id == fetch.span_id && link.trace_id == fetch.trace_id));
    // Probes have no spans, because they would outnumber all other spans.
    assert!(spans.iter().all(|span| !span.name.contains("livez")));
}

#[tokio::test]
async fn log_lines_contain_request_id_and_trace_id_even_without_a_collector() {
    let simulator = Simulator::start(simulation(), || SystemClock.now()).await.expect("a simulator");
    let upstream = simulator.base_url();
    let gateway = Gateway::start(&[("FEISHU_BASE_URL", &upstream), ("PULSE_LOG", "info,feishu_pulse=debug")]);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");

    gateway.get("/v1/coverage", &[("traceparent", &traceparent), ("x-request-id", "mine")]).await;
    gateway.get("/v1/coverage", &[("traceparent", "nonsense")]).await;
    let log = gateway.stop_and_read_log().await;

    let answered: Vec<_> = log.iter().filter(|line| line["message"] == "answered").collect();
    let [first, second] = &answered[..] else { panic!("{log:#?}") };
    assert_eq!((&first["request_id"], &first["trace_id"]), (&"mine".into(), &TRACE.into()));
    assert_eq!((&first["http.route"], &first["http.status"]), (&"/v1/coverage".into(), &200.into()));
    assert_eq!(second["trace_id"], Value::Null);
    assert!(second["request_id"].as_str().is_some_and(|id| !id.is_empty()));
}

#[tokio::test]
async fn the_log_filter_can_be_changed_at_run_time_on_the_admin_listener_only() {
    let mut gateway = Gateway::start(&[("PULSE_ADMIN_LISTEN", "127.0.0.1:0")]);
    let operators =
        format!("http://{}/log-level", next_log_line(&mut gateway.log)["address"].as_str().expect("an address"));
    let http = reqwest::Client::new();
    let put = |filter: &'static str| http.put(&operators).body(filter).send();
    let current = async || http.get(&operators).send().await.expect("an answer").text().await.expect("a text");

    assert_eq!(current().await, "info\n");
    gateway.get("/livez", &[]).await;
    assert_eq!(put("warn,feishu_pulse=debug").await.expect("an answer").status(), 204);
    gateway.get("/readyz", &[]).await;
    let refused = put("a=b=c").await.expect("an answer");
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.expect("a problem")["code"], "invalid_parameters");
    assert!(current().await.contains("feishu_pulse=debug"));
    assert_eq!(gateway.get("/log-level", &[]).await.status(), 404);

    let log = gateway.stop_and_read_log().await;
    let probes: Vec<_> = log
        .iter()
        .map(|line| &line["http.route"])
        .filter(|route| ["/livez", "/readyz"].iter().any(|probe| *route == probe))
        .collect();
    assert_eq!(probes, ["/readyz"], "{log:#?}");
}
