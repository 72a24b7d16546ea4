//! Size of the archive on disk.

use std::fs;

use feishu_pulse::table::parquet;
use feishu_simulator::SimulatorConfig;

use crate::archive::lake::Lake;

/// Maximum bytes per user-day, including digest and footer.
const MAX_BYTES_PER_USER_DAY: f64 = 45.0;

#[tokio::test]
#[ignore = "a measurement; .ci/archive prints the result"]
async fn a_user_day_takes_few_bytes() {
    let lake = Lake::new();
    let gateway = lake.gateway_with(SimulatorConfig { users: 20_000, ..SimulatorConfig::default() }).await;
    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-11-18&end_date=2026-11-20").await.json();
    lake.holds(3).await;

    let (mut bytes, mut rows) = (0, 0);
    for name in lake.days() {
        let file = fs::read(lake.root().join(name)).expect("a file");
        bytes += file.len();
        rows += parquet::read_file_metadata(&file.into()).expect("metadata").rows;
    }
    let bytes_per_user_day = bytes as f64 / rows as f64;
    println!("{bytes_per_user_day:.1} bytes a user-day: {bytes} bytes, {rows} rows of 3 days");
    assert!(
        bytes_per_user_day <= MAX_BYTES_PER_USER_DAY,
        "{bytes_per_user_day:.1} bytes a user-day, at most {MAX_BYTES_PER_USER_DAY}"
    );
}
