//! Files that are not what they should be.

use std::fs;

use crate::lake::{DAYS, Lake, RANGE};

/// A lake of ten days, and what a gateway says of them.
async fn filled() -> (Lake, Vec<serde_json::Value>) {
    let lake = Lake::new();
    let truth = lake.gateway().await.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;
    (lake, truth)
}

/// Damages the file of the 15th and asks again.
async fn answers_the_truth_after(damage: impl FnOnce(&Lake, Vec<u8>) -> Vec<u8>) {
    let (lake, truth) = filled().await;
    let file = lake.file("2026-11-15");
    let sound = fs::read(&file).expect("a file");
    fs::write(&file, damage(&lake, sound.clone())).expect("a writable file");

    let restarted = lake.gateway().await;
    let answer = restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();
    lake.holds(DAYS).await;

    assert_eq!(answer, truth);
    assert!(restarted.upstream_calls() > 0, "the damaged day was fetched anew");
    assert!(restarted.upstream_calls() <= 2, "and no other");
    let aside = "damaged/user_days/geo=cn/user_id_type=open_id/date=2026-11-15/part-0.parquet.damaged";
    assert!(lake.files().iter().any(|name| name == aside), "{:?}", lake.files());
    let health = restarted.get("/readyz").await.json();
    assert_eq!(health["archive"]["damaged"], 1, "{health}");
    assert_eq!(fs::read(&file).expect("a file").len(), sound.len());
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_set_aside_and_its_day_fetched_anew() {
    answers_the_truth_after(|_, file| file[..file.len() / 2].to_vec()).await;
}

#[tokio::test]
async fn an_empty_file_is_set_aside_and_its_day_fetched_anew() {
    answers_the_truth_after(|_, _| Vec::new()).await;
}

#[tokio::test]
async fn the_file_of_another_day_is_set_aside_and_its_day_fetched_anew() {
    answers_the_truth_after(|lake, _| fs::read(lake.file("2026-11-16")).expect("a file")).await;
}

#[tokio::test]
async fn a_file_with_altered_rows_is_set_aside_and_its_day_fetched_anew() {
    answers_the_truth_after(|_, mut file| {
        // The ids are random, so they stand in the file nearly as they are.
        let middle = file.len() / 8;
        file[middle..middle + 16].fill(0x55);
        file
    })
    .await;
}

#[tokio::test]
async fn a_file_of_a_later_version_is_neither_read_nor_overwritten() {
    let (lake, truth) = filled().await;
    let file = lake.file("2026-11-15");
    let later = with_schema_version(&fs::read(&file).expect("a file"), b'9');
    fs::write(&file, &later).expect("a writable file");

    let restarted = lake.gateway().await;
    let answer = restarted.get(&format!("/v1/user-days?{RANGE}&format=ndjson")).await.lines();

    assert_eq!(answer, truth);
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
