//! Limits: a refusal is waited out, a ceiling is kept, and a spent quota stops every call.

use std::time::Duration;

use feishu_pulse::{
    feishu::throttle::ThrottleConfig,
    model::UserIdType,
    sim::{RateHints, RefusalStatus, ResetHint, SimConfig},
};
use reqwest::StatusCode;
use rstest::rstest;

use crate::{
    support::Setup,
    truth::{lines, rows},
};

/// Five pages a day.
fn simulation() -> SimConfig {
    SimConfig { users: 300, days: 30, turnover: 0.0, ..SimConfig::default() }
}

#[rstest]
#[tokio::test]
async fn a_refusal_is_waited_out_however_it_comes(
    #[values(RefusalStatus::TooManyRequests, RefusalStatus::BadRequest)] refuse_with: RefusalStatus,
    #[values("seconds", "decimal", "absent", "-1", "soon")] hint: &str,
) {
    let reset = match hint {
        "seconds" => ResetHint::Seconds,
        "decimal" => ResetHint::Decimal,
        "absent" => ResetHint::Absent,
        text => ResetHint::Fixed(text.to_owned()),
    };
    let limits = "bucket:1/s:2".parse().expect("limits");
    let rate_hints = RateHints { reset, on_success: false };
    let config = SimConfig { users: 180, limits, refuse_with, rate_hints, ..simulation() };
    let setup = Setup::with(config, |config| config.feishu.throttle.start_rate = 400.0).await;

    let told = lines(&setup, "start_date=2026-11-20&end_date=2026-11-20").await;

    assert_eq!(told, rows(&setup, setup.home(), "2026-11-20", "2026-11-20", UserIdType::OpenId));
    assert!(!setup.simulator.ledger().refusals().is_empty());
    assert_eq!(setup.simulator.ledger().ok_stats_calls().len(), 3);
}

#[tokio::test]
async fn nothing_is_asked_before_the_time_that_a_refusal_names() {
    let rate_hints = RateHints { reset: ResetHint::Fixed("1".to_owned()), on_success: true };
    let config = SimConfig { limits: "bucket:1/s:2".parse().expect("limits"), rate_hints, ..simulation() };
    let throttle = ThrottleConfig { start_rate: 1_000.0, max_in_flight: 1, ..ThrottleConfig::default() };
    let setup = Setup::with(config, |config| config.feishu.throttle = throttle).await;

    let answer = setup.get("/v1/user-days?start_date=2026-11-20&end_date=2026-11-20").await;

    let calls = setup.simulator.ledger().stats_calls();
    let refused = setup.simulator.ledger().refusals();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!refused.is_empty());
    for refusal in refused {
        let next = calls.iter().find(|call| call.number > refusal.number).expect("another try");
        assert!(next.arrived >= refusal.finished.expect("an end") + Duration::from_secs(1));
    }
}

#[tokio::test]
async fn the_ceiling_is_never_exceeded() {
    let throttle = ThrottleConfig { ceiling: Some(40.0), start_rate: 5_000.0, ..ThrottleConfig::default() };
    let setup = Setup::with(simulation(), |config| config.feishu.throttle = throttle).await;

    let answer = setup.get("/v1/reports/activity?start_date=2026-11-09&end_date=2026-11-20").await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(setup.upstream_calls(), 60);
    // One more than the ceiling, since a call may be a little longer on its way than the next.
    let most = setup.simulator.ledger().max_in_window(Duration::from_secs(1));
    assert!(most <= 41, "{most} calls in a second");
}

#[tokio::test]
async fn a_spent_quota_stops_every_call_until_the_next_month() {
    let setup = Setup::new(SimConfig { users: 100, quota: Some(3), ..simulation() }).await;
    let path = |day: u8| format!("/v1/reports/activity?start_date=2026-11-{day}&end_date=2026-11-{day}");
    setup.get(&path(20)).await.json();

    let spent = setup.get(&path(19)).await;
    let calls = setup.upstream_calls();
    let again = [setup.get(&path(19)).await, setup.get(&path(18)).await];
    let held = setup.get(&path(20)).await;
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
        // From noon of the 22nd to the midnight after the 30th, in China.
        assert_eq!(answer.headers["retry-after"], (8 * 86_400 + 12 * 3_600).to_string());
    }
    assert_eq!((held.status, calls_meanwhile), (StatusCode::OK, 0));
    assert_eq!(last_second.headers["retry-after"], "1");
    assert_eq!(next_month.status, StatusCode::OK);
}
