//! Backfill jobs: their number is limited per caller, and callers share the upstream fairly.

use std::time::Duration;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{access::Scope, model::Day};
use feishu_simulator::{PageTokenStyle, SimulatorConfig};
use reqwest::{Method, StatusCode};

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::{ApiResponse, eventually},
};

async fn request_async(guarded: &GuardedGateway, key: &Key, first: &str, last: &str) -> ApiResponse {
    let path = format!("/v1/reports/summary?start_date={first}&end_date={last}");
    send(guarded.request(Method::GET, &path).bearer_auth(&key.secret).header("prefer", "respond-async")).await
}

#[tokio::test]
async fn a_caller_may_have_64_jobs_at_a_time() {
    let keys = ["busy", "other"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let simulation = SimulatorConfig { users: 5, latency: Duration::from_secs(60), ..SimulatorConfig::default() };
    let guarded = GuardedGateway::new(simulation, &keys).await;
    let last = |at: usize| format!("2026-{:02}-{:02}", 9 + at / 28, 1 + at % 28);
    // Sent concurrently, because each waits up to 200 ms for the days.
    let requests = (0..64).map(|at| {
        let (guarded, key, last) = (&guarded, &keys[0], last(at));
        async move { request_async(guarded, key, "2026-09-01", &last).await.status }
    });
    for status in futures_util::future::join_all(requests).await {
        assert_eq!(status, StatusCode::ACCEPTED);
    }

    let refused = request_async(&guarded, &keys[0], "2026-08-31", "2026-10-01").await;
    let again = request_async(&guarded, &keys[0], "2026-09-01", "2026-09-01").await;
    let others = request_async(&guarded, &keys[1], "2026-08-31", "2026-10-01").await;

    assert_eq!(
        (refused.status, &refused.problem()["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &"too_many_requests".into())
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!((again.status, others.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
}

/// Starts a backfill whose days have ten pages each.
async fn start_backfill(guarded: &GuardedGateway, key: &Key, first: &str, days: i32) -> String {
    let last = first.parse::<Day>().expect("a day").plus(days - 1);
    let path = format!("/v1/backfills?start_date={first}&end_date={last}");
    let accepted = send(guarded.request(Method::POST, &path).bearer_auth(&key.secret)).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    accepted.headers["location"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_caller_with_one_job_gets_half_of_the_upstream_calls() {
    let keys = ["busy", "other"].map(|name| Key::new(name, &[Scope::Admin]));
    let page_tokens = PageTokenStyle::Opaque;
    let simulation = SimulatorConfig { users: 600, days: 60, turnover: 0.0, page_tokens, ..SimulatorConfig::default() };
    let throttle = ThrottleConfig { ceiling: Some(20.0), start_rate: 20.0, ..ThrottleConfig::default() };
    let guarded = GuardedGateway::with(simulation, &keys, |config| config.feishu.throttle = throttle).await;
    let calls = || guarded.setup.upstream_calls();
    for first in ["2026-10-01", "2026-10-05", "2026-10-09", "2026-10-13", "2026-10-17", "2026-10-21"] {
        start_backfill(&guarded, &keys[0], first, 4).await;
    }
    eventually(async || calls() > 20).await;

    let before = calls();
    let job = start_backfill(&guarded, &keys[1], "2026-11-10", 1).await;
    eventually(async || guarded.get(&job, &keys[1]).await.json()["state"] == "done").await;
    let between = calls() - before;

    // Ten pages of each caller, and the calls in flight. With one turn per job it would be seventy.
    assert!(between <= 35, "{between} calls until ten pages were fetched");
}
