//! Maintenance tasks: days that are fetched in advance and deleted by retention.

use feishu_pulse::store::ArchiveLocation;
use feishu_simulator::SimulatorConfig;

use crate::{
    archive::lake::{DAYS, Lake, RANGE},
    support::{Setup, eventually},
};

async fn warm(lake: &Lake, days: u16) -> Setup {
    let location = ArchiveLocation::Folder(lake.root().to_owned());
    let simulation = SimulatorConfig { users: 60, ..SimulatorConfig::default() };
    Setup::with(simulation, |config| {
        config.archive = location;
        config.maintenance.warm_days = Some(days);
    })
    .await
}

#[tokio::test]
async fn the_latest_days_are_fetched_before_the_first_request() {
    let lake = Lake::new();
    let gateway = warm(&lake, 5).await;

    // The 21st is provisional; the four days before it are final.
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

    // 09:40 in China: ten minutes after production, the maximum of the jitter.
    gateway.set_time("2026-11-23T01:40:00Z");
    eventually(async || gateway.get(coverage).await.json()["data"][0]["state"] == "provisional").await;
    gateway.set_time("2026-11-23T07:40:00Z");

    eventually(async || lake.file("2026-11-22").exists()).await;
    assert_eq!(gateway.get(coverage).await.json()["data"][0]["state"], "final");
}

#[tokio::test]
async fn unfinished_files_are_deleted_at_the_start_and_finished_ones_stay() {
    let lake = Lake::new();
    lake.gateway().await.get(&format!("/v1/reports/activity?trailing=held&{RANGE}")).await.json();
    lake.holds(DAYS).await;
    let finished = lake.files();
    let beside = lake.file("2026-11-15").with_file_name("part-0.parquet#1");
    std::fs::copy(lake.file("2026-11-15"), &beside).expect("a writable folder");
    for name in ["_0123456789abcdef", "_0123456789abcdef#1"] {
        std::fs::write(lake.root().join("_staging").join(name), "half a file").expect("the staging folder");
    }

    let _restarted = lake.gateway().await;

    eventually(async || lake.files() == finished).await;
}

#[tokio::test]
async fn days_older_than_the_retention_are_deleted() {
    let lake = Lake::new();
    lake.gateway().await.get(&format!("/v1/reports/activity?trailing=held&{RANGE}")).await.json();
    lake.holds(DAYS).await;

    let location = ArchiveLocation::Folder(lake.root().to_owned());
    let _gateway = Setup::with(SimulatorConfig { users: 60, ..SimulatorConfig::default() }, |config| {
        config.archive = location;
        config.freshness.retention_days = Some(5);
    })
    .await;

    // Today is the 22nd, so the 17th is the oldest day that is retained.
    lake.holds(4).await;
    assert!(lake.file("2026-11-17").exists() && !lake.file("2026-11-16").exists());
}
