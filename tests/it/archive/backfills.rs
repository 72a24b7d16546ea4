//! Backfill jobs.

use std::time::Duration;

use feishu_simulator::SimulatorConfig;
use serde_json::Value;

use crate::{
    archive::lake::{DAYS, Lake, RANGE},
    support::{ApiResponse, Setup, eventually},
};

/// Starts a backfill. Returns its location and its first state.
async fn start(gateway: &Setup, range: &str) -> (String, Value) {
    let url = format!("{}/v1/backfills?{range}", gateway.base);
    let response = gateway.http.post(url).send().await.expect("an answer");
    let answer = ApiResponse::read(response).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let location = answer.headers["location"].to_str().expect("text").to_owned();
    (location, serde_json::from_str(&answer.text).expect("JSON"))
}

/// Waits until the job has ended, and returns its final state.
async fn wait_for_end(gateway: &Setup, location: &str) -> Value {
    eventually(async || gateway.get(location).await.json()["state"] != "running").await;
    gateway.get(location).await.json()
}

#[tokio::test]
async fn a_job_fills_the_archive_and_a_second_job_fetches_nothing() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;

    let (location, started) = start(&gateway, RANGE).await;
    let ended = wait_for_end(&gateway, &location).await;
    let spent = gateway.upstream_calls();
    let (again, _) = start(&gateway, RANGE).await;
    let second = wait_for_end(&gateway, &again).await;

    assert_eq!((&started["state"], &started["start_date"]), (&Value::from("running"), &Value::from("2026-11-11")));
    assert_eq!(ended["state"], "done");
    assert_eq!(ended["days"], serde_json::json!({"total": DAYS, "done": DAYS, "fetched": DAYS}));
    assert!(ended["calls"].as_u64() > Some(0));
    assert_eq!(second["days"], serde_json::json!({"total": DAYS, "done": DAYS, "fetched": 0}));
    assert_eq!(gateway.upstream_calls(), spent);
    lake.holds(DAYS).await;
    let all = gateway.get("/v1/backfills").await.json();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2));
}

/// A gateway with an upstream latency of 2 s, so that a job takes a while.
async fn slow_gateway(lake: &Lake) -> Setup {
    let latency = Duration::from_secs(2);
    lake.gateway_with(SimulatorConfig { users: 60, latency, ..SimulatorConfig::default() }).await
}

#[tokio::test]
async fn a_job_resumes_after_a_restart() {
    let lake = Lake::new();
    let interrupted = slow_gateway(&lake).await;
    let (location, _) = start(&interrupted, RANGE).await;
    drop(interrupted);

    let restarted = lake.gateway().await;
    eventually(async || restarted.get(&location).await.status == 200).await;
    let ended = wait_for_end(&restarted, &location).await;

    assert_eq!(ended["state"], "done");
    lake.holds(DAYS).await;
    eventually(async || !lake.files().iter().any(|name| name.starts_with("backfills/"))).await;
}

#[tokio::test]
async fn a_cancelled_job_ends_at_once() {
    let lake = Lake::new();
    let gateway = slow_gateway(&lake).await;
    let (location, _) = start(&gateway, RANGE).await;

    let url = format!("{}{location}", gateway.base);
    let cancelled = ApiResponse::read(gateway.http.delete(url).send().await.expect("an answer")).await.json();

    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(gateway.get(&location).await.json()["state"], "cancelled");
}

#[tokio::test]
async fn events_report_a_job_until_it_ends() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    let (location, _) = start(&gateway, RANGE).await;

    let stream = gateway.get(&format!("{location}/events")).await;

    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let data: Vec<_> = stream.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let last: Value = serde_json::from_str(data.last().expect("an event")).expect("JSON");
    assert_eq!((&last["state"], &last["days"]["done"]), (&Value::from("done"), &Value::from(DAYS)));
}

#[tokio::test]
async fn a_job_that_feishu_forbids_fails_with_the_reason() {
    use feishu_simulator::{FaultKind, FaultTarget, InjectedFault};
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    gateway.simulator.faults().push(InjectedFault::new(FaultKind::error_code(99_991_672)).on(FaultTarget::Stats));

    let (location, _) = start(&gateway, RANGE).await;
    let ended = wait_for_end(&gateway, &location).await;

    assert_eq!(ended["state"], "failed");
    assert!(ended["error"].as_str().is_some_and(|error| error.contains("99991672")), "{ended}");
}

#[tokio::test]
async fn an_unknown_job_is_not_found_and_a_faulty_request_is_refused() {
    let gateway = Lake::new().gateway().await;
    for path in ["/v1/backfills/nothing", "/v1/backfills/nothing/events"] {
        assert_eq!(gateway.get(path).await.status, 404);
    }
    let faulty = gateway.http.post(format!("{}/v1/backfills?from=x", gateway.base)).send().await.expect("an answer");
    assert_eq!(faulty.status(), 400);
}
