//! Rate limits and the monthly quota.

use std::time::Duration;

use feishu_simulator::{OverLimitStatus, RateLimitHeaders, ResetHeader, SimulatorConfig};
use rstest::rstest;

use crate::caller::{Caller, Reply};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

/// Admits two calls. A token per minute is slow enough for the slowest test machine.
fn two_calls() -> SimulatorConfig {
    SimulatorConfig { limits: "bucket:1/min:2".parse().expect("limits"), ..SimulatorConfig::default() }
}

#[rstest]
#[case(OverLimitStatus::TooManyRequests, 429)]
#[case(OverLimitStatus::BadRequest, 400)]
#[tokio::test]
async fn a_rejected_call_states_how_long_to_wait(#[case] over_limit_status: OverLimitStatus, #[case] status: u16) {
    let caller = Caller::start(SimulatorConfig { over_limit_status, ..two_calls() }).await;

    let replies = [caller.get_page(DAY).await, caller.get_page(DAY).await, caller.get_page(DAY).await];

    assert_eq!(replies.each_ref().map(Reply::code), [0, 0, 99_991_400]);
    let rejected = &replies[2];
    let seconds: u64 = rejected.header("x-ogw-ratelimit-reset").expect("the header").parse().expect("whole seconds");
    assert_eq!(rejected.status, status);
    assert_eq!(rejected.body["msg"], "request trigger frequency limit");
    assert!((1..=60).contains(&seconds));
    assert!(rejected.header("x-ogw-ratelimit-limit").is_some());
    assert!(replies[0].header("x-ogw-ratelimit-limit").is_none());
    assert_eq!(caller.simulator.call_log().rate_limited_calls().len(), 1);
    assert_eq!(caller.simulator.call_log().max_in_window(Duration::from_secs(600)), 3);
}

#[rstest]
#[case(ResetHeader::Absent, None)]
#[case(ResetHeader::Fixed("-1".to_owned()), Some("-1"))]
#[case(ResetHeader::Fixed("86400".to_owned()), Some("86400"))]
#[tokio::test]
async fn the_rate_limit_headers_can_be_absent_or_invalid(#[case] reset: ResetHeader, #[case] expected: Option<&str>) {
    let caller = Caller::start(SimulatorConfig {
        limits: "bucket:1/min:1".parse().expect("limits"),
        rate_limit_headers: RateLimitHeaders { reset, on_success: false },
        ..SimulatorConfig::default()
    })
    .await;

    caller.get_page(DAY).await;
    let rejected = caller.get_page(DAY).await;

    assert_eq!(rejected.code(), 99_991_400);
    assert_eq!(rejected.header("x-ogw-ratelimit-reset"), expected);
}

#[tokio::test]
async fn successful_replies_can_contain_rate_limit_headers() {
    let rate_limit_headers = RateLimitHeaders { reset: ResetHeader::Decimal, on_success: true };
    let caller = Caller::start(SimulatorConfig { rate_limit_headers, ..SimulatorConfig::default() }).await;

    let reply = caller.get_page(DAY).await;

    assert_eq!(reply.header("x-ogw-ratelimit-reset"), Some("0.000"));
}

#[tokio::test]
async fn token_calls_are_never_limited() {
    let caller = Caller::start(two_calls()).await;

    for _ in 0..5 {
        assert_eq!(caller.request_token("cli_demo", "demo-secret").await.code(), 0);
    }

    assert_eq!(caller.get_page(DAY).await.code(), 0);
}

#[tokio::test]
async fn failed_calls_do_not_count_against_the_quota() {
    let caller = Caller::start(SimulatorConfig { quota: Some(2), ..SimulatorConfig::default() }).await;

    let codes = [
        caller.get_page("start_date=2026-11-20").await.code(),
        caller.get_page(DAY).await.code(),
        caller.get_page("end_date=2026-11-20").await.code(),
        caller.get_page(DAY).await.code(),
    ];
    let spent = caller.get_page(DAY).await;

    assert_eq!(codes, [1_051_001, 0, 1_051_001, 0]);
    assert_eq!(spent.status_and_code(), (429, 99_991_403));
}

#[tokio::test]
async fn the_quota_is_renewed_in_the_next_month() {
    let caller = Caller::start(SimulatorConfig { quota: Some(1), ..SimulatorConfig::default() }).await;
    caller.get_page(DAY).await;
    let spent = caller.get_page(DAY).await.code();

    // Midnight in UTC+8.
    caller.set_time("2026-11-30T16:00:00Z");
    let next_month = caller.get_page(DAY).await.code();

    assert_eq!((spent, next_month), (99_991_403, 0));
}
