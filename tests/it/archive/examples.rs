//! Writes an archive for the examples of `docs/archive.md`, which `.ci/archive-examples` runs.

use feishu_pulse::store::ArchiveLocation;
use feishu_simulator::SimulatorConfig;

use crate::support::{Setup, eventually};

#[tokio::test]
#[ignore = "needs a folder to write to, which .ci/archive-examples provides"]
async fn an_archive_for_the_examples() {
    let folder = std::path::PathBuf::from(std::env::var_os("PULSE_TEST_LAKE").expect("PULSE_TEST_LAKE"));
    let location = ArchiveLocation::Folder(folder);
    let gateway =
        Setup::with(SimulatorConfig { users: 200, ..SimulatorConfig::default() }, |config| config.archive = location)
            .await;

    gateway.get("/v1/reports/activity?trailing=held&start_date=2026-10-10&end_date=2026-11-20").await.json();

    let coverage = "/v1/coverage?start_date=2026-10-10&end_date=2026-11-20";
    let all_archived = |answer: &serde_json::Value| {
        answer["data"].as_array().is_some_and(|days| days.iter().all(|day| day["held"] == "both"))
    };
    eventually(async || all_archived(&gateway.get(coverage).await.json())).await;
}
