//! What is fetched and deleted though nobody asked.

use feishu_pulse::{sim::SimConfig, store::Location};

use crate::{
    lake::{DAYS, Lake, RANGE, eventually},
    support::Setup,
};

async fn warm(lake: &Lake, days: u16) -> Setup {
    let location = Location::Folder(lake.root().to_owned());
    let simulation = SimConfig { users: 60, ..SimConfig::default() };
    Setup::with(simulation, |config| {
        config.archive = location;
        config.upkeep.warm_days = Some(days);
    })
    .await
}

#[tokio::test]
async fn the_latest_days_are_held_before_anybody_asks() {
    let lake = Lake::new();
    let gateway = warm(&lake, 5).await;

    // The 21st may still change; the four days before it are final.
    lake.holds(4).await;
    let coverage = "/v1/coverage?start_date=2026-11-17&end_date=2026-11-21";
    eventually(async || gateway.get(coverage).await.json()["meta"]["days"]["provisional"] == 1).await;
    let spent = gateway.upstream_calls();
    gateway.get("/v1/user-days?start_date=2026-11-17&end_date=2026-11-21&limit=1").await.json();

    assert_eq!(gateway.upstream_calls(), spent);
}

#[tokio::test]
async fn a_day_is_fetched_when_it_is_produced_and_archived_when_it_is_final() {
    let lake = Lake::new();
    let gateway = warm(&lake, 1).await;
    let coverage = "/v1/coverage?start_date=2026-11-22&end_date=2026-11-22";
    assert_eq!(gateway.get(coverage).await.json()["data"][0]["state"], "pending");

    // Ten past half past nine, wherever in its ten minutes the jitter is.
    gateway.set_time("2026-11-23T01:40:00Z");
    eventually(async || gateway.get(coverage).await.json()["data"][0]["state"] == "provisional").await;
    gateway.set_time("2026-11-23T07:40:00Z");

    eventually(async || lake.file("2026-11-22").exists()).await;
    assert_eq!(gateway.get(coverage).await.json()["data"][0]["state"], "final");
}

#[tokio::test]
async fn days_older_than_the_retention_are_deleted() {
    let lake = Lake::new();
    lake.gateway().await.get(&format!("/v1/reports/activity?{RANGE}")).await.json();
    lake.holds(DAYS).await;

    let location = Location::Folder(lake.root().to_owned());
    let _gateway = Setup::with(SimConfig { users: 60, ..SimConfig::default() }, |config| {
        config.archive = location;
        config.upkeep.retention_days = Some(5);
    })
    .await;

    // Today is the 22nd: the 17th is the oldest that stays.
    lake.holds(4).await;
    assert!(lake.file("2026-11-17").exists() && !lake.file("2026-11-16").exists());
}
