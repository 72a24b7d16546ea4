//! A failing archive: callers get correct responses, and the operator sees the fault.

use std::fs;

use crate::{
    archive::lake::{DAYS, Lake, RANGE},
    support::{ApiResponse, eventually},
};

#[tokio::test]
async fn days_that_could_not_be_written_are_written_after_the_archive_recovers() {
    let lake = Lake::new();
    // A file has the name of the folder of days, so the folder cannot be created.
    let obstacle = lake.root().join("user_days");
    fs::write(&obstacle, "in the way").expect("a writable folder");
    let gateway = lake.gateway().await;

    let during = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "failing").await;
    let health = gateway.get("/readyz").await.json();
    fs::remove_file(&obstacle).expect("a writable folder");
    lake.holds(DAYS).await;

    assert_eq!(health["status"], "ready");
    assert!(health["archive"]["unwritten"].as_u64() > Some(0), "{health}");
    assert_eq!(health["archive"]["fault"], "failed", "{health}");
    assert!(!health.to_string().contains(lake.root().to_str().expect("UTF-8")), "{health}");
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "ok").await;
    let restarted = lake.gateway().await;
    assert_eq!(restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines(), during);
    assert_eq!(restarted.upstream_calls(), 0);
}

#[tokio::test]
async fn days_come_from_feishu_while_the_archive_cannot_be_read() {
    let lake = Lake::new();
    let before = lake.gateway().await.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;
    fs::remove_dir_all(lake.root().join("user_days")).expect("a writable folder");
    fs::write(lake.root().join("user_days"), "in the way").expect("a writable folder");

    let restarted = lake.gateway().await;
    let after = restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();

    assert_eq!(after, before);
    assert!(restarted.upstream_calls() > 0);
}

#[tokio::test]
async fn a_day_that_cannot_be_written_does_not_block_others_and_is_written_later() {
    let lake = Lake::new();
    // Folders have the names of the files of two days, so these files cannot be written.
    let obstacles = ["2026-11-11", "2026-11-12"].map(|day| lake.file(day));
    for obstacle in &obstacles {
        fs::create_dir_all(obstacle).expect("a writable folder");
    }
    let gateway = lake.gateway().await;
    let unwritten = async || gateway.get("/readyz").await.json()["archive"]["unwritten"].as_u64();

    gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS - obstacles.len()).await;
    eventually(async || unwritten().await == Some(2)).await;
    let (health, metrics) = (gateway.get("/readyz").await.json(), gateway.get("/metrics").await.text);
    for obstacle in &obstacles {
        fs::remove_dir(obstacle).expect("an empty folder");
    }
    lake.holds(DAYS).await;

    assert_eq!(health["archive"]["status"], "failing");
    assert!(metrics.contains("\nfeishu_pulse_archive_failing 1\n"), "{metrics}");
    assert!(metrics.contains("\nfeishu_pulse_archive_unwritten_partitions 2\n"), "{metrics}");
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "ok").await;
}

#[tokio::test]
async fn the_problem_of_a_failing_archive_does_not_show_its_path() {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;
    // A folder has the name of the file of the day, so the file cannot be deleted.
    fs::remove_file(lake.file("2026-11-11")).expect("a writable folder");
    fs::create_dir_all(lake.file("2026-11-11").join("x")).expect("a writable folder");

    let deleted = gateway.http.delete(format!("{}/v1/days/2026-11-11", gateway.base)).send().await.expect("a response");
    let deleted = ApiResponse::read(deleted).await;

    assert_eq!(deleted.problem()["code"], "archive_unavailable");
    assert!(!deleted.text.contains(lake.root().to_str().expect("UTF-8")), "{}", deleted.text);
}
