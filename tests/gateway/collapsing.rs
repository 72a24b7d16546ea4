//! Collapsing: many callers cost what one costs, and who leaves stops nothing.

use std::time::Duration;

use feishu_pulse::sim::{Outcome, PageTokenStyle, SimConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::support::{Setup, eventually};

const RANGE: &str = "start_date=2026-11-10&end_date=2026-11-16";

/// 300 people: five pages a day, one chain to find that out and one for the rest.
fn simulation() -> SimConfig {
    SimConfig {
        users: 300,
        days: 30,
        turnover: 0.0,
        latency: Duration::from_millis(10),
        page_tokens: PageTokenStyle::Opaque,
        ..SimConfig::default()
    }
}

const PAGES: usize = 7 * 5;

fn report() -> String {
    format!("/v1/reports/activity?{RANGE}")
}

/// Waits until all days of the range are held.
async fn held(setup: &Setup) {
    eventually(async || {
        let coverage = setup.get(&format!("/v1/coverage?{RANGE}")).await.json();
        coverage["meta"]["days"]["final"] == 7
    })
    .await;
}

#[tokio::test]
async fn fifty_cold_callers_cost_no_more_pages_than_one() {
    let setup = Setup::new(simulation()).await;

    let answers = join_all((0..50).map(|_| async { setup.get(&report()).await.json() })).await;

    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(setup.upstream_calls(), PAGES);
    assert_eq!(setup.simulator.ledger().token_calls().len(), 1);
}

#[tokio::test]
async fn callers_of_overlapping_ranges_share_what_overlaps() {
    let setup = Setup::new(simulation()).await;
    let narrow = report();
    let wider = "/v1/user-days?start_date=2026-11-08&end_date=2026-11-16&limit=1";

    let (narrow, wide) = tokio::join!(setup.get(&narrow), setup.get(wider));

    assert_eq!((narrow.status, wide.status), (StatusCode::OK, StatusCode::OK));
    let rows: usize = setup
        .simulator
        .ledger()
        .stats_calls()
        .iter()
        .map(|call| match call.outcome {
            Outcome::Rows(rows) => rows,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(rows, 9 * 300);
}

#[tokio::test]
async fn callers_who_hang_up_stop_nothing_and_the_days_are_kept() {
    let setup = Setup::new(simulation()).await;
    let callers: Vec<_> =
        (0..10).map(|_| tokio::spawn(setup.http.get(format!("{}{}", setup.base, report())).send())).collect();
    eventually(async || setup.upstream_calls() >= 3).await;

    callers.iter().for_each(tokio::task::JoinHandle::abort);
    held(&setup).await;

    let calls = setup.simulator.ledger().stats_calls();
    assert_eq!(calls.len(), PAGES);
    assert!(calls.iter().all(|call| matches!(call.outcome, Outcome::Rows(_))));
    assert_eq!(setup.get(&report()).await.status, StatusCode::OK);
    assert_eq!(setup.upstream_calls(), PAGES);
}

#[tokio::test]
async fn a_caller_whose_time_is_up_is_told_so_while_the_fetch_goes_on() {
    let setup = Setup::with(simulation(), |config| config.request_timeout = Duration::from_millis(1)).await;

    let early = setup.get(&report()).await;
    let partly = setup.get(&format!("{}&allow_partial=true", report())).await.json();
    held(&setup).await;
    let late = setup.get(&report()).await;

    assert_eq!(
        (early.status, early.problem()["code"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("not_ready_in_time"))
    );
    assert_eq!(early.headers["retry-after"], early.problem()["retry_after"].to_string());
    assert_eq!(partly["meta"]["days"]["missing"].as_array().map(Vec::len), Some(7));
    assert_eq!(partly["data"].as_array().map(Vec::len), Some(0));
    assert_eq!(late.json()["data"].as_array().map(Vec::len), Some(7));
    assert_eq!(setup.upstream_calls(), PAGES);
}
