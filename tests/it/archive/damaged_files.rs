//! Damaged files and files of a later version.

use std::fs;

use crate::archive::lake::{DAYS, Lake, RANGE};

/// A lake of ten days, with their rows as the gateway returned them before any damage.
async fn filled() -> (Lake, Vec<serde_json::Value>) {
    let lake = Lake::new();
    let expected = lake.gateway().await.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;
    (lake, expected)
}

/// Damages the file of the 15th, restarts, and asserts that the rows are unchanged and the file is replaced.
async fn assert_recovers_from(damage: impl FnOnce(&Lake, Vec<u8>) -> Vec<u8>) {
    let (lake, expected) = filled().await;
    let file = lake.file("2026-11-15");
    let original = fs::read(&file).expect("a file");
    fs::write(&file, damage(&lake, original.clone())).expect("a writable file");

    let restarted = lake.gateway().await;
    let answer = restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;

    assert_eq!(answer, expected);
    assert!(restarted.upstream_calls() > 0, "the damaged day was fetched again");
    assert!(restarted.upstream_calls() <= 2, "no other day was fetched");
    let moved = "damaged/user_days/geo=cn/user_id_type=open_id/date=2026-11-15/part-0.parquet.damaged";
    assert!(lake.files().iter().any(|name| name == moved), "{:?}", lake.files());
    let health = restarted.get("/readyz").await.json();
    assert_eq!(health["archive"]["damaged"], 1, "{health}");
    assert_eq!(fs::read(&file).expect("a file").len(), original.len());
}

#[tokio::test]
async fn a_truncated_file_is_moved_aside_and_its_day_fetched_again() {
    assert_recovers_from(|_, file| file[..file.len() / 2].to_vec()).await;
}

#[tokio::test]
async fn an_empty_file_is_moved_aside_and_its_day_fetched_again() {
    assert_recovers_from(|_, _| Vec::new()).await;
}

#[tokio::test]
async fn the_file_of_another_day_is_moved_aside_and_its_day_fetched_again() {
    assert_recovers_from(|lake, _| fs::read(lake.file("2026-11-16")).expect("a file")).await;
}

#[tokio::test]
async fn a_file_with_altered_rows_is_moved_aside_and_its_day_fetched_again() {
    assert_recovers_from(|_, mut file| {
        // The ids are random, so they are stored almost uncompressed, and these bytes are part of them.
        let middle = file.len() / 8;
        file[middle..middle + 16].fill(0x55);
        file
    })
    .await;
}

#[tokio::test]
async fn a_file_of_a_later_version_is_neither_read_nor_overwritten() {
    let (lake, expected) = filled().await;
    let file = lake.file("2026-11-15");
    let later = with_schema_version(&fs::read(&file).expect("a file"), b'9');
    fs::write(&file, &later).expect("a writable file");

    let restarted = lake.gateway().await;
    let answer = restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();

    assert_eq!(answer, expected);
    assert!(restarted.upstream_calls() > 0);
    assert_eq!(fs::read(&file).expect("a file"), later);
    assert!(lake.files().iter().all(|name| !name.starts_with("damaged")));
}

fn with_schema_version(file: &[u8], version: u8) -> Vec<u8> {
    let name = b"feishu_pulse.schema_version";
    let at = file.windows(name.len()).position(|window| window == name).expect("the metadata");
    let digit = at + name.len() + file[at + name.len()..].iter().position(|byte| *byte == b'1').expect("the version");
    let mut changed = file.to_vec();
    changed[digit] = version;
    changed
}
