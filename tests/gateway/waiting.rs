//! How long callers wait, and what they are told when it takes longer.

use std::time::Duration;

use crate::support::{Answer, Setup};
use feishu_pulse::sim::SimConfig;
use reqwest::StatusCode;

const MONTH: &str = "/v1/reports/activity?start_date=2026-10-01&end_date=2026-10-31";

/// A Feishu that takes a second for each of a month's 26 pages.
async fn slow() -> Setup {
    Setup::new(SimConfig { users: 50, latency: Duration::from_secs(1), ..SimConfig::default() }).await
}

async fn get(setup: &Setup, prefer: &str) -> Answer {
    let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("Prefer", prefer);
    Answer::read(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn a_caller_who_waits_less_is_told_when_to_come_back() {
    let setup = slow().await;

    let answer = get(&setup, "wait=1").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem()["code"], "not_ready_in_time");
    assert_eq!(answer.headers["preference-applied"], "wait=1");
    let retry_after: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert_eq!(answer.problem()["retry_after"], retry_after);
}

#[tokio::test]
async fn a_day_that_is_held_is_answered_without_any_wait() {
    let setup = Setup::new(SimConfig { users: 50, ..SimConfig::default() }).await;
    setup.get(MONTH).await.json();

    let answer = get(&setup, "wait=0").await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["preference-applied"], "wait=0");
}
