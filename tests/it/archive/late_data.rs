//! Late data: a day that changes between two fetches.

use crate::{
    archive::lake::Lake,
    support::{captured_log::CapturedLog, day, eventually},
};

const DAY: &str = "2026-11-21";

#[tokio::test]
async fn a_changed_day_is_logged_as_counts_and_archived_when_final() {
    let (log, _guard) = CapturedLog::start("info");
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    let report = format!("/v1/reports/activity?start_date={DAY}&end_date={DAY}");
    let (home, production) = (gateway.home(), gateway.simulator.production());
    production.produce_partially(home, day(DAY).date(), 300);
    let before = gateway.get(&report).await.json();

    production.complete(home, day(DAY).date());
    gateway.set_time("2026-11-22T09:00:00Z");
    gateway.get(&report).await.json();
    eventually(async || gateway.get(&report).await.json()["meta"]["days"]["final"] == 1).await;
    let after = gateway.get(&report).await.json();
    lake.holds(1).await;

    let users = |answer: &serde_json::Value| answer["data"][0]["users"].as_u64().expect("a count");
    let active = |answer: &serde_json::Value| answer["data"][0]["active"].as_u64().expect("a count");
    let lines = log.lines("a day has changed");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        format!("rows_before={}", users(&before)),
        format!("rows={}", users(&after)),
        format!("active_before={}", active(&before)),
        format!("active={}", active(&after)),
    ] {
        assert!(lines[0].contains(&part), "{part}: {}", lines[0]);
    }
    assert!(!lines[0].contains("ou_"), "{}", lines[0]);
    let restarted = lake.gateway_at("2026-11-22T09:00:00Z").await;
    assert_eq!(restarted.get(&report).await.json()["data"], after["data"]);
    assert_eq!(restarted.upstream_calls(), 0);
}
