//! Monthly quota: calls are counted, reported, limited as configured, and the count survives a restart.

use std::{path::PathBuf, time::Duration};

use crate::support::{ApiResponse, Setup};
use feishu_pulse::feishu::quota::QuotaConfig;
use feishu_simulator::{FaultKind, InjectedFault, SimulatorConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;

const WEEK: &str = "/v1/reports/activity?trailing=held&start_date=2026-11-09&end_date=2026-11-15";

#[tokio::test]
async fn successful_calls_are_counted_and_reported() {
    let setup = Setup::new(SimulatorConfig { users: 100, ..SimulatorConfig::default() }).await;

    setup.get(WEEK).await.json();

    let meta = setup.get("/v1/coverage").await.json()["meta"].clone();
    assert_eq!(meta["upstream_calls"]["calls"], setup.simulator.call_log().successful_stats_calls().len());
    assert_eq!(meta["upstream_calls"]["month"], "2026-11-01");
}

#[tokio::test]
async fn no_call_exceeds_the_configured_limit_and_cached_days_are_still_served() {
    let quota = QuotaConfig { monthly_limit: Some(12), interactive_share: 0.0 };
    let simulation = SimulatorConfig { users: 100, turnover: 0.0, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| config.feishu.quota = quota).await;
    // Two days of 100 people need 4 pages. The second request needs more than the remaining 8.
    let first = setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-14&end_date=2026-11-15").await;

    let refused = setup.get("/v1/reports/activity?trailing=held&start_date=2026-09-01&end_date=2026-11-10").await;
    let again = setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-14&end_date=2026-11-15").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.problem()["code"], "upstream_quota_exhausted");
    assert_eq!(first.json(), again.json());
    assert_eq!(setup.upstream_calls(), 12);
}

/// Sends requests that share no fetch at the same time, because they ask for other types of user id.
async fn separate_requests(setup: &Setup) -> Vec<ApiResponse> {
    let path = |kind: &str| format!("/v1/user-days?start_date=2026-11-10&end_date=2026-11-10&user_id_type={kind}");
    let paths = ["open_id", "union_id", "user_id"].map(path);
    join_all(paths.iter().map(|path| setup.get(path))).await
}

/// A gateway whose upstream answers that the quota is exhausted until the faults are cleared.
async fn exhausted_setup(state_file: Option<PathBuf>) -> Setup {
    // The latency makes calls overlap.
    let latency = Duration::from_millis(50);
    let simulation = SimulatorConfig { users: 100, latency, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| config.feishu.state_file = state_file).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::error_code(99_991_403)).times(u32::MAX));
    setup
}

#[tokio::test]
async fn after_an_exhausted_quota_one_call_an_hour_is_tried() {
    let setup = exhausted_setup(None).await;
    setup.get(WEEK).await;
    let refused = setup.get(WEEK).await;
    assert_eq!(refused.problem()["code"], "upstream_quota_exhausted");
    assert_eq!(refused.problem()["retry_after"], 3600);
    assert_eq!(setup.upstream_calls(), 1);

    setup.set_time("2026-11-22T05:00:00Z");
    let answers = separate_requests(&setup).await;

    assert!(answers.iter().all(|answer| answer.problem()["retry_after"] == 3600));
    assert_eq!(setup.upstream_calls(), 2);
}

#[tokio::test]
async fn a_trial_that_succeeds_ends_the_block_for_all_requests() {
    let setup = exhausted_setup(None).await;
    setup.get(WEEK).await;
    setup.simulator.faults().clear();
    setup.set_time("2026-11-22T05:00:00Z");

    let answers = separate_requests(&setup).await;

    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let metrics = setup.get("/metrics").await.text;
    assert!(metrics.contains("feishu_pulse_upstream_quota_spent 0\n"), "{metrics}");
}

#[tokio::test]
async fn after_a_restart_one_call_is_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let state_file = folder.path().join("upstream.json");
    let content = r#"{"calls":{"month":"2026-11-01","calls":7,"exhausted":true},"limit":null}"#;
    std::fs::write(&state_file, content).expect("a state file");
    let setup = exhausted_setup(Some(state_file)).await;

    let answers = separate_requests(&setup).await;

    assert!(answers.iter().all(|answer| answer.problem()["code"] == "upstream_quota_exhausted"));
    assert_eq!(setup.upstream_calls(), 1);
}

#[tokio::test]
async fn the_call_count_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let state_file = folder.path().join("upstream.json");
    let simulation = || SimulatorConfig { users: 100, ..SimulatorConfig::default() };
    let count = async |setup: &Setup| setup.get("/v1/coverage").await.json()["meta"]["upstream_calls"]["calls"].clone();

    // A separate runtime takes the place of the first process: its tasks end with it.
    let first = state_file.clone();
    let before = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let setup = Setup::with(simulation(), |config| config.feishu.state_file = Some(first)).await;
            setup.get(WEEK).await.json();
            count(&setup).await
        })
    });
    let before = before.join().expect("the first process");
    let second = Setup::with(simulation(), |config| config.feishu.state_file = Some(state_file)).await;

    assert_eq!(count(&second).await, before);
}
