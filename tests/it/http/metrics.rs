//! Metrics: their values, their format, and the absence of personal data.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{api::MetricsListener, app::GatewayConfig, feishu::quota::QuotaConfig};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, PageTokenStyle, SimulatorConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{ApiResponse, Setup, eventually};

const WEEK: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-10&end_date=2026-11-16";

fn simulation() -> SimulatorConfig {
    // Opaque page tokens: the gateway fetches no page ahead, so no call is cancelled.
    SimulatorConfig {
        users: 300,
        days: 30,
        turnover: 0.0,
        page_tokens: PageTokenStyle::Opaque,
        ..SimulatorConfig::default()
    }
}

/// The metrics of a scrape, parsed strictly according to the text format.
#[derive(Debug, Default)]
struct MetricsPage {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl MetricsPage {
    async fn scrape(setup: &Setup) -> Self {
        Self::parse(&setup.get("/metrics").await)
    }

    fn parse(answer: &ApiResponse) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert!(answer.text.ends_with('\n'));
        let (mut page, mut family) = (Self::default(), String::new());
        for line in answer.text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help text");
                assert!(is_name(name) && !text.is_empty(), "{line}");
                name.clone_into(&mut family);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(name, family, "a type follows the help of the same name");
                let twice = page.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(twice, None, "{name} is there twice");
            } else {
                page.parse_sample(&family, line);
            }
        }
        page
    }

    fn parse_sample(&mut self, family: &str, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        let suffixes: &[&str] = match self.kinds[family].as_str() {
            "counter" => {
                assert!(family.ends_with("_total"), "{line}");
                &[""]
            }
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            kind => panic!("{kind} of {family}"),
        };
        assert!(suffixes.iter().any(|suffix| name == format!("{family}{suffix}")), "{line} below {family}");
        assert!(labels(&series[name.len()..]).is_some(), "{line}");
        let value: f64 = value.parse().expect("a number");
        assert!(value >= 0.0, "{line}");
        assert_eq!(self.samples.insert(series.to_owned(), value), None, "{line} is there twice");
    }

    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.samples))
    }

    fn has_value(&self, series: &str, expected: usize) -> bool {
        (self.value(series) - expected as f64).abs() < f64::EPSILON
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Parses `{name="value",…}` or an empty string. No label value of the gateway needs an escape.
fn labels(text: &str) -> Option<Vec<(&str, &str)>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let inside = text.strip_prefix('{')?.strip_suffix("\"}")?;
    let pairs = inside.split("\",").map(|pair| pair.split_once("=\""));
    pairs.map(|pair| pair.filter(|(name, value)| is_name(name) && !value.contains(['"', '\\', ' ']))).collect()
}

#[tokio::test]
async fn metrics_match_the_call_log_of_the_simulator() {
    let setup = Setup::new(simulation()).await;

    setup.get(WEEK).await.json();
    setup.get(WEEK).await.json();

    let (page, call_log) = (MetricsPage::scrape(&setup).await, setup.simulator.call_log());
    let calls = call_log.successful_stats_calls().len();
    for series in [
        "feishu_pulse_upstream_calls_total{outcome=\"success\"}",
        "feishu_pulse_upstream_call_duration_seconds_count",
        "feishu_pulse_upstream_permits_total",
        "feishu_pulse_upstream_quota_used_calls",
    ] {
        assert!(page.has_value(series, calls), "{series} is {} of {calls}", page.value(series));
    }
    assert!(page.has_value("feishu_pulse_token_requests_total{outcome=\"success\"}", call_log.token_calls().len()));
    assert!(page.has_value("feishu_pulse_memory_lookups_total{result=\"miss\"}", 7));
    assert!(page.has_value("feishu_pulse_memory_lookups_total{result=\"hit\"}", 7));
    assert!(page.has_value("feishu_pulse_day_fetches_total", 7));
    assert!(page.has_value("feishu_pulse_memory_partitions{state=\"final\"}", 7));
    for cache in ["miss", "hit"] {
        let labels = format!("route=\"/v1/reports/activity\",method=\"GET\",status=\"2xx\",cache=\"{cache}\"");
        assert!(page.has_value(&format!("feishu_pulse_http_request_duration_seconds_count{{{labels}}}"), 1));
    }
    eventually(async || MetricsPage::scrape(&setup).await.value("feishu_pulse_memory_bytes") > 0.0).await;
    let page = MetricsPage::scrape(&setup).await;
    let names = |of: &str| page.value(&format!("feishu_pulse_dictionary_bytes{{of=\"{of}\"}}"));
    assert!(names("people") > names("departments") && names("departments") > 0.0 && names("devices") > 0.0);
}

#[tokio::test]
async fn throttled_calls_rejected_tokens_and_failures_are_counted_separately() {
    let config = SimulatorConfig {
        limits: "bucket:40/s:3".parse().expect("limits"),
        // No page is guessed: the gateway does not see the reply to a guess that it has discarded.
        page_tokens: feishu_simulator::PageTokenStyle::Opaque,
        ..simulation()
    };
    let throttle = ThrottleConfig { start_rate: 1_000.0, ..ThrottleConfig::default() };
    let setup = Setup::with(config, |config| config.feishu.throttle = throttle).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::RejectAccessToken));
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Html { status: 502 }));
    setup.simulator.faults().push(InjectedFault::new(FaultKind::CloseWithoutReply));
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Html { status: 502 }).on(FaultTarget::Token));

    setup.get(WEEK).await.json();

    let (page, refused) = (MetricsPage::scrape(&setup).await, setup.simulator.call_log().rate_limited_calls().len());
    assert!(refused > 0 && page.has_value("feishu_pulse_upstream_refusals_total", refused));
    for (outcome, expected) in [("throttled", refused), ("token_rejected", 1), ("failed", 1), ("no_reply", 1)] {
        let series = format!("feishu_pulse_upstream_calls_total{{outcome=\"{outcome}\"}}");
        assert!(page.has_value(&series, expected), "{series} is {}", page.value(&series));
    }
    assert!(page.has_value("feishu_pulse_token_requests_total{outcome=\"failed\"}", 1));
    assert!(page.has_value("feishu_pulse_token_requests_total{outcome=\"success\"}", 2));
    assert!(page.value("feishu_pulse_upstream_wait_seconds_total") > 0.0);
}

#[tokio::test]
async fn callers_who_share_a_fetch_are_counted() {
    let config = SimulatorConfig { latency: Duration::from_millis(50), ..simulation() };
    let setup = Setup::new(config).await;

    join_all((0..4).map(|_| setup.get(WEEK))).await;

    let page = MetricsPage::scrape(&setup).await;
    assert!(page.has_value("feishu_pulse_day_fetches_total", 7));
    assert!(page.has_value("feishu_pulse_collapsed_callers_total", 3 * 7));
}

#[tokio::test]
async fn unknown_values_are_omitted_instead_of_zero() {
    let quota = QuotaConfig { monthly_limit: Some(5_000), interactive_share: 0.0 };
    let limited = Setup::with(simulation(), |config| config.feishu.quota = quota).await;
    let unlimited = Setup::new(simulation()).await;

    let (limited, unlimited) = (MetricsPage::scrape(&limited).await, MetricsPage::scrape(&unlimited).await);

    assert!(limited.has_value("feishu_pulse_upstream_quota_limit_calls", 5_000));
    assert!(!unlimited.samples.contains_key("feishu_pulse_upstream_quota_limit_calls"));
    assert!(!unlimited.samples.contains_key("feishu_pulse_upstream_limit_calls"));
}

#[tokio::test]
async fn requests_cannot_create_series_and_metrics_name_no_person() {
    let setup = Setup::new(simulation()).await;
    let people = setup.get("/v1/user-days?start_date=2026-11-10&end_date=2026-11-10&limit=300").await.json();
    let before = MetricsPage::scrape(&setup).await.samples.len();

    for made_up in ["one", "two", "three"] {
        setup.get(&format!("/{made_up}?user_id=ou_{made_up}")).await;
        setup.get(&format!("/problems/{made_up}")).await;
        let method = reqwest::Method::from_bytes(made_up.to_uppercase().as_bytes()).expect("a method");
        let request = setup.http.request(method, format!("{}/livez", setup.base));
        request.send().await.expect("an answer");
    }

    let answer = setup.get("/metrics").await;
    let kinds: HashSet<_> = MetricsPage::parse(&answer)
        .samples
        .into_keys()
        .filter(|series| series.starts_with("feishu_pulse_http_request_duration_seconds_count"))
        .collect();
    // /v1/user-days, /metrics, /problems/{code}, no route at all, and /livez by an odd method.
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(MetricsPage::parse(&answer).samples.len() > before);
    for person in people["data"].as_array().expect("people") {
        for field in ["user_id", "user_name", "department_name"] {
            let private = person[field].as_str().expect("a text");
            assert!(!answer.text.contains(private), "{private} is in the metrics");
        }
    }
    assert!(!answer.text.contains("made_up") && !answer.text.contains("three"));
}

#[tokio::test]
async fn two_gateways_in_one_process_have_separate_metrics() {
    let (busy, idle) = (Setup::new(simulation()).await, Setup::new(simulation()).await);

    busy.get(WEEK).await.json();

    assert!(MetricsPage::scrape(&idle).await.has_value("feishu_pulse_upstream_permits_total", 0));
}

#[tokio::test]
async fn overdue_days_are_counted_if_days_are_prefetched() {
    let late = "feishu_pulse_late_partitions{geo=\"cn\"}";
    let warm = |config: &mut GatewayConfig| config.maintenance.warm_days = Some(3);
    let (healthy, failing) = (
        Setup::with(simulation(), warm).await,
        Setup::with(simulation(), |config| {
            warm(config);
            config.feishu.credentials.app_secret = "wrong".into();
        })
        .await,
    );
    let idle = Setup::new(simulation()).await;

    eventually(async || MetricsPage::scrape(&healthy).await.has_value(late, 0)).await;

    assert!(MetricsPage::scrape(&failing).await.has_value(late, 3));
    assert!(!MetricsPage::scrape(&idle).await.samples.contains_key(late));
}

#[tokio::test]
async fn business_metrics_are_exported_only_if_enabled() {
    let setup = Setup::with(simulation(), |config| config.business_metrics = true).await;
    let quiet = Setup::new(simulation()).await;

    let report = setup.get(WEEK).await.json();
    quiet.get(WEEK).await.json();

    let (page, newest) = (MetricsPage::scrape(&setup).await, &report["data"][6]);
    let count = |value: &Value| usize::try_from(value.as_u64().expect("a count")).expect("a small one");
    for (status, field) in [("all", "users"), ("activated", "activated"), ("active", "active")] {
        let series = format!("feishu_pulse_business_people{{geo=\"cn\",status=\"{status}\"}}");
        assert!(page.has_value(&series, count(&newest[field])), "{series} is {}", page.value(&series));
    }
    let adoption = newest["features"]["im"]["adoption"].as_f64().expect("a share");
    let exported = page.value("feishu_pulse_business_adoption_ratio{geo=\"cn\",feature=\"im\"}");
    // Reports round to three digits.
    assert!((exported - adoption).abs() < 0.001, "{exported} and {adoption}");
    assert!(page.has_value("feishu_pulse_business_day_timestamp_seconds{geo=\"cn\"}", 1_794_758_400));
    assert!(MetricsPage::scrape(&quiet).await.samples.keys().all(|series| !series.contains("business")));
}

#[tokio::test]
async fn metrics_on_the_admin_listener_are_not_served_to_callers() {
    let setup = Setup::with(simulation(), |config| config.metrics = MetricsListener::Operations).await;

    let answer = setup.get("/metrics").await;

    assert_eq!(answer.problem()["code"], "not_found");
    assert_eq!(setup.get("/openapi.json").await.json()["paths"]["/metrics"], Value::Null);
}
