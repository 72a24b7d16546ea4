//! Days that change after they were fetched or archived: late, changed, expired days, and restarts in between.

use feishu_pulse::store::ArchiveLocation;
use feishu_simulator::SimulatorConfig;
use serde_json::json;

use crate::{
    archive::lake::Lake,
    support::{Setup, captured_log::CapturedLog, day, eventually},
};

const DAY: &str = "2026-11-21";

#[tokio::test]
async fn a_changed_day_is_logged_as_counts_and_archived_when_final() {
    let (log, _guard) = CapturedLog::start("info");
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    let report = format!("/v1/reports/activity?trailing=held&start_date={DAY}&end_date={DAY}");
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

/// The state of a day in `/v1/coverage`.
async fn state(gateway: &Setup, date: &str) -> String {
    let coverage = gateway.get(&format!("/v1/coverage?start_date={date}&end_date={date}")).await.json();
    coverage["data"][0]["state"].as_str().expect("a state").to_owned()
}

#[tokio::test]
async fn an_archived_day_that_turns_out_to_be_small_is_fetched_again_and_replaced() {
    const OLD: &str = "2026-11-06";
    let report = format!("/v1/reports/activity?trailing=held&start_date={OLD}&end_date={OLD}");
    let lake = Lake::new();
    let first = lake.gateway().await;
    first.simulator.production().produce_partially(first.home(), day(OLD).date(), 300);
    // No other day is known, so the day is not small.
    first.get(&report).await.json();
    lake.holds(1).await;
    let before = state(&first, OLD).await;
    first.get("/v1/reports/activity?trailing=held&start_date=2026-11-13&end_date=2026-11-20").await.json();
    lake.holds(9).await;
    drop(first);
    let file_of_small_day = std::fs::read(lake.file(OLD)).expect("a file");

    let (log, _guard) = CapturedLog::start("warn");
    let second = lake.gateway_at("2026-11-22T04:31:00Z").await;
    eventually(async || log.lines("archived days have no or unusually few rows").len() == 1).await;
    let after = state(&second, OLD).await;
    let users = async || second.get(&report).await.json()["data"][0]["users"].clone();
    eventually(async || users().await.as_u64().is_some_and(|users| users > 50)).await;
    eventually(async || std::fs::read(lake.file(OLD)).is_ok_and(|file| file != file_of_small_day)).await;
    let restarted = lake.gateway().await;

    assert_eq!((before.as_str(), after.as_str()), ("final", "late"));
    assert_eq!(restarted.get(&report).await.json()["data"][0]["users"], users().await);
    assert_eq!(restarted.upstream_calls(), 0);
}

#[tokio::test]
async fn the_first_of_two_agreeing_fetches_can_be_before_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = async || {
        let path = folder.path().join("days.json");
        let gateway = Setup::with(SimulatorConfig { users: 60, ..SimulatorConfig::default() }, |config| {
            config.history_file = Some(path);
        })
        .await;
        gateway.simulator.production().delay(gateway.home(), day("2026-11-12").date());
        gateway
    };
    let report = "/v1/reports/activity?trailing=held&start_date=2026-11-10&end_date=2026-11-14";

    let first = gateway().await;
    first.get(report).await.json();
    let before = state(&first, "2026-11-12").await;
    eventually(async || {
        std::fs::read_to_string(folder.path().join("days.json")).is_ok_and(|text| text.contains("2026-11-14"))
    })
    .await;
    let second = gateway().await;
    let known = state(&second, "2026-11-12").await;
    second.set_time("2026-11-22T04:10:01Z");
    second.get(report).await.json();

    assert_eq!((before.as_str(), known.as_str()), ("late", "late"));
    assert_eq!(state(&second, "2026-11-12").await, "empty");
}

#[tokio::test]
async fn expired_days_are_neither_fetched_nor_archived() {
    let lake = Lake::new();
    let location = ArchiveLocation::Folder(lake.root().to_owned());
    let gateway = Setup::with(SimulatorConfig { users: 60, ..SimulatorConfig::default() }, |config| {
        config.archive = location;
        config.freshness.retention_days = Some(5);
    })
    .await;

    let report =
        gateway.get("/v1/reports/activity?start_date=2026-11-15&end_date=2026-11-18&trailing=fetch").await.json();

    lake.holds(2).await;
    let expired = |date: &str| json!({ "geo": "cn", "date": date });
    assert_eq!(report["meta"]["days"]["expired"], json!([expired("2026-11-15"), expired("2026-11-16")]));
    let counted: Vec<_> = report["data"].as_array().unwrap().iter().map(|bucket| &bucket["days_counted"]).collect();
    assert_eq!(json!(counted), json!([0, 0, 1, 1]));
    assert!(report["data"][3]["wau"].is_null() && report["meta"]["notes"].as_array().unwrap().len() == 2, "{report}");
    let first_days = gateway.simulator.call_log().stats_calls();
    let first = first_days.iter().filter_map(|call| call.query.as_ref()).map(|query| *query.days.start()).min();
    assert_eq!(first, Some(day("2026-11-17").date()));
    assert_eq!(state(&gateway, "2026-11-15").await, "expired");

    let url = format!("{}/v1/backfills?start_date=2026-11-10&end_date=2026-11-16", gateway.base);
    let job = gateway.http.post(url).send().await.expect("an answer");
    let location = job.headers()["location"].to_str().expect("text").to_owned();
    eventually(async || gateway.get(&location).await.json()["state"] == "done").await;
    assert_eq!(gateway.get(&location).await.json()["days"]["total"], 0);
}

#[tokio::test]
async fn one_person_is_answered_from_the_archived_days_of_everyone() {
    const RANGE: &str = "start_date=2026-11-11&end_date=2026-11-20";
    let lake = Lake::new();
    let first = lake.gateway().await;
    let user_id = first.get(&format!("/v1/users?{RANGE}&limit=1")).await.json()["data"][0]["user_id"].clone();
    let url = format!("/v1/users/{}?{RANGE}", user_id.as_str().unwrap());
    let before = first.get(&url).await;
    lake.holds(10).await;

    let second = lake.gateway().await;
    let after = second.get(&url).await;

    assert_eq!((after.json(), &after.headers["etag"]), (before.json(), &before.headers["etag"]));
    assert_eq!(second.upstream_calls(), 0);
}

#[tokio::test]
async fn a_department_without_rows_on_one_day_is_late_and_fetched_again() {
    const OLD: &str = "start_date=2026-11-10&end_date=2026-11-14";
    let gateway = Setup::new(SimulatorConfig { users: 60, ..SimulatorConfig::default() }).await;
    let department = gateway.simulator.tenant().departments()[0].open_department_id.clone();
    gateway.simulator.production().delay(gateway.home(), day("2026-11-12").date());
    let url = format!("/v1/reports/summary?{OLD}&department_id={department}");
    let current = async || gateway.get(&url).await.json()["data"]["current"].clone();

    let first = current().await;
    current().await;
    gateway.simulator.production().complete(gateway.home(), day("2026-11-12").date());
    gateway.set_time("2026-11-22T04:10:01Z");
    eventually(async || current().await["days_counted"] == 5).await;

    assert_eq!(first["days_counted"], 4);
    assert!(current().await["active_per_day"].as_f64() > Some(0.0));
}
