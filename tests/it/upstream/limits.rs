//! Limits: the gateway retries refused calls later, never exceeds the configured ceiling, and stops calls when
//! the quota is spent.

use std::time::Duration;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::model::UserIdType;
use feishu_simulator::{OverLimitStatus, PageTokenStyle, RateLimitHeaders, ResetHeader, SimulatorConfig};
use reqwest::StatusCode;
use rstest::rstest;

use crate::support::{
    Setup,
    truth::{served_rows, true_rows},
};

/// Five pages per day.
fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 300, days: 30, turnover: 0.0, ..SimulatorConfig::default() }
}

#[rstest]
#[tokio::test]
async fn refused_calls_are_retried_for_every_form_of_the_refusal(
    #[values(OverLimitStatus::TooManyRequests, OverLimitStatus::BadRequest)] over_limit_status: OverLimitStatus,
    #[values("seconds", "decimal", "absent", "-1", "soon")] hint: &str,
) {
    let reset = match hint {
        "seconds" => ResetHeader::Seconds,
        "decimal" => ResetHeader::Decimal,
        "absent" => ResetHeader::Absent,
        text => ResetHeader::Fixed(text.to_owned()),
    };
    let limits = "bucket:1/s:2".parse().expect("limits");
    let rate_limit_headers = RateLimitHeaders { reset, on_success: false };
    let config = SimulatorConfig { users: 180, limits, over_limit_status, rate_limit_headers, ..simulation() };
    let setup = Setup::with(config, |config| config.feishu.throttle.start_rate = 400.0).await;

    let response_rows = served_rows(&setup, "start_date=2026-11-20&end_date=2026-11-20").await;

    assert_eq!(response_rows, true_rows(&setup, setup.home(), "2026-11-20", "2026-11-20", UserIdType::OpenId));
    assert!(!setup.simulator.call_log().rate_limited_calls().is_empty());
    assert_eq!(setup.simulator.call_log().successful_stats_calls().len(), 3);
}

#[tokio::test]
async fn no_call_is_made_before_the_reset_time_of_a_refusal() {
    let rate_limit_headers = RateLimitHeaders { reset: ResetHeader::Fixed("1".to_owned()), on_success: true };
    let config =
        SimulatorConfig { limits: "bucket:1/s:2".parse().expect("limits"), rate_limit_headers, ..simulation() };
    let throttle = ThrottleConfig { start_rate: 1_000.0, max_in_flight: 1, ..ThrottleConfig::default() };
    let setup = Setup::with(config, |config| config.feishu.throttle = throttle).await;

    let answer = setup.get("/v1/user-days?start_date=2026-11-20&end_date=2026-11-20").await;

    let calls = setup.simulator.call_log().stats_calls();
    let refused = setup.simulator.call_log().rate_limited_calls();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!refused.is_empty());
    for refusal in refused {
        let next = calls.iter().find(|call| call.number > refusal.number).expect("a retry");
        assert!(next.arrived >= refusal.finished.expect("an end") + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_ceiling_is_never_exceeded() {
    let throttle = ThrottleConfig { ceiling: Some(40.0), start_rate: 5_000.0, ..ThrottleConfig::default() };
    // No page is guessed: a wrong guess costs a call.
    let simulation = SimulatorConfig { page_tokens: PageTokenStyle::Opaque, ..simulation() };
    let setup = Setup::with(simulation, |config| config.feishu.throttle = throttle).await;

    let answer = setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-09&end_date=2026-11-20").await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(setup.upstream_calls(), 60);
    // One call above the ceiling is allowed, because the latency of the calls varies.
    let max_calls = setup.simulator.call_log().max_in_window(Duration::from_secs(1));
    assert!(max_calls <= 41, "{max_calls} calls in a second");
}

#[tokio::test]
async fn a_spent_quota_stops_all_calls_but_for_trials_until_the_next_month() {
    let setup = Setup::new(SimulatorConfig { users: 100, quota: Some(3), ..simulation() }).await;
    let path = |day: u8| format!("/v1/reports/activity?trailing=held&start_date=2026-11-{day}&end_date=2026-11-{day}");
    setup.get(&path(20)).await.json();

    let spent = setup.get(&path(19)).await;
    let calls = setup.upstream_calls();
    let again = [setup.get(&path(19)).await, setup.get(&path(18)).await];
    let cached = setup.get(&path(20)).await;
    let calls_meanwhile = setup.upstream_calls() - calls;
    setup.set_time("2026-11-30T15:59:59Z");
    let last_second = setup.get(&path(19)).await;
    setup.set_time("2026-11-30T16:00:00Z");
    let next_month = setup.get(&path(19)).await;

    for answer in [&spent, &again[0], &again[1]] {
        let problem = answer.problem();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (&problem["code"], &problem["upstream_code"]),
            (&"upstream_quota_exhausted".into(), &99_991_403.into())
        );
        // The next trial.
        assert_eq!(answer.headers["retry-after"], "3600");
    }
    assert_eq!((cached.status, calls_meanwhile), (StatusCode::OK, 0));
    assert_eq!(last_second.headers["retry-after"], "1");
    assert_eq!(next_month.status, StatusCode::OK);
}
