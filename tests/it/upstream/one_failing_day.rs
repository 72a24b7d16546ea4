//! A day that Feishu refuses costs no other day of its range.

use feishu_simulator::{CallRecord, FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Setup, day};

/// 31 days, which the tenant's size allows to fetch with one chain.
const RANGE: &str = "start_date=2026-10-10&end_date=2026-11-09";

/// A gateway that knows the size of its tenant: one page has three days.
async fn setup() -> Setup {
    let simulation = SimulatorConfig { users: 20, days: 60, turnover: 0.0, ..SimulatorConfig::default() };
    let setup = Setup::new(simulation).await;
    setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-15&end_date=2026-11-15").await.json();
    setup.simulator.call_log().clear();
    setup
}

/// A refusal that is not retried, and that can concern one day.
fn refusal() -> FaultKind {
    FaultKind::Error { status: 400, code: 424_242, message: "?".to_owned() }
}

fn on(date: &str) -> FaultTarget {
    FaultTarget::ContainingDay(day(date).date())
}

async fn partial_activity(setup: &Setup) -> Value {
    setup.get(&format!("/v1/reports/activity?trailing=held&interval=day&allow_partial=true&{RANGE}")).await.json()
}

fn missing(answer: &Value) -> Vec<&str> {
    let missing = answer["meta"]["days"]["missing"].as_array().expect("a list");
    missing.iter().map(|day| day["date"].as_str().expect("a date")).collect()
}

fn calls_with(setup: &Setup, date: &str) -> Vec<CallRecord> {
    let contains = |call: &CallRecord| call.query.as_ref().is_some_and(|query| query.days.contains(&day(date).date()));
    setup.simulator.call_log().stats_calls().into_iter().filter(contains).collect()
}

#[rstest]
#[case::one_day(&["2026-10-20"])]
#[case::the_first_day(&["2026-10-10"])]
#[case::neighbours(&["2026-10-20", "2026-10-21"])]
#[case::days_in_every_part(&["2026-10-12", "2026-10-20", "2026-10-27", "2026-11-05"])]
#[case::every_fourth_day(&[
    "2026-10-12", "2026-10-16", "2026-10-20", "2026-10-24", "2026-10-28", "2026-11-01", "2026-11-05", "2026-11-09",
])]
#[tokio::test]
async fn only_the_refused_days_are_missing(#[case] refused: &[&str]) {
    let setup = setup().await;
    for date in refused {
        setup.simulator.faults().push(InjectedFault::new(refusal()).on(on(date)).times(u32::MAX));
    }

    let answer = partial_activity(&setup).await;

    assert_eq!(missing(&answer), refused);
    // At most five levels; on each, the rows of the range are fetched once at most, and each part fails once.
    let calls = setup.upstream_calls();
    assert!(calls <= 5 * (11 + 2 * refused.len()), "{calls} calls");
}

#[tokio::test]
async fn a_part_is_tried_twice_if_the_failure_can_be_temporary() {
    let setup = setup().await;
    setup.simulator.faults().push(InjectedFault::new(refusal()).on(on("2026-10-20")));
    let temporary = FaultKind::error_code(2200);
    setup.simulator.faults().push(InjectedFault::new(temporary).on(on("2026-10-20")).times(u32::MAX));

    let answer = partial_activity(&setup).await;

    assert_eq!(missing(&answer), ["2026-10-20"]);
    let lengths: Vec<i32> = calls_with(&setup, "2026-10-20")
        .iter()
        .filter_map(|call| call.query.as_ref())
        .map(|query| (*query.days.end() - *query.days.start()).get_days() + 1)
        .collect();
    assert_eq!(lengths, [31, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1]);
}

#[tokio::test]
async fn a_refusal_of_everything_costs_one_call_a_part() {
    let setup = setup().await;
    setup.simulator.faults().push(InjectedFault::new(refusal()).times(u32::MAX));

    let answer = partial_activity(&setup).await;

    assert_eq!(missing(&answer).len(), 31);
    assert_eq!(setup.upstream_calls(), 1 + 2 + 4 + 8 + 16 + 30);
}

#[tokio::test]
async fn without_allow_partial_the_good_days_are_kept() {
    let setup = setup().await;
    setup.simulator.faults().push(InjectedFault::new(refusal()).on(on("2026-10-20")).times(u32::MAX));

    let refused = setup.get(&format!("/v1/reports/activity?trailing=held&{RANGE}")).await;
    assert_eq!(refused.problem()["upstream_code"], 424_242);
    assert_eq!(missing(&partial_activity(&setup).await), ["2026-10-20"]);
    setup.simulator.call_log().clear();
    setup.simulator.faults().clear();
    setup.get(&format!("/v1/reports/activity?trailing=held&{RANGE}")).await.json();

    assert_eq!(setup.upstream_calls(), 1);
}
