//! Archived days: which days are written, and what a gateway reads after a restart.

use feishu_simulator::{SimulatorConfig, TenantGeo};

use crate::{
    archive::lake::{DAYS, Lake, RANGE},
    support::{Setup, eventually},
};

#[tokio::test]
async fn final_days_survive_a_restart_without_upstream_calls() {
    let lake = Lake::new();
    let path = format!("/v1/reports/activity?trailing=held&{RANGE}");
    let before = lake.gateway().await.get(&path).await.json();
    lake.holds(DAYS).await;

    let restarted = lake.gateway().await;
    let after = restarted.get(&path).await.json();

    assert_eq!(after, before);
    assert_eq!(restarted.upstream_calls(), 0);
}

#[tokio::test]
async fn archived_rows_equal_the_fetched_rows() {
    let lake = Lake::new();
    let path = format!("/v1/user-days?{RANGE}&format=ndjson");
    let before = lake.gateway().await.get(&path).await.lines();
    lake.holds(DAYS).await;

    let after = lake.gateway().await.get(&path).await.lines();

    assert!(before.len() > 500, "{}", before.len());
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_provisional_day_is_not_archived() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;

    // The 21st was produced this morning and is provisional. The 20th is final.
    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-11-20&end_date=2026-11-21").await.json();
    lake.holds(1).await;

    assert!(lake.file("2026-11-20").exists());
}

#[tokio::test]
async fn a_provisional_day_is_archived_once_it_was_fetched_late_enough() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-11-21&end_date=2026-11-21").await.json();

    gateway.set_time("2026-11-22T09:00:00Z");
    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-11-21&end_date=2026-11-21").await.json();

    lake.holds(1).await;
}

#[tokio::test]
async fn a_request_for_one_person_archives_nothing() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    let person = &gateway.simulator.tenant().rows_of(gateway.home(), "2026-11-20".parse().expect("a day"))[0];

    let one = gateway.get(&format!("/v1/user-days?{RANGE}&user_id={}&format=ndjson", person.open_id)).await;
    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-11-20&end_date=2026-11-20").await.json();
    lake.holds(1).await;

    assert_eq!(one.lines().len(), DAYS);
    assert!(lake.file("2026-11-20").exists());
}

#[tokio::test]
async fn concurrent_writes_of_replicas_leave_one_file_per_day() {
    let lake = Lake::new();
    let (one, other) = (lake.gateway().await, lake.gateway().await);
    let path = format!("/v1/user-days?{RANGE}&format=ndjson");

    let (first, second) = tokio::join!(one.get(&path), other.get(&path));
    lake.holds(DAYS).await;

    let third = lake.gateway().await;
    assert_eq!(first.lines(), second.lines());
    assert_eq!(third.get(&path).await.lines(), first.lines());
    assert_eq!(third.upstream_calls(), 0);
}

#[tokio::test]
async fn coverage_reports_where_a_day_is_stored() {
    let lake = Lake::new();
    let path = format!("/v1/coverage?{RANGE}");
    let first = lake.gateway().await;
    first.get(&format!("/v1/reports/activity?trailing=held&{RANGE}")).await.json();
    lake.holds(DAYS).await;
    eventually(async || storage_of_days(&first, &path).await == ["both"; DAYS]).await;

    let restarted = lake.gateway().await;
    assert_eq!(storage_of_days(&restarted, &path).await, ["archive"; DAYS]);
    restarted.get("/v1/user-days?start_date=2026-11-12&end_date=2026-11-12&limit=1").await.json();
    let answer = restarted.get(&path).await.json();

    assert_eq!(answer["data"][0]["held"], "archive");
    assert_eq!(answer["data"][1]["held"], "both");
    assert_eq!(answer["data"][0]["state"], "final");
    assert!(answer["data"].as_array().expect("items").iter().all(|item| item["rows"].as_u64() > Some(50)));
    assert_eq!(answer["meta"]["days"]["final"], DAYS);
    assert_eq!(answer["meta"]["days"]["missing"].as_array().map(Vec::len), Some(0));
    assert!(answer["meta"]["data_as_of"].is_string());
    assert_eq!(restarted.upstream_calls(), 0);
}

async fn storage_of_days(gateway: &Setup, path: &str) -> Vec<String> {
    let answer = gateway.get(path).await.json();
    let items = answer["data"].as_array().expect("items");
    items.iter().map(|item| item["held"].as_str().unwrap_or("nowhere").to_owned()).collect()
}

#[tokio::test]
async fn each_geo_and_id_type_has_its_own_folder() {
    let lake = Lake::new();
    let simulation =
        SimulatorConfig { users: 20, geos: vec![TenantGeo::Sg, TenantGeo::Us], ..SimulatorConfig::default() };
    let gateway = lake.gateway_with(simulation).await;

    let day = "start_date=2026-11-19&end_date=2026-11-19&geo=sg,us&user_id_type=union_id";
    gateway.get(&format!("/v1/reports/activity?trailing=held&{day}")).await.json();
    lake.holds(2).await;

    let name = |geo| format!("user_days/geo={geo}/user_id_type=union_id/date=2026-11-19/part-0.parquet");
    assert_eq!(lake.days(), [name("sg"), name("us")]);
}

#[tokio::test]
async fn a_deleted_day_is_removed_everywhere_and_fetched_again() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    let path = format!("/v1/reports/activity?trailing=held&{RANGE}");
    let before = gateway.get(&path).await.json();
    lake.holds(DAYS).await;
    let spent = gateway.upstream_calls();

    let url = format!("{}/v1/days/2026-11-15", gateway.base);
    let deletion = gateway.http.delete(&url).send().await.expect("an answer");
    let left = lake.days().len();
    let after = gateway.get(&path).await.json();

    assert_eq!(deletion.status(), 204);
    assert_eq!(left, DAYS - 1);
    assert_eq!(after["data"], before["data"]);
    assert!(gateway.upstream_calls() > spent);
    lake.holds(DAYS).await;
    let faulty = gateway.http.delete(format!("{}/v1/days/yesterday", gateway.base)).send().await.expect("an answer");
    assert_eq!(faulty.status(), 400);
}
