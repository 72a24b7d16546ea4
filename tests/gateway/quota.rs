//! The month's calls: counted, shown, kept across restarts and within what the operator allows.

use crate::support::Setup;
use feishu_pulse::{feishu::quota::QuotaConfig, sim::SimConfig};
use reqwest::StatusCode;

const WEEK: &str = "/v1/reports/activity?start_date=2026-11-09&end_date=2026-11-15";

#[tokio::test]
async fn successful_calls_are_counted_and_shown() {
    let setup = Setup::new(SimConfig { users: 100, ..SimConfig::default() }).await;

    setup.get(WEEK).await.json();

    let meta = setup.get("/v1/coverage").await.json()["meta"].clone();
    assert_eq!(meta["upstream_calls"]["calls"], setup.simulator.ledger().ok_stats_calls().len());
    assert_eq!(meta["upstream_calls"]["month"], "2026-11-01");
}

#[tokio::test]
async fn no_call_is_made_beyond_what_the_operator_allows_and_held_days_are_served() {
    let quota = QuotaConfig { monthly: Some(12), reserve: 0.0 };
    let simulation = SimConfig { users: 100, turnover: 0.0, ..SimConfig::default() };
    let setup = Setup::with(simulation, |config| config.feishu.quota = quota).await;
    // Seven days of 100 people cost 12 pages, give or take the first day's own chain.
    let held = setup.get("/v1/reports/activity?start_date=2026-11-14&end_date=2026-11-15").await;

    let refused = setup.get("/v1/reports/activity?start_date=2026-09-01&end_date=2026-11-10").await;
    let again = setup.get("/v1/reports/activity?start_date=2026-11-14&end_date=2026-11-15").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.problem()["code"], "upstream_quota_exhausted");
    assert_eq!(held.json(), again.json());
    assert_eq!(setup.upstream_calls(), 12);
}

#[tokio::test]
async fn a_restart_goes_on_counting() {
    let folder = tempfile::tempdir().expect("a folder");
    let memo = folder.path().join("upstream.json");
    let simulation = || SimConfig { users: 100, ..SimConfig::default() };
    let count = async |setup: &Setup| setup.get("/v1/coverage").await.json()["meta"]["upstream_calls"]["calls"].clone();

    // A runtime of its own ends like a process does.
    let first = memo.clone();
    let before = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let setup = Setup::with(simulation(), |config| config.feishu.memo = Some(first)).await;
            setup.get(WEEK).await.json();
            count(&setup).await
        })
    });
    let before = before.join().expect("the first process");
    let second = Setup::with(simulation(), |config| config.feishu.memo = Some(memo)).await;

    assert_eq!(count(&second).await, before);
}
