//! Against real servers and real limits, which `.ci/archive` starts: buckets of two makes, and a disk that is too small.

use std::env::var;

use feishu_pulse::{sim::SimConfig, store::Location};

use crate::{
    lake::{DAYS, RANGE, eventually},
    support::Setup,
};

async fn gateway(place: &str) -> Setup {
    let location: Location = place.parse().expect("a place");
    Setup::with(SimConfig { users: 60, ..SimConfig::default() }, |config| config.archive = location).await
}

async fn held(gateway: &Setup, place: &str) -> bool {
    let answer = gateway.get(&format!("/v1/coverage?{RANGE}")).await.json();
    answer["data"].as_array().expect("items").iter().all(|item| item["held"] == place)
}

#[tokio::test]
#[ignore = "needs a bucket; .ci/archive starts one"]
async fn a_bucket_keeps_days_and_jobs_and_forgets_on_request() {
    let place = var("PULSE_TEST_BUCKET").expect("PULSE_TEST_BUCKET");
    let path = format!("/v1/user-days?{RANGE}&format=ndjson");
    let (one, other) = (gateway(&place).await, gateway(&place).await);

    let (first, second) = tokio::join!(one.get(&path), other.get(&path));
    eventually(async || held(&one, "both").await).await;
    let restarted = gateway(&place).await;
    assert!(held(&restarted, "archive").await);
    let third = restarted.get(&path).await;

    assert_eq!(first.lines(), second.lines());
    assert_eq!(third.lines(), first.lines());
    assert_eq!(restarted.upstream_calls(), 0);
    for day in 11..=20 {
        let url = format!("{}/v1/days/2026-11-{day}", restarted.base);
        assert_eq!(restarted.http.delete(url).send().await.expect("an answer").status(), 204);
    }
    let after = gateway(&place).await.get(&format!("/v1/coverage?{RANGE}")).await.json();
    assert_eq!(after["meta"]["days"]["missing"].as_array().map(Vec::len), Some(DAYS));
}

#[tokio::test]
#[ignore = "needs a bucket that is down; .ci/archive names one"]
async fn a_bucket_that_is_down_is_answered_from_feishu() {
    let gateway = gateway("s3://nobody-listens/here").await;

    let answer = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await;

    assert!(answer.lines().len() > 500);
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "failing").await;
}

#[tokio::test]
#[ignore = "needs a bucket that says nothing; .ci/archive starts one"]
async fn a_bucket_that_says_nothing_is_answered_from_feishu() {
    let gateway = gateway("s3://silent/here").await;

    let answer = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await;

    assert!(answer.lines().len() > 500);
    let health = gateway.get("/readyz").await.json();
    assert_eq!((&health["status"], &health["archive"]["status"]), (&"ready".into(), &"failing".into()));
    assert!(gateway.get("/metrics").await.text.contains("\nfeishu_pulse_archive_failing 1\n"));
}

#[tokio::test]
#[ignore = "needs a disk that is too small; .ci/archive mounts one"]
async fn a_disk_that_is_full_is_answered_from_feishu_and_holds_only_whole_days() {
    let disk = var("PULSE_TEST_SMALL_DISK").expect("PULSE_TEST_SMALL_DISK");
    let filling = format!("{disk}/filling");
    std::fs::write(&filling, vec![0; 200 << 10]).expect("room for the filling");
    let gateway = gateway(&disk).await;

    let during = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "failing").await;
    std::fs::remove_file(filling).expect("a writable disk");
    eventually(async || held(&gateway, "both").await).await;

    let restarted = self::gateway(&disk).await;
    assert_eq!(restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines(), during);
    assert_eq!(restarted.upstream_calls(), 0);
}
