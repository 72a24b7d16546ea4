//! Limits and quotas: who is refused, and what they are told.

use std::time::Duration;

use feishu_pulse::sim::{RateHints, RefusalStatus, ResetHint, SimConfig};
use rstest::rstest;

use crate::caller::{Caller, Reply};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

/// Two calls, however slow the machine is.
fn two_calls() -> SimConfig {
    SimConfig { limits: "bucket:1/min:2".parse().expect("limits"), ..SimConfig::default() }
}

#[rstest]
#[case(RefusalStatus::TooManyRequests, 429)]
#[case(RefusalStatus::BadRequest, 400)]
#[tokio::test]
async fn a_call_over_the_limit_is_told_how_long_to_wait(#[case] refuse_with: RefusalStatus, #[case] status: u16) {
    let caller = Caller::of(SimConfig { refuse_with, ..two_calls() }).await;

    let replies = [caller.ask(DAY).await, caller.ask(DAY).await, caller.ask(DAY).await];

    assert_eq!(replies.each_ref().map(Reply::code), [0, 0, 99_991_400]);
    let refused = &replies[2];
    let seconds: u64 = refused.header("x-ogw-ratelimit-reset").expect("a hint").parse().expect("whole seconds");
    assert_eq!(refused.status, status);
    assert_eq!(refused.body["msg"], "request trigger frequency limit");
    assert!((1..=60).contains(&seconds));
    assert!(refused.header("x-ogw-ratelimit-limit").is_some());
    assert!(replies[0].header("x-ogw-ratelimit-limit").is_none());
    assert_eq!(caller.simulator.ledger().refusals().len(), 1);
    assert_eq!(caller.simulator.ledger().max_in_window(Duration::from_secs(600)), 3);
}

#[rstest]
#[case(ResetHint::Absent, None)]
#[case(ResetHint::Fixed("-1".to_owned()), Some("-1"))]
#[case(ResetHint::Fixed("86400".to_owned()), Some("86400"))]
#[tokio::test]
async fn hints_may_be_absent_or_absurd(#[case] reset: ResetHint, #[case] expected: Option<&str>) {
    let caller = Caller::of(SimConfig {
        limits: "bucket:1/min:1".parse().expect("limits"),
        rate_hints: RateHints { reset, on_success: false },
        ..SimConfig::default()
    })
    .await;

    caller.ask(DAY).await;
    let refused = caller.ask(DAY).await;

    assert_eq!(refused.code(), 99_991_400);
    assert_eq!(refused.header("x-ogw-ratelimit-reset"), expected);
}

#[tokio::test]
async fn successful_replies_may_carry_decimal_hints_too() {
    let rate_hints = RateHints { reset: ResetHint::Decimal, on_success: true };
    let caller = Caller::of(SimConfig { rate_hints, ..SimConfig::default() }).await;

    let reply = caller.ask(DAY).await;

    assert_eq!(reply.header("x-ogw-ratelimit-reset"), Some("0.000"));
}

#[tokio::test]
async fn token_calls_are_never_limited() {
    let caller = Caller::of(two_calls()).await;

    for _ in 0..5 {
        assert_eq!(caller.ask_for_token("cli_demo", "demo-secret").await.code(), 0);
    }

    assert_eq!(caller.ask(DAY).await.code(), 0);
}

#[tokio::test]
async fn calls_that_fail_are_not_charged_to_the_quota() {
    let caller = Caller::of(SimConfig { quota: Some(2), ..SimConfig::default() }).await;

    let codes = [
        caller.ask("start_date=2026-11-20").await.code(),
        caller.ask(DAY).await.code(),
        caller.ask("end_date=2026-11-20").await.code(),
        caller.ask(DAY).await.code(),
    ];
    let spent = caller.ask(DAY).await;

    assert_eq!(codes, [1_051_001, 0, 1_051_001, 0]);
    assert_eq!(spent.verdict(), (429, 99_991_403));
}

#[tokio::test]
async fn a_spent_quota_is_back_next_month() {
    let caller = Caller::of(SimConfig { quota: Some(1), ..SimConfig::default() }).await;
    caller.ask(DAY).await;
    let spent = caller.ask(DAY).await.code();

    caller.clock.set("2026-11-30T16:00:00Z".parse().expect("midnight in UTC+8"));
    let next_month = caller.ask(DAY).await.code();

    assert_eq!((spent, next_month), (99_991_403, 0));
}
