//! The archive on real storage, which `.ci/archive` starts: two S3 servers, failing servers and a full disk.

use std::{env::var, path::Path};

use feishu_pulse::store::{ArchiveLocation, DiskCacheConfig};
use feishu_simulator::SimulatorConfig;

use crate::{
    archive::lake::{DAYS, RANGE},
    support::{Setup, eventually},
};

async fn gateway(location: &str) -> Setup {
    let location: ArchiveLocation = location.parse().expect("a location");
    Setup::with(SimulatorConfig { users: 60, ..SimulatorConfig::default() }, |config| config.archive = location).await
}

/// Whether coverage reports every day as stored in `place`.
async fn is_stored(gateway: &Setup, place: &str) -> bool {
    let answer = gateway.get(&format!("/v1/coverage?{RANGE}")).await.json();
    answer["data"].as_array().expect("items").iter().all(|item| item["held"] == place)
}

/// The metric of a gateway that has written all final days to the archive.
const NOTHING_UNWRITTEN: &str = "\nfeishu_pulse_archive_unwritten_partitions 0\n";

#[tokio::test]
#[ignore = "needs a bucket; .ci/archive starts one"]
async fn a_bucket_stores_days_and_deletes_them_on_request() {
    let location = var("PULSE_TEST_BUCKET").expect("PULSE_TEST_BUCKET");
    let path = format!("/v1/user-days?{RANGE}&format=ndjson");
    let (one, other) = (gateway(&location).await, gateway(&location).await);

    let (first, second) = tokio::join!(one.get(&path), other.get(&path));
    eventually(async || is_stored(&one, "both").await).await;
    // Both gateways write every day. A write that is still pending would store a day again after its deletion.
    for gateway in [&one, &other] {
        eventually(async || gateway.get("/metrics").await.text.contains(NOTHING_UNWRITTEN)).await;
    }
    let restarted = gateway(&location).await;
    assert!(is_stored(&restarted, "archive").await);
    let third = restarted.get(&path).await;

    assert_eq!(first.lines(), second.lines());
    assert_eq!(third.lines(), first.lines());
    assert_eq!(restarted.upstream_calls(), 0);
    for day in 11..=20 {
        let url = format!("{}/v1/days/2026-11-{day}", restarted.base);
        assert_eq!(restarted.http.delete(url).send().await.expect("an answer").status(), 204);
    }
    let after = gateway(&location).await.get(&format!("/v1/coverage?{RANGE}")).await.json();
    assert_eq!(after["meta"]["days"]["missing"].as_array().map(Vec::len), Some(DAYS));
}

/// Runs a gateway until `requests` has ended, and ends it as a whole, so that it no longer has its disk cache.
fn run_gateway<T>(cache: &Path, requests: impl AsyncFnOnce(Setup) -> T) -> T {
    let location: ArchiveLocation = var("PULSE_TEST_BUCKET").expect("PULSE_TEST_BUCKET").parse().expect("a location");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let simulation = SimulatorConfig { users: 60, ..SimulatorConfig::default() };
        let gateway = Setup::with(simulation, |config| {
            config.archive = location;
            config.archive_cache = Some(DiskCacheConfig { folder: cache.to_owned(), max_bytes: 1 << 30 });
        });
        requests(gateway.await).await
    })
}

#[test]
#[ignore = "needs a bucket; .ci/archive starts one"]
fn after_a_restart_files_are_read_from_the_disk_cache_until_they_are_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let export = format!("/v1/user-days?{RANGE}&format=ndjson");
    let report = format!("/v1/reports/activity?{RANGE}&trailing=held");
    let cached = || {
        let mut folders = vec![folder.path().join("user_days")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
                if path.is_dir() { folders.push(path) } else { files += 1 }
            }
        }
        files
    };
    let expected = run_gateway(folder.path(), async |gateway| {
        let rows = gateway.get(&export).await.lines();
        eventually(async || is_stored(&gateway, "both").await).await;
        eventually(async || gateway.get("/metrics").await.text.contains(NOTHING_UNWRITTEN)).await;
        (rows, gateway.get(&report).await.json()["data"].clone())
    });
    let after_writing = cached();

    let (found, metrics, calls) = run_gateway(folder.path(), async |gateway| {
        // The report first: it needs only digests.
        let data = gateway.get(&report).await.json()["data"].clone();
        let rows = gateway.get(&export).await.lines();
        ((rows, data), gateway.get("/metrics").await.text, gateway.upstream_calls())
    });
    run_gateway(folder.path(), async |gateway| {
        for day in 11..=20 {
            let url = format!("{}/v1/days/2026-11-{day}", gateway.base);
            assert_eq!(gateway.http.delete(url).send().await.expect("an answer").status(), 204);
        }
    });

    assert!(found == expected, "the answers differ");
    assert_eq!(calls, 0);
    assert!(metrics.contains("\nfeishu_pulse_archive_read_bytes_total 0\n"), "{metrics}");
    assert!(metrics.contains("\nfeishu_pulse_archive_cache_failing 0\n"), "{metrics}");
    assert_eq!((after_writing, cached()), (DAYS, 0));
}

#[tokio::test]
#[ignore = "needs a bucket that is down; .ci/archive names one"]
async fn days_come_from_feishu_while_the_bucket_is_down() {
    let gateway = gateway("s3://nobody-listens/here").await;

    let answer = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await;

    assert!(answer.lines().len() > 500);
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "failing").await;
}

#[tokio::test]
#[ignore = "needs a bucket that does not respond; .ci/archive starts one"]
async fn days_come_from_feishu_while_the_bucket_does_not_respond() {
    let gateway = gateway("s3://silent/here").await;

    let answer = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await;

    assert!(answer.lines().len() > 500);
    let health = gateway.get("/readyz").await.json();
    assert_eq!((&health["status"], &health["archive"]["status"]), (&"ready".into(), &"failing".into()));
    assert!(gateway.get("/metrics").await.text.contains("\nfeishu_pulse_archive_failing 1\n"));
}

#[tokio::test]
#[ignore = "needs a disk that is too small; .ci/archive mounts one"]
async fn a_full_disk_has_only_complete_days_and_the_others_come_from_feishu() {
    let disk = var("PULSE_TEST_SMALL_DISK").expect("PULSE_TEST_SMALL_DISK");
    let filler = format!("{disk}/filling");
    std::fs::write(&filler, vec![0; 200 << 10]).expect("enough space for the file");
    let gateway = gateway(&disk).await;

    let during = gateway.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    eventually(async || gateway.get("/readyz").await.json()["archive"]["status"] == "failing").await;
    std::fs::remove_file(filler).expect("a writable disk");
    eventually(async || is_stored(&gateway, "both").await).await;

    let restarted = self::gateway(&disk).await;
    assert_eq!(restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines(), during);
    assert_eq!(restarted.upstream_calls(), 0);
}
