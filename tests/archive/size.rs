//! What the archive takes on disk.

use std::fs;

use feishu_pulse::{sim::SimConfig, table::parquet};

use crate::lake::Lake;

/// Bytes that a user-day may take, digest and footer included.
const GOAL: f64 = 45.0;

#[tokio::test]
#[ignore = "measures; .ci/archive shows the figure"]
async fn a_user_day_takes_few_bytes() {
    let lake = Lake::new();
    let gateway = lake.gateway_before(SimConfig { users: 20_000, ..SimConfig::default() }).await;
    gateway.get("/v1/reports/activity?start_date=2026-11-18&end_date=2026-11-20").await.json();
    lake.holds(3).await;

    let (mut bytes, mut rows) = (0, 0);
    for name in lake.days() {
        let file = fs::read(lake.root().join(name)).expect("a file");
        bytes += file.len();
        rows += parquet::read_label(&file.into()).expect("a label").rows;
    }
    let each = bytes as f64 / rows as f64;
    println!("{each:.1} bytes a user-day: {bytes} bytes, {rows} rows of 3 days");
    assert!(each <= GOAL, "{each:.1} bytes a user-day, at most {GOAL}");
}
