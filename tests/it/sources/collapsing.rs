//! Request coalescing: concurrent requests share upstream calls, and a client that disconnects does not stop a fetch.

use std::time::Duration;

use feishu_simulator::{CallResult, FaultKind, InjectedFault, PageTokenStyle, SimulatorConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::{Setup, eventually};

const RANGE: &str = "start_date=2026-11-10&end_date=2026-11-16";

/// 300 people: five pages per day, one chain to measure the size and one for the other days.
fn simulation() -> SimulatorConfig {
    SimulatorConfig {
        users: 300,
        days: 30,
        turnover: 0.0,
        latency: Duration::from_millis(10),
        page_tokens: PageTokenStyle::Opaque,
        ..SimulatorConfig::default()
    }
}

const PAGES: usize = 7 * 5;

fn report() -> String {
    format!("/v1/reports/activity?trailing=held&{RANGE}")
}

/// Waits until all days of the range are cached.
async fn wait_until_cached(setup: &Setup) {
    eventually(async || {
        let coverage = setup.get(&format!("/v1/coverage?{RANGE}")).await.json();
        coverage["meta"]["days"]["final"] == 7
    })
    .await;
}

#[tokio::test]
async fn fifty_concurrent_requests_need_no_more_calls_than_one() {
    let setup = Setup::new(simulation()).await;

    let answers = join_all((0..50).map(|_| async { setup.get(&report()).await.json() })).await;

    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(setup.upstream_calls(), PAGES);
    assert_eq!(setup.simulator.call_log().token_calls().len(), 1);
}

#[tokio::test]
async fn requests_of_overlapping_ranges_share_the_common_days() {
    let setup = Setup::new(simulation()).await;
    let narrow = report();
    let wider = "/v1/user-days?start_date=2026-11-08&end_date=2026-11-16&limit=1";

    let (narrow, wide) = tokio::join!(setup.get(&narrow), setup.get(wider));

    assert_eq!((narrow.status, wide.status), (StatusCode::OK, StatusCode::OK));
    let rows: usize = setup
        .simulator
        .call_log()
        .stats_calls()
        .iter()
        .map(|call| match call.result {
            CallResult::Rows(rows) => rows,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(rows, 9 * 300);
}

#[tokio::test]
async fn clients_that_disconnect_do_not_stop_the_fetch() {
    let setup = Setup::new(simulation()).await;
    let callers: Vec<_> =
        (0..10).map(|_| tokio::spawn(setup.http.get(format!("{}{}", setup.base, report())).send())).collect();
    eventually(async || setup.upstream_calls() >= 3).await;

    callers.iter().for_each(tokio::task::JoinHandle::abort);
    wait_until_cached(&setup).await;

    let calls = setup.simulator.call_log().stats_calls();
    assert_eq!(calls.len(), PAGES);
    assert!(calls.iter().all(|call| matches!(call.result, CallResult::Rows(_))));
    assert_eq!(setup.get(&report()).await.status, StatusCode::OK);
    assert_eq!(setup.upstream_calls(), PAGES);
}

#[tokio::test]
async fn a_request_that_times_out_gets_503_while_the_fetch_continues() {
    let setup = Setup::with(simulation(), |config| config.request_timeout = Duration::from_millis(1)).await;
    // A partial answer waits a moment for days that are stored.
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Delay(Duration::from_secs(2))));

    let early = setup.get(&report()).await;
    let partial = setup.get(&format!("{}&allow_partial=true", report())).await.json();
    wait_until_cached(&setup).await;
    let late = setup.get(&report()).await;

    assert_eq!(
        (early.status, early.problem()["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("not_ready_in_time"))
    );
    assert_eq!(early.headers["retry-after"], early.problem()["retry_after"].to_string());
    assert_eq!(partial["meta"]["days"]["missing"].as_array().map(Vec::len), Some(7));
    assert!(partial["data"].as_array().unwrap().iter().all(|bucket| bucket["users"].is_null()), "{partial}");
    assert_eq!(late.json()["data"].as_array().map(Vec::len), Some(7));
    assert_eq!(setup.upstream_calls(), PAGES);
}
