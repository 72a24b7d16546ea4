//! Freshness: pending days are not fetched, provisional days are fetched again, and final days are fetched only once.

use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, PageFault, SimulatorConfig};
use jiff::SignedDuration;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Setup, at, captured_log::CapturedLog, day, eventually};

const DAY_20: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-20&end_date=2026-11-20";
const DAY_21: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-21&end_date=2026-11-21";

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 100, days: 30, turnover: 0.0, ..SimulatorConfig::default() }).await
}

/// The figures of a date that does not count.
const NO_FIGURES: (Value, Value) = (Value::Null, Value::Null);

/// People and messages of the only bucket in the response.
fn figures(answer: &Value) -> (Value, Value) {
    let bucket = &answer["data"][0];
    (bucket["users"].clone(), bucket["counters"]["send_messenger_num"].clone())
}

/// The same figures of the simulated data.
fn expected_figures(setup: &Setup, date: &str) -> (Value, Value) {
    let rows = setup.simulator.tenant().rows_of(setup.home(), day(date).date());
    let messages: u32 = rows.iter().map(|row| row.counters.send_messenger_num).sum();
    (rows.len().into(), messages.into())
}

/// Numbers of final and of provisional days in the response.
fn states(answer: &Value) -> (u64, u64) {
    let count = |state: &str| answer["meta"]["days"][state].as_u64().expect("a count");
    (count("final"), count("provisional"))
}

#[tokio::test]
async fn pending_days_are_listed_and_not_fetched() {
    let setup = setup().await;

    let answer = setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-20&end_date=2026-11-24").await.json();
    let none = setup.get("/v1/user-days?start_date=2026-11-22&end_date=2030-01-01").await.json();

    let pending = |date: &str| json!({ "geo": "cn", "date": date });
    let expected = [pending("2026-11-22"), pending("2026-11-23"), pending("2026-11-24")];
    assert_eq!(answer["meta"]["days"]["pending"], json!(expected));
    let counted: Vec<_> = answer["data"].as_array().unwrap().iter().map(|bucket| &bucket["days_counted"]).collect();
    assert_eq!((states(&answer), json!(counted)), ((1, 1), json!([1, 1, 0, 0, 0])));
    assert_eq!((&none["data"], states(&none)), (&json!([]), (0, 0)));
    let queries: Vec<_> = setup.simulator.call_log().stats_calls().into_iter().filter_map(|call| call.query).collect();
    assert!(!queries.is_empty() && queries.iter().all(|query| *query.days.end() <= day("2026-11-21").date()));
}

#[tokio::test]
async fn a_large_day_that_is_requested_all_day_is_fetched_twice() {
    let people = SimulatorConfig { users: 1500, days: 30, turnover: 0.0, ..SimulatorConfig::default() };
    let setup = Setup::new(people).await;
    let pages = 1500_usize.div_ceil(60);
    setup.set_time("2026-11-22T01:30:00Z");

    // Every minute from 09:30 to 18:00 in China.
    for minute in 0..=510 {
        setup.clock.set(at("2026-11-22T01:30:00Z") + SignedDuration::from_mins(minute));
        setup.get(DAY_21).await.json();
        // A refresh in the background ends before the next request.
        eventually(async || setup.upstream_calls() % pages == 0).await;
    }

    // The last refresh is stored after its last call.
    eventually(async || states(&setup.get(DAY_21).await.json()) == (1, 0)).await;
    assert_eq!(setup.upstream_calls(), 2 * pages);
}

#[tokio::test]
async fn a_day_is_fetched_from_half_past_nine_of_the_next_day() {
    let setup = setup().await;

    setup.set_time("2026-11-22T01:29:59Z");
    let before = setup.get(DAY_21).await.json();
    let calls_before = setup.simulator.call_log().calls().len();
    setup.set_time("2026-11-22T01:30:00Z");
    let after = setup.get(DAY_21).await.json();

    assert_eq!((figures(&before), calls_before), (NO_FIGURES, 0));
    assert_eq!(figures(&after), expected_figures(&setup, "2026-11-21"));
}

#[tokio::test]
async fn a_final_day_is_never_fetched_again() {
    let setup = setup().await;
    let first = setup.get(DAY_20).await.json();
    let calls = setup.upstream_calls();

    setup.simulator.production().revise(setup.home(), day("2026-11-20").date());
    setup.set_time("2027-11-22T04:00:00Z");
    let much_later = setup.get(DAY_20).await.json();

    assert_eq!(states(&first), (1, 0));
    assert_eq!(first, much_later);
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn a_provisional_day_is_served_at_once_and_refreshed_in_the_background() {
    let setup = setup().await;
    let first = setup.get(DAY_21).await.json();
    let (calls, before) = (setup.upstream_calls(), expected_figures(&setup, "2026-11-21"));
    setup.simulator.production().revise(setup.home(), day("2026-11-21").date());

    setup.set_time("2026-11-22T04:30:00Z");
    let young = setup.get(DAY_21).await.json();
    let calls_while_young = setup.upstream_calls() - calls;
    setup.set_time("2026-11-22T04:30:01Z");
    let old = setup.get(DAY_21).await.json();
    eventually(async || figures(&setup.get(DAY_21).await.json()) == expected_figures(&setup, "2026-11-21")).await;

    assert_ne!(before, expected_figures(&setup, "2026-11-21"));
    assert_eq!((states(&first), figures(&first)), ((0, 1), before));
    assert_eq!((young, calls_while_young), (first.clone(), 0));
    assert_eq!((&old["data"], &old["meta"]["days"]["stale"]), (&first["data"], &1.into()));
    assert_eq!(setup.upstream_calls(), 2 * calls);
}

#[tokio::test]
async fn a_day_fetched_six_hours_after_its_production_is_final() {
    let setup = setup().await;
    setup.get(DAY_21).await.json();

    setup.set_time("2026-11-22T07:30:00Z");
    eventually(async || states(&setup.get(DAY_21).await.json()) == (1, 0)).await;
    let calls = setup.upstream_calls();
    setup.set_time("2026-12-22T07:30:00Z");
    setup.get(DAY_21).await.json();

    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn a_day_without_rows_is_late_and_does_not_count() {
    let setup = setup().await;
    setup.simulator.production().delay(setup.home(), day("2026-11-20").date());

    let week = "start_date=2026-11-14&end_date=2026-11-20";
    let late = setup.get(DAY_20).await.json();
    let summary = setup.get(&format!("/v1/reports/summary?{week}")).await.json();
    let average = setup.get("/v1/reports/summary?start_date=2026-11-14&end_date=2026-11-19").await.json();
    let activity = setup.get(&format!("/v1/reports/activity?trailing=held&{week}")).await.json();
    let coverage = setup.get("/v1/coverage?start_date=2026-11-20&end_date=2026-11-20").await.json();

    assert_eq!((states(&late), figures(&late)), ((0, 0), NO_FIGURES));
    assert_eq!(late["meta"]["days"]["late"], json!([{ "geo": "cn", "date": "2026-11-20" }]));
    assert_eq!(late["meta"]["notes"].as_array().map(Vec::len), Some(3), "{late}");
    let current = |answer: &Value, figure: &str| answer["data"]["current"][figure].clone();
    assert_eq!(current(&summary, "active_per_day"), current(&average, "active_per_day"));
    assert_eq!(current(&summary, "days_counted"), 6);
    assert!(activity["data"][6]["wau"].is_null(), "{activity}");
    assert_eq!((&coverage["data"][0]["state"], &coverage["data"][0]["rows"]), (&json!("late"), &json!(0)));
}

#[tokio::test]
async fn inactive_for_looks_at_the_latest_dates_that_count() {
    let setup = setup().await;
    setup.simulator.production().delay(setup.home(), day("2026-11-21").date());

    let with_late_day =
        setup.get("/v1/users?start_date=2026-11-15&end_date=2026-11-21&inactive_for=7d&limit=1000").await.json();
    let counted =
        setup.get("/v1/users?start_date=2026-11-14&end_date=2026-11-20&inactive_for=7d&limit=1000").await.json();

    let ids = |answer: &Value| -> Vec<Value> {
        answer["data"].as_array().unwrap().iter().map(|person| person["user_id"].clone()).collect()
    };
    assert!(!ids(&counted).is_empty());
    assert_eq!(ids(&with_late_day), ids(&counted));
    assert_eq!(with_late_day["meta"]["notes"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_late_day_is_logged_and_fetched_again() {
    let (log, _guard) = CapturedLog::start("feishu_pulse=warn");
    let setup = setup().await;
    setup.simulator.production().delay(setup.home(), day("2026-11-20").date());

    let late = setup.get(DAY_20).await.json();
    setup.simulator.production().complete(setup.home(), day("2026-11-20").date());
    setup.set_time("2026-11-22T04:31:00Z");
    eventually(async || figures(&setup.get(DAY_20).await.json()) == expected_figures(&setup, "2026-11-20")).await;

    assert_eq!(figures(&late), NO_FIGURES);
    assert_eq!(states(&setup.get(DAY_20).await.json()), (1, 0));
    let lines = log.lines("does not count and is fetched again");
    assert!(lines.len() == 1 && lines[0].contains("cn/open_id/everyone/2026-11-20"), "{lines:?}");
}

#[tokio::test]
async fn a_day_far_smaller_than_the_same_weekday_is_late() {
    let setup = setup().await;
    setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-06&end_date=2026-11-19").await.json();
    setup.simulator.production().produce_partially(setup.home(), day("2026-11-20").date(), 300);

    let part = setup.get(DAY_20).await.json();
    let rows = setup.get("/v1/coverage?start_date=2026-11-20&end_date=2026-11-20").await.json()["data"][0].clone();
    setup.simulator.production().complete(setup.home(), day("2026-11-20").date());
    setup.set_time("2026-11-22T04:31:00Z");
    eventually(async || figures(&setup.get(DAY_20).await.json()) == expected_figures(&setup, "2026-11-20")).await;

    assert_eq!((states(&part), figures(&part)), ((0, 0), NO_FIGURES));
    assert!(rows["state"] == "late" && rows["rows"].as_u64().is_some_and(|rows| (1..50).contains(&rows)), "{rows}");
    assert_eq!(states(&setup.get(DAY_20).await.json()), (1, 0));
}

#[rstest]
#[case::without_rows(0, "empty")]
#[case::small(300, "final")]
#[tokio::test]
async fn an_old_late_day_is_accepted_when_two_fetches_agree(#[case] permille: u16, #[case] accepted: &str) {
    const OLD_DAY: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-11&end_date=2026-11-11";
    let setup = setup().await;
    setup.simulator.production().produce_partially(setup.home(), day("2026-11-11").date(), permille);
    setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-01&end_date=2026-11-20").await.json();
    let state = async || {
        let coverage = setup.get("/v1/coverage?start_date=2026-11-11&end_date=2026-11-11").await.json();
        coverage["data"][0]["state"].as_str().unwrap().to_owned()
    };

    let first = state().await;
    setup.set_time("2026-11-22T04:10:01Z");
    eventually(async || {
        setup.get(OLD_DAY).await.json();
        state().await == accepted
    })
    .await;
    let calls = setup.upstream_calls();
    setup.set_time("2026-12-22T04:00:00Z");
    setup.get(OLD_DAY).await.json();

    assert_eq!((first.as_str(), setup.upstream_calls() - calls), ("late", 0));
}

#[tokio::test]
async fn rows_that_were_fetched_once_are_kept_when_upstream_has_none_any_more() {
    let setup = setup().await;
    let before = setup.get(DAY_21).await.json();
    setup.simulator.production().delay(setup.home(), day("2026-11-21").date());

    setup.set_time("2026-11-22T04:31:00Z");
    let calls = setup.upstream_calls();
    eventually(async || {
        setup.get(DAY_21).await.json();
        setup.upstream_calls() > calls
    })
    .await;

    assert_eq!(setup.get(DAY_21).await.json()["data"], before["data"]);
}

#[tokio::test]
async fn coverage_lists_the_state_of_each_day_without_upstream_calls() {
    let setup = setup().await;
    setup.get("/v1/user-days?start_date=2026-11-20&end_date=2026-11-21").await.json();
    let calls = setup.upstream_calls();

    let coverage = setup.get("/v1/coverage?start_date=2026-11-19&end_date=2026-11-22").await.json();

    let states: Vec<_> = coverage["data"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    assert_eq!(states, ["missing", "final", "provisional", "pending"]);
    let held = &coverage["data"][1];
    assert_eq!(
        (&held["rows"], &held["held"], &held["fetched_at"]),
        (&json!(100), &json!("memory"), &json!("2026-11-22T12:00:00+08:00"))
    );
    assert_eq!(coverage["data"][0]["rows"], Value::Null);
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn an_old_day_with_missing_pages_is_fetched_once_more_before_it_is_final() {
    const OLD: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-02&end_date=2026-11-02";
    let setup = setup().await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::MissingToken)).on(FaultTarget::FirstPages));
    let incomplete = setup.get(OLD).await.json();

    setup.set_time("2026-11-22T04:31:00Z");
    setup.get(OLD).await.json();
    eventually(async || states(&setup.get(OLD).await.json()) == (1, 0)).await;

    assert_eq!((states(&incomplete), figures(&incomplete)), ((0, 0), NO_FIGURES));
    assert_eq!(figures(&setup.get(OLD).await.json()), expected_figures(&setup, "2026-11-02"));
}

#[tokio::test]
async fn a_day_whose_pages_are_missing_twice_becomes_final() {
    const OLD: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-02&end_date=2026-11-02";
    let setup = setup().await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::MissingToken)).on(FaultTarget::FirstPages).times(99));
    setup.get(OLD).await.json();

    setup.set_time("2026-11-22T04:31:00Z");
    setup.get(OLD).await.json();
    eventually(async || states(&setup.get(OLD).await.json()) == (1, 0)).await;
    setup.set_time("2026-11-23T04:31:00Z");
    setup.get(OLD).await.json();

    assert_eq!(setup.upstream_calls(), 2);
}
