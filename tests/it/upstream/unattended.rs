//! Upstream work that no request waits for: which requests cause it, and how much of it there may be.

use std::time::Duration;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::{
    access::callers::{GuardedGateway, Key},
    support::{ApiResponse, Setup, eventually},
};

const OLD_DAY: &str = "start_date=2026-10-20&end_date=2026-10-20";

/// A rate at which the days of a test take much longer than its requests wait.
fn slow() -> ThrottleConfig {
    ThrottleConfig { start_rate: 5.0, ceiling: Some(5.0), ..ThrottleConfig::default() }
}

fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 300, days: 40, turnover: 0.0, ..SimulatorConfig::default() }
}

async fn get(setup: &Setup, path: &str, prefer: &str) -> ApiResponse {
    let request = setup.http.get(format!("{}{path}", setup.base)).header("Prefer", prefer);
    ApiResponse::read(request.send().await.expect("a response")).await
}

/// The value of a metric without labels.
async fn metric(setup: &Setup, name: &str) -> String {
    let page = setup.get("/metrics").await.text;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("the metric").to_owned()
}

/// Calls for one person.
fn calls_for_people(setup: &Setup) -> usize {
    let calls = setup.simulator.call_log().stats_calls();
    calls.iter().filter(|call| call.query.as_ref().is_some_and(|query| query.user_id.is_some())).count()
}

#[tokio::test]
async fn requests_for_unknown_people_that_do_not_wait_cause_no_calls() {
    let setup = Setup::new(simulation()).await;
    let paths: Vec<String> = (0..400).map(|person| format!("/v1/users/ou_nobody{person}?{OLD_DAY}")).collect();

    let responses = join_all(paths.iter().map(|path| get(&setup, path, "wait=0"))).await;

    assert!(responses.iter().all(|response| response.status == StatusCode::SERVICE_UNAVAILABLE));
    let problem = responses[0].problem();
    assert_eq!(problem["code"], "not_ready_in_time");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("no request waits")), "{problem}");
    // Calls for these people would be made before those of a later request.
    setup.get(&format!("/v1/reports/summary?{OLD_DAY}")).await.json();
    // On a busy machine, a request may end after the few milliseconds in which days are batched.
    assert!(calls_for_people(&setup) < 20, "{} calls", calls_for_people(&setup));
    eventually(async || metric(&setup, "feishu_pulse_day_fetches_in_flight").await == "0").await;
}

#[tokio::test]
async fn a_fetch_for_one_department_ends_with_the_last_request_that_waits_for_it() {
    let setup = Setup::with(simulation(), |config| config.feishu.throttle = slow()).await;
    // 100 calls, 20 s.
    let path = "/v1/user-days?department_id=0&start_date=2026-11-01&end_date=2026-11-20";

    let refused = get(&setup, path, "wait=1").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    eventually(async || metric(&setup, "feishu_pulse_chains_in_flight").await == "0").await;
    assert!(setup.upstream_calls() < 50, "{} calls", setup.upstream_calls());
}

#[tokio::test]
async fn whole_days_are_fetched_although_their_request_did_not_wait() {
    let setup = Setup::new(simulation()).await;
    let range = "start_date=2026-11-10&end_date=2026-11-12";

    let refused = get(&setup, &format!("/v1/reports/summary?{range}"), "wait=0").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    let problem = refused.problem();
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("being fetched")), "{problem}");
    // The endpoint does not fetch days.
    let are_held = async || {
        let items = setup.get(&format!("/v1/coverage?{range}")).await.json()["data"].clone();
        items.as_array().is_some_and(|items| items.iter().all(|item| item["state"] == "final"))
    };
    eventually(are_held).await;
}

#[tokio::test]
async fn at_most_a_year_of_days_is_fetched_for_a_caller_that_does_not_wait() {
    // No call ends during the test.
    let simulation = SimulatorConfig { latency: Duration::from_secs(600), ..simulation() };
    let setup = Setup::with(simulation, |config| config.feishu.call_timeout = Duration::from_secs(600)).await;

    for range in ["start_date=2022-01-01&end_date=2023-12-31", "start_date=2024-01-01&end_date=2025-12-31"] {
        let refused = get(&setup, &format!("/v1/reports/summary?{range}"), "wait=0").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    eventually(async || metric(&setup, "feishu_pulse_day_fetches_in_flight").await == "366").await;
}

#[tokio::test]
async fn an_unknown_id_is_asked_for_once_in_five_minutes() {
    let setup = Setup::new(simulation()).await;
    let unknown =
        ["/v1/users/ou_nobody?".to_owned() + OLD_DAY, format!("/v1/user-days?department_id=od-none&{OLD_DAY}")];
    let ask = async || {
        for path in &unknown {
            let response = setup.get(path).await;
            assert_eq!(response.status, StatusCode::NOT_FOUND, "{}", response.text);
        }
        setup.upstream_calls()
    };

    assert_eq!([ask().await, ask().await], [2, 2]);
    setup.set_time("2026-11-22T04:04:59Z");
    assert_eq!(ask().await, 2);
    setup.set_time("2026-11-22T04:05:00Z");
    assert_eq!(ask().await, 4);
}

#[tokio::test]
async fn refused_requests_cause_no_calls() {
    let reader = Key::new("reader", &[Scope::ReportsRead]);
    let bound = Key::bound("bound", &[Scope::UsersRead], &["总部/研发"]);
    let limited = Key::new("limited", &[Scope::UsersRead]);
    let keys = [reader.clone(), bound.clone(), limited.clone()];
    let guarded = GuardedGateway::with(simulation(), &keys, |config| config.access.requests_per_minute = Some(1)).await;
    let rows = format!("/v1/user-days?{OLD_DAY}");

    assert_eq!(guarded.setup.get(&rows).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(guarded.get(&rows, &reader).await.status, StatusCode::FORBIDDEN);
    let outside = format!("{rows}&department_path=总部/销售");
    assert_eq!(guarded.get(&outside, &bound).await.status, StatusCode::FORBIDDEN);
    assert_eq!(guarded.get("/v1/coverage", &limited).await.status, StatusCode::OK);
    assert_eq!(guarded.get(&rows, &limited).await.status, StatusCode::TOO_MANY_REQUESTS);
    let person = format!("/v1/users/ou_nobody?{OLD_DAY}");
    assert_eq!(guarded.get(&person, &limited).await.status, StatusCode::TOO_MANY_REQUESTS);

    assert_eq!(guarded.setup.simulator.call_log().calls().len(), 0);
}
