//! Reports after a restart: from archived digests, or from rows if a digest is invalid.

use std::fs;

use feishu_pulse::{
    model::{DataScope, DayKey, Geo, UserIdType},
    table::{Dictionary, parquet},
};
use serde_json::Value;

use crate::{
    archive::lake::{DAYS, Lake, RANGE},
    support::{Setup, day, eventually},
};

/// Reports that need no rows.
const REPORTS: [&str; 6] = [
    "/v1/reports/activity?trailing=held&start_date=2026-11-11&end_date=2026-11-20",
    "/v1/reports/activity?trailing=held&start_date=2026-11-18&end_date=2026-11-20&interval=week",
    "/v1/reports/summary?start_date=2026-11-16&end_date=2026-11-20",
    "/v1/reports/departments?trailing=held&start_date=2026-11-11&end_date=2026-11-20",
    "/v1/reports/departments?trailing=held&start_date=2026-11-15&end_date=2026-11-15",
    "/v1/reports/retention?start_date=2026-11-11&end_date=2026-11-20&interval=week",
];

async fn reports(gateway: &Setup) -> Vec<Value> {
    let mut answers = Vec::new();
    for report in REPORTS {
        answers.push(gateway.get(report).await.json());
    }
    answers
}

/// A lake of ten days, with the reports of the gateway that filled it.
async fn filled() -> (Lake, Vec<Value>) {
    let lake = Lake::new();
    let gateway = lake.gateway().await;
    gateway.get(&format!("/v1/user-days?{RANGE}&limit=1")).await.json();
    lake.holds(DAYS).await;
    let expected = reports(&gateway).await;
    (lake, expected)
}

/// The number of archived days of which `part` was read.
async fn reads(gateway: &Setup, part: &str) -> usize {
    let page = gateway.get("/metrics").await.text;
    let name = format!("feishu_pulse_archive_reads_total{{read=\"{part}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name)).expect("the figure");
    value.parse().expect("a number")
}

#[tokio::test]
async fn reports_after_a_restart_decode_no_rows_and_make_no_upstream_call() {
    let (lake, expected) = filled().await;

    let restarted = lake.gateway().await;
    let after = reports(&restarted).await;

    assert_eq!(after, expected);
    assert_eq!((reads(&restarted, "digest").await, reads(&restarted, "rows").await), (DAYS, 0));
    assert_eq!(restarted.upstream_calls(), 0);
}

/// Changes the file of the 15th, restarts, and asserts that the gateway restores the original file.
async fn assert_restores(change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let (lake, expected) = filled().await;
    let file = lake.file("2026-11-15");
    let original = fs::read(&file).expect("a file");
    let changed = change(original.clone());
    assert!(changed != original);
    fs::write(&file, &changed).expect("a writable file");

    let restarted = lake.gateway().await;
    let after = reports(&restarted).await;

    assert_eq!(after, expected);
    assert_eq!((reads(&restarted, "digest").await, reads(&restarted, "rows").await), (DAYS - 1, 1));
    assert_eq!(restarted.upstream_calls(), 0);
    eventually(async || fs::read(&file).expect("a file") == original).await;
    assert_eq!(restarted.get("/readyz").await.json()["archive"]["damaged"], 0);
}

#[tokio::test]
async fn a_damaged_digest_is_computed_again_from_the_rows() {
    assert_restores(|mut file| {
        let text = String::from_utf8_lossy(&file).into_owned();
        let attachment = text.split("feishu_pulse.attachment").nth(1).expect("a digest");
        let offset: String =
            attachment.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let offset: usize = offset.parse().expect("a number");
        file[offset + 20] ^= 0xff;
        file
    })
    .await;
}

#[tokio::test]
async fn a_file_without_a_digest_gets_one() {
    assert_restores(|file| {
        let key = DayKey {
            geo: Geo::Cn,
            user_id_type: UserIdType::OpenId,
            scope: DataScope::Everyone,
            day: day("2026-11-15"),
        };
        let rows = parquet::decode(file.into(), &key, &std::sync::Arc::new(Dictionary::default())).expect("sound rows");
        parquet::encode(&rows, &[]).expect("a file")
    })
    .await;
}
