//! Fetching pages: faults of upstream neither change the rows nor cause needless calls.

use std::time::Duration;

use feishu_pulse::model::UserIdType;
use feishu_simulator::{
    FaultKind, FaultTarget, InjectedFault, PageFault, PageTokenStyle, RowOrder, SchemaDrift, SimulatorConfig,
};
use reqwest::StatusCode;
use rstest::rstest;

use crate::support::{
    Setup, day, eventually,
    truth::{served_rows, true_rows},
};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20";

/// Five pages per day.
fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 300, days: 30, turnover: 0.0, ..SimulatorConfig::default() }
}

fn expected_rows(setup: &Setup) -> Vec<serde_json::Value> {
    true_rows(setup, setup.home(), "2026-11-20", "2026-11-20", UserIdType::OpenId)
}

/// The numbers of the requested pages, in order.
fn requested_pages(setup: &Setup) -> Vec<usize> {
    setup.simulator.call_log().stats_calls().iter().filter_map(|call| call.page).collect()
}

#[rstest]
#[tokio::test]
async fn rows_are_correct_in_any_order_and_with_any_field_types(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
    #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] row_order: RowOrder,
    #[values(SchemaDrift::Off, SchemaDrift::Usual, SchemaDrift::Wild)] schema_drift: SchemaDrift,
) {
    let config = SimulatorConfig {
        users: 130,
        days: 30,
        turnover: 0.5,
        page_tokens,
        row_order,
        schema_drift,
        ..SimulatorConfig::default()
    };
    let setup = Setup::new(config).await;

    let response_rows = served_rows(&setup, "start_date=2026-11-01&end_date=2026-11-20").await;

    assert_eq!(response_rows, true_rows(&setup, setup.home(), "2026-11-01", "2026-11-20", UserIdType::OpenId));
}

#[rstest]
#[case::an_internal_error(FaultKind::error_code(2200))]
#[case::an_internal_error_with_status_200(FaultKind::error_code_with_status(1663, 200))]
#[case::an_unknown_error(FaultKind::Error { status: 500, code: 424_242, message: "?".to_owned() })]
#[case::an_html_page(FaultKind::Html { status: 502 })]
#[case::an_html_page_with_status_200(FaultKind::Html { status: 200 })]
#[case::truncated_json(FaultKind::TruncatedJson)]
#[case::a_truncated_body(FaultKind::AbortMidBody)]
#[case::a_connection_reset(FaultKind::CloseWithoutReply)]
#[case::a_timeout(FaultKind::Hang)]
#[tokio::test]
async fn only_the_failed_page_is_retried(#[case] fault_kind: FaultKind) {
    let setup = Setup::with(simulation(), |config| config.feishu.call_timeout = Duration::from_secs(1)).await;
    setup.simulator.faults().push(InjectedFault::new(fault_kind).on(FaultTarget::LaterPages).after(1));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(response_rows, expected_rows(&setup));
    assert_eq!(requested_pages(&setup), [1, 2, 3, 3, 4, 5]);
    assert_eq!(setup.simulator.call_log().token_calls().len(), 1);
}

#[rstest]
#[case::a_repeated_row(PageFault::DuplicateRow, &[1, 2, 3, 4, 5])]
#[case::an_empty_page(PageFault::Empty, &[1, 2, 3, 3, 4, 5])]
#[tokio::test]
async fn repeated_rows_and_empty_pages_do_not_change_the_rows(
    #[case] page_fault: PageFault,
    #[case] expected_pages: &[usize],
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let setup = Setup::new(SimulatorConfig { page_tokens, ..simulation() }).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Page(page_fault)).on(FaultTarget::LaterPages).after(1));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(response_rows, expected_rows(&setup));
    assert_eq!(requested_pages(&setup), expected_pages);
}

#[rstest]
#[case::no_token(PageFault::MissingToken)]
#[case::the_token_of_the_request(PageFault::RepeatedToken)]
#[tokio::test]
async fn an_unusable_page_token_ends_the_chain_and_the_day_is_fetched_again_later(#[case] page_fault: PageFault) {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Page(page_fault)).on(FaultTarget::LaterPages).after(1));

    let response_rows = served_rows(&setup, DAY).await;
    let requested = requested_pages(&setup);
    let meta = setup.get(&format!("/v1/user-days?{DAY}")).await.json()["meta"].clone();
    setup.set_time("2026-11-22T04:31:00Z");
    eventually(async || served_rows(&setup, DAY).await == expected_rows(&setup)).await;

    assert_eq!((response_rows.len(), requested), (0, vec![1, 2, 3]));
    assert_eq!(meta["days"]["late"].as_array().map(Vec::len), Some(1));
}

#[rstest]
#[tokio::test]
async fn a_chain_that_begins_again_is_ended_and_its_day_is_late(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let setup = Setup::new(SimulatorConfig { page_tokens, ..simulation() }).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Page(PageFault::Endless)).times(u32::MAX));

    let meta = setup.get(&format!("/v1/user-days?{DAY}")).await.json()["meta"].clone();

    assert_eq!(meta["days"]["late"].as_array().map(Vec::len), Some(1), "{meta}");
    // Five pages with new rows, and eleven without.
    assert_eq!(setup.upstream_calls(), 16);
}

#[tokio::test]
async fn a_chain_with_more_rows_than_the_tenant_can_have_is_ended_and_its_day_is_late() {
    // Rows without user ids cannot be compared, so every page seems to have new rows.
    let setup = Setup::new(SimulatorConfig { employee_ids: false, ..simulation() }).await;
    setup.get("/v1/user-days?start_date=2026-11-19&end_date=2026-11-19&user_id_type=user_id").await.json();
    let calls = setup.upstream_calls();
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Page(PageFault::Endless)).times(u32::MAX));

    let meta = setup.get(&format!("/v1/user-days?{DAY}&user_id_type=user_id")).await.json()["meta"].clone();

    assert_eq!(meta["days"]["late"].as_array().map(Vec::len), Some(1), "{meta}");
    // Four times the 300 known rows, and 100,000 more.
    assert_eq!(setup.upstream_calls() - calls, 101_200 / 60 + 1);
}

#[tokio::test]
async fn a_rejected_page_token_restarts_the_chain_once() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::RejectPageToken).on(FaultTarget::LaterPages).after(1));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(response_rows, expected_rows(&setup));
    assert_eq!(requested_pages(&setup), [1, 2, 3, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_error_for_a_guessed_page_does_not_fail_the_chain() {
    // Ten pages, of a tenant whose size is known. The low rate makes the calls arrive in order.
    let config = SimulatorConfig { users: 600, page_tokens: PageTokenStyle::PageNumber, ..simulation() };
    let setup = Setup::with(config, |config| config.feishu.throttle.start_rate = 100.0).await;
    setup.get("/v1/user-days?start_date=2026-11-10&end_date=2026-11-10").await.json();
    let fault = FaultKind::Error { status: 400, code: 99_992_402, message: "field validation failed".to_owned() };
    setup.simulator.faults().push(InjectedFault::new(fault).on(FaultTarget::LaterPages).after(4));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(setup.simulator.faults().remaining(), 0);
    assert_eq!(response_rows, expected_rows(&setup));
}

#[tokio::test]
async fn page_tokens_that_are_always_rejected_are_reported_as_an_upstream_failure() {
    let setup = Setup::new(simulation()).await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::RejectPageToken).on(FaultTarget::LaterPages).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(
        (answer.status, answer.problem()["code"].as_str()),
        (StatusCode::BAD_GATEWAY, Some("upstream_unavailable"))
    );
    assert_eq!(answer.problem()["upstream_code"], 1_051_001);
    assert_eq!(requested_pages(&setup), [1, 2, 1, 2]);
}

#[rstest]
#[case::a_missing_scope(99_991_672, StatusCode::BAD_GATEWAY, "upstream_forbidden", "admin:admin_user_stat:readonly")]
#[case::outside_the_data_range(1_051_002, StatusCode::BAD_GATEWAY, "upstream_forbidden", "data range")]
#[case::an_address_not_allowed(99_991_401, StatusCode::BAD_GATEWAY, "upstream_forbidden", "IP allow list")]
#[case::a_disabled_app(11_210, StatusCode::BAD_GATEWAY, "upstream_forbidden", "disabled")]
#[case::an_invalid_parameter(1_051_001, StatusCode::UNPROCESSABLE_ENTITY, "upstream_rejected", "parameter")]
#[case::another_apps_id(99_992_361, StatusCode::UNPROCESSABLE_ENTITY, "upstream_rejected", "another app")]
#[tokio::test]
async fn permanent_failures_are_not_retried(
    #[case] code: i64,
    #[case] status: StatusCode,
    #[case] problem_code: &str,
    #[case] detail_part: &str,
) {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::error_code(code)).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    let problem = answer.problem();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(problem_code)));
    assert_eq!(problem["upstream_code"], code);
    assert!(problem["upstream_log_id"].is_string());
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(detail_part)), "{problem}");
    assert_eq!(setup.upstream_calls(), 1);
}

#[rstest]
#[case::bad_request(400)]
#[case::forbidden(403)]
#[case::not_found(404)]
#[tokio::test]
async fn an_unknown_refusal_is_a_problem_of_upstream_and_not_retried(#[case] status: u16) {
    let setup = Setup::new(simulation()).await;
    let fault = FaultKind::Error { status, code: 424_242, message: "?".to_owned() };
    setup.simulator.faults().push(InjectedFault::new(fault).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    let problem = answer.problem();
    assert_eq!((answer.status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("upstream_forbidden")));
    assert_eq!(problem["upstream_code"], 424_242);
    assert_eq!(setup.upstream_calls(), 1);
}

#[rstest]
#[case::rate_limit(429, 11_239, 1)]
#[case::rejected_token(401, 424_242, 2)]
#[case::temporary_failure(503, 424_242, 1)]
#[tokio::test]
async fn an_unknown_code_is_repeated_if_its_status_says_so(
    #[case] status: u16,
    #[case] code: i64,
    #[case] token_calls: usize,
) {
    let setup = Setup::new(simulation()).await;
    let fault = FaultKind::Error { status, code, message: "?".to_owned() };
    setup.simulator.faults().push(InjectedFault::new(fault));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(response_rows, expected_rows(&setup));
    assert_eq!(requested_pages(&setup), [1, 1, 2, 3, 4, 5]);
    assert_eq!(setup.simulator.call_log().token_calls().len(), token_calls);
}

#[tokio::test]
async fn a_missing_scope_fails_all_days_after_one_call() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::error_code(99_991_672)).times(u32::MAX));

    let answer = setup.get("/v1/reports/activity?period=30d&allow_partial=true").await.json();

    assert_eq!(answer["meta"]["days"]["missing"].as_array().map(Vec::len), Some(30));
    assert_eq!(setup.upstream_calls(), 1);
}

#[tokio::test]
async fn with_allow_partial_the_available_days_are_returned_and_the_others_are_listed() {
    let setup = Setup::new(simulation()).await;
    setup.get(&format!("/v1/user-days?{DAY}")).await.json();
    let fault = InjectedFault::new(FaultKind::error_code(1_051_002))
        .on(FaultTarget::ContainingDay(day("2026-11-12").date()))
        .times(u32::MAX);
    setup.simulator.faults().push(fault);
    let range = "start_date=2026-11-12&end_date=2026-11-20";

    let complete = setup.get(&format!("/v1/reports/activity?{range}")).await;
    let partial = setup.get(&format!("/v1/reports/activity?{range}&allow_partial=true")).await.json();

    let dates = |items: &serde_json::Value, name: &str| -> Vec<String> {
        items.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    let buckets = partial["data"].as_array().unwrap().iter().filter(|bucket| bucket["days_counted"] == 1);
    let available = dates(&buckets.cloned().collect(), "start_date");
    let missing = dates(&partial["meta"]["days"]["missing"], "date");
    assert_eq!(complete.status, StatusCode::BAD_GATEWAY);
    assert!(available.contains(&"2026-11-20".to_owned()) && missing.contains(&"2026-11-12".to_owned()));
    assert_eq!(available.len() + missing.len(), 9);
}
