//! Makes an archive for the examples of `docs/archive.md`, which `.ci/archive-examples` runs.

use feishu_pulse::{sim::SimConfig, store::Location};

use crate::{lake::eventually, support::Setup};

#[tokio::test]
#[ignore = "needs a folder to write to; .ci/archive-examples gives it one"]
async fn an_archive_for_the_examples() {
    let folder = std::path::PathBuf::from(std::env::var_os("PULSE_TEST_LAKE").expect("PULSE_TEST_LAKE"));
    let location = Location::Folder(folder);
    let gateway =
        Setup::with(SimConfig { users: 200, ..SimConfig::default() }, |config| config.archive = location).await;

    gateway.get("/v1/reports/activity?start_date=2026-10-10&end_date=2026-11-20").await.json();

    let coverage = "/v1/coverage?start_date=2026-10-10&end_date=2026-11-20";
    let everywhere = |answer: &serde_json::Value| {
        answer["data"].as_array().is_some_and(|days| days.iter().all(|day| day["held"] == "both"))
    };
    eventually(async || everywhere(&gateway.get(coverage).await.json())).await;
}
