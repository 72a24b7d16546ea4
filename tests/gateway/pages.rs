//! Pages: whatever happens to a chain on its way, the rows are the true ones, and no page is asked for in vain.

use std::time::Duration;

use feishu_pulse::{
    model::UserIdType,
    sim::{Calls, Drift, Fault, Mishap, PageTokenStyle, RowOrder, SimConfig, Twist},
};
use reqwest::StatusCode;
use rstest::rstest;

use crate::{
    support::{Setup, day, eventually},
    truth::{lines, rows},
};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

/// Five pages a day.
fn simulation() -> SimConfig {
    SimConfig { users: 300, days: 30, turnover: 0.0, ..SimConfig::default() }
}

fn truth(setup: &Setup) -> Vec<serde_json::Value> {
    rows(setup, setup.home(), "2026-11-20", "2026-11-20", UserIdType::OpenId)
}

/// The numbers of the pages that were asked for, in order.
fn pages(setup: &Setup) -> Vec<usize> {
    setup.simulator.ledger().stats_calls().iter().filter_map(|call| call.page).collect()
}

#[rstest]
#[tokio::test]
async fn rows_are_true_in_whatever_order_and_shape_they_come(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
    #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] row_order: RowOrder,
    #[values(Drift::Off, Drift::Usual, Drift::Wild)] drift: Drift,
) {
    let config =
        SimConfig { users: 130, days: 30, turnover: 0.5, page_tokens, row_order, drift, ..SimConfig::default() };
    let setup = Setup::new(config).await;

    let told = lines(&setup, "start_date=2026-11-01&end_date=2026-11-20").await;

    assert_eq!(told, rows(&setup, setup.home(), "2026-11-01", "2026-11-20", UserIdType::OpenId));
}

#[rstest]
#[case::an_internal_error(Mishap::code(2200))]
#[case::an_internal_error_that_looks_well(Mishap::code_with_status(1663, 200))]
#[case::an_unknown_error(Mishap::Error { status: 500, code: 424_242, message: "?".to_owned() })]
#[case::a_proxys_page(Mishap::Html { status: 502 })]
#[case::a_proxys_page_that_looks_well(Mishap::Html { status: 200 })]
#[case::half_the_json(Mishap::TruncatedJson)]
#[case::half_the_body(Mishap::CutMidBody)]
#[case::no_reply(Mishap::Reset)]
#[case::a_reply_that_never_comes(Mishap::Hang)]
#[tokio::test]
async fn a_failed_page_is_asked_for_again_and_no_other(#[case] mishap: Mishap) {
    let setup = Setup::with(simulation(), |config| config.feishu.call_timeout = Duration::from_secs(1)).await;
    setup.simulator.faults().push(Fault::new(mishap).on(Calls::LaterPages).after(1));

    let told = lines(&setup, DAY).await;

    assert_eq!(told, truth(&setup));
    assert_eq!(pages(&setup), [1, 2, 3, 3, 4, 5]);
    assert_eq!(setup.simulator.ledger().token_calls().len(), 1);
}

#[rstest]
#[case::a_row_that_comes_twice(Twist::RowAgain, &[1, 2, 3, 4, 5])]
#[case::an_empty_page_in_between(Twist::Empty, &[1, 2, 3, 3, 4, 5])]
#[tokio::test]
async fn an_odd_page_changes_nothing(
    #[case] twist: Twist,
    #[case] asked: &[usize],
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let setup = Setup::new(SimConfig { page_tokens, ..simulation() }).await;
    setup.simulator.faults().push(Fault::new(Mishap::Page(twist)).on(Calls::LaterPages).after(1));

    let told = lines(&setup, DAY).await;

    assert_eq!(told, truth(&setup));
    assert_eq!(pages(&setup), asked);
}

#[rstest]
#[case::missing(Twist::WithoutToken)]
#[case::the_one_that_was_sent(Twist::SameToken)]
#[tokio::test]
async fn a_page_token_that_leads_nowhere_ends_the_chain_and_the_day_is_fetched_anew_later(#[case] twist: Twist) {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::Page(twist)).on(Calls::LaterPages).after(1));

    let told = lines(&setup, DAY).await;
    let asked = pages(&setup);
    let meta = setup.get(&format!("/v1/user-days?{DAY}")).await.json()["meta"].clone();
    setup.set_time("2026-11-22T04:31:00Z");
    eventually(async || lines(&setup, DAY).await == truth(&setup)).await;

    assert_eq!((told.len(), asked), (180, vec![1, 2, 3]));
    assert_eq!((&meta["days"]["final"], &meta["days"]["provisional"]), (&0.into(), &1.into()));
}

#[tokio::test]
async fn a_rejected_page_token_begins_the_chain_anew_once() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::RejectPageToken).on(Calls::LaterPages).after(1));

    let told = lines(&setup, DAY).await;

    assert_eq!(told, truth(&setup));
    assert_eq!(pages(&setup), [1, 2, 3, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_page_asked_for_ahead_fails_no_chain_whatever_upstream_says_of_it() {
    // Ten pages, of a tenant whose size is known; the calls are spaced so that they arrive in order.
    let config = SimConfig { users: 600, page_tokens: PageTokenStyle::PageNumber, ..simulation() };
    let setup = Setup::with(config, |config| config.feishu.throttle.start_rate = 100.0).await;
    setup.get("/v1/user-days?start_date=2026-11-10&end_date=2026-11-10").await.json();
    let fault = Mishap::Error { status: 400, code: 99_992_402, message: "field validation failed".to_owned() };
    setup.simulator.faults().push(Fault::new(fault).on(Calls::LaterPages).after(4));

    let told = lines(&setup, DAY).await;

    assert_eq!(setup.simulator.faults().left(), 0);
    assert_eq!(told, truth(&setup));
}

#[tokio::test]
async fn page_tokens_that_are_always_rejected_are_upstreams_failure_and_not_the_callers() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::RejectPageToken).on(Calls::LaterPages).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(
        (answer.status, answer.problem()["code"].as_str()),
        (StatusCode::BAD_GATEWAY, Some("upstream_unavailable"))
    );
    assert_eq!(answer.problem()["upstream_code"], 1_051_001);
    assert_eq!(pages(&setup), [1, 2, 1, 2]);
}

#[rstest]
#[case::a_missing_scope(99_991_672, StatusCode::BAD_GATEWAY, "upstream_forbidden", "admin:admin_user_stat:readonly")]
#[case::outside_the_data_range(1_051_002, StatusCode::BAD_GATEWAY, "upstream_forbidden", "data range")]
#[case::an_address_not_allowed(99_991_401, StatusCode::BAD_GATEWAY, "upstream_forbidden", "IP allow list")]
#[case::a_disabled_app(11_210, StatusCode::BAD_GATEWAY, "upstream_forbidden", "disabled")]
#[case::an_invalid_parameter(1_051_001, StatusCode::UNPROCESSABLE_ENTITY, "upstream_rejected", "parameter")]
#[case::another_apps_id(99_992_361, StatusCode::UNPROCESSABLE_ENTITY, "upstream_rejected", "another app")]
#[tokio::test]
async fn what_asking_again_cannot_help_is_asked_once(
    #[case] code: i64,
    #[case] status: StatusCode,
    #[case] problem_code: &str,
    #[case] told: &str,
) {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::code(code)).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    let problem = answer.problem();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(problem_code)));
    assert_eq!(problem["upstream_code"], code);
    assert!(problem["upstream_log_id"].is_string());
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem}");
    assert_eq!(setup.upstream_calls(), 1);
}

#[tokio::test]
async fn what_is_denied_for_one_day_is_not_asked_for_another() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(Fault::new(Mishap::code(99_991_672)).times(u32::MAX));

    let answer = setup.get("/v1/reports/activity?period=30d&allow_partial=true").await.json();

    assert_eq!(answer["meta"]["days"]["missing"].as_array().map(Vec::len), Some(30));
    assert_eq!(setup.upstream_calls(), 1);
}

#[tokio::test]
async fn with_allow_partial_the_days_that_could_be_had_are_answered_and_the_others_named() {
    let setup = Setup::new(simulation()).await;
    setup.get(&format!("/v1/user-days?{DAY}")).await.json();
    let fault = Fault::new(Mishap::code(1_051_002)).on(Calls::Spanning(day("2026-11-12"))).times(u32::MAX);
    setup.simulator.faults().push(fault);
    let range = "start_date=2026-11-12&end_date=2026-11-20";

    let whole = setup.get(&format!("/v1/reports/activity?{range}")).await;
    let partly = setup.get(&format!("/v1/reports/activity?{range}&allow_partial=true")).await.json();

    let dates = |items: &serde_json::Value, name: &str| -> Vec<String> {
        items.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    let (there, missing) = (dates(&partly["data"], "start_date"), dates(&partly["meta"]["days"]["missing"], "date"));
    assert_eq!(whole.status, StatusCode::BAD_GATEWAY);
    assert!(there.contains(&"2026-11-20".to_owned()) && missing.contains(&"2026-11-12".to_owned()));
    assert_eq!(there.len() + missing.len(), 9);
}
