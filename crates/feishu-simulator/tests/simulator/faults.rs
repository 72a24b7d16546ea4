//! Injected faults, as a client sees them.

use std::{collections::BTreeSet, time::Duration};

use feishu_simulator::{CallResult, FaultKind, FaultTarget, InjectedFault, PageFault, PageTokenStyle, SimulatorConfig};
use rstest::rstest;
use serde_json::Value;

use crate::caller::{Caller, day, eventually, key};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20&page_size=40";

async fn caller() -> Caller {
    Caller::start(SimulatorConfig { users: 100, turnover: 0.0, ..SimulatorConfig::default() }).await
}

fn call_results(caller: &Caller) -> Vec<CallResult> {
    caller.simulator.call_log().stats_calls().iter().map(|call| call.result).collect()
}

#[rstest]
#[case(FaultKind::error_code(2200), 500, 2200)]
#[case(FaultKind::error_code(99_991_672), 400, 99_991_672)]
#[case(FaultKind::error_code_with_status(1663, 200), 200, 1663)]
#[case(FaultKind::RejectPageToken, 500, 1_051_001)]
#[tokio::test]
async fn a_fault_is_injected_into_the_configured_number_of_calls(
    #[case] kind: FaultKind,
    #[case] status: u16,
    #[case] code: i64,
) {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(kind).after(1).times(2));

    let results = [
        caller.get_page(DAY).await.status_and_code(),
        caller.get_page(DAY).await.status_and_code(),
        caller.get_page(DAY).await.status_and_code(),
        caller.get_page(DAY).await.status_and_code(),
    ];

    assert_eq!(results, [(200, 0), (status, code), (status, code), (200, 0)]);
    assert_eq!(caller.simulator.faults().remaining(), 0);
    assert_eq!(call_results(&caller)[1], CallResult::Error { status, code });
}

#[tokio::test]
async fn an_error_for_a_missing_scope_names_the_scope() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::error_code(99_991_672)));

    let reply = caller.get_page(DAY).await;

    assert_eq!(reply.body["error"]["permission_violations"][0]["subject"], "admin:admin_user_stat:readonly");
}

#[tokio::test]
async fn an_error_can_be_an_html_page() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::Html { status: 502 }));

    let response = caller.call(DAY).await.expect("a reply");

    assert_eq!(response.status(), 502);
    assert!(response.text().await.is_ok_and(|text| text.contains("<h1>502 Bad Gateway</h1>")));
}

#[tokio::test]
async fn truncated_json_is_a_complete_body_with_invalid_json() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::TruncatedJson));

    let bytes = caller.call(DAY).await.expect("a reply").bytes().await.expect("a whole body");

    assert!(bytes.starts_with(br#"{"code":0,"#));
    assert!(serde_json::from_slice::<Value>(&bytes).is_err());
}

#[tokio::test]
async fn a_connection_can_be_closed_in_the_middle_of_a_body() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::AbortMidBody));

    let response = caller.call(DAY).await.expect("a status line");
    let status = response.status();
    let body = response.bytes().await;

    assert_eq!(status, 200);
    assert!(body.is_err());
    assert_eq!(call_results(&caller), [CallResult::InvalidReply]);
    assert_eq!(caller.get_page(DAY).await.code(), 0);
}

#[tokio::test]
async fn a_connection_can_be_closed_without_a_reply() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::CloseWithoutReply));

    let reply = caller.call(DAY).await;

    assert!(reply.is_err());
    assert_eq!(call_results(&caller), [CallResult::InvalidReply]);
    assert_eq!(caller.get_page(DAY).await.code(), 0);
}

#[tokio::test]
async fn a_call_is_logged_as_abandoned_when_the_caller_disconnects() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::Hang));

    let reply = tokio::time::timeout(Duration::from_millis(50), caller.call(DAY)).await;

    assert!(reply.is_err());
    eventually(|| call_results(&caller) == [CallResult::Abandoned]).await;
}

#[tokio::test]
async fn calls_without_a_reply_are_in_flight_at_the_same_time() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::Hang).times(3));

    tokio::select! {
        _ = async { tokio::join!(caller.call(DAY), caller.call(DAY), caller.call(DAY)) } => panic!("a reply"),
        () = eventually(|| call_results(&caller).len() == 3) => {}
    }

    assert_eq!(caller.simulator.call_log().max_in_flight(), 3);
}

#[tokio::test]
async fn a_delayed_call_receives_a_normal_reply() {
    let caller = caller().await;
    caller.simulator.faults().push(InjectedFault::new(FaultKind::Delay(Duration::from_millis(20))));

    let reply = caller.get_page(DAY).await;

    let call = &caller.simulator.call_log().stats_calls()[0];
    assert_eq!(reply.code(), 0);
    assert!(call.finished.is_some_and(|finished| finished - call.arrived >= Duration::from_millis(20)));
}

#[rstest]
#[tokio::test]
async fn an_empty_page_can_be_followed_by_more_rows(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let caller =
        Caller::start(SimulatorConfig { users: 100, turnover: 0.0, page_tokens, ..SimulatorConfig::default() }).await;
    caller
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::Empty)).on(FaultTarget::LaterPages).times(2));

    let pages = caller.pages(DAY).await;

    let rows: BTreeSet<_> = pages.concat().iter().map(key).collect();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [40, 0, 0, 40, 20]);
    assert_eq!(rows.len(), 100);
}

#[tokio::test]
async fn a_page_token_can_be_missing_or_repeated() {
    let caller = caller().await;
    caller
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::MissingToken)).on(FaultTarget::FirstPages));
    caller
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::RepeatedToken)).on(FaultTarget::LaterPages));

    let missing = caller.get_page(DAY).await;
    let token = caller.get_page(DAY).await.page_token().expect("a second page");
    let repeated = caller.get_page(&format!("{DAY}&page_token={token}")).await;

    assert_eq!((missing.page_token(), missing.body["data"]["has_more"].as_bool()), (None, Some(true)));
    assert_eq!(repeated.page_token(), Some(token));
}

#[tokio::test]
async fn a_row_can_be_duplicated() {
    let caller = caller().await;
    caller
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Page(PageFault::DuplicateRow)).on(FaultTarget::LaterPages));

    let rows = caller.rows(DAY).await;

    let distinct: BTreeSet<_> = rows.iter().map(key).collect();
    assert_eq!((rows.len(), distinct.len()), (101, 100));
}

#[tokio::test]
async fn a_rejected_access_token_stays_invalid() {
    let mut caller = caller().await;
    let token = caller.get_page(DAY).await.page_token().expect("a second page");
    caller.simulator.faults().push(InjectedFault::new(FaultKind::RejectAccessToken));

    let rejected = [caller.get_page(DAY).await.code(), caller.get_page(DAY).await.code()];
    caller.log_in().await;
    let next_page = caller.get_page(&format!("{DAY}&page_token={token}")).await;

    assert_eq!(rejected, [99_991_663, 99_991_663]);
    assert_eq!((next_page.code(), next_page.items().len()), (0, 40));
}

#[tokio::test]
async fn faults_are_injected_only_into_their_target_calls() {
    let caller = caller().await;
    let faults = caller.simulator.faults();
    faults.push(
        InjectedFault::new(FaultKind::error_code(5000))
            .on(FaultTarget::ContainingDay(day("2026-11-19")))
            .times(u32::MAX),
    );
    faults.push(InjectedFault::new(FaultKind::error_code(10015)).on(FaultTarget::Token));

    let other_day = caller.get_page(DAY).await.code();
    let that_day = caller.get_page("start_date=2026-11-18&end_date=2026-11-20").await.code();
    let token = caller.request_token("cli_demo", "demo-secret").await.code();

    assert_eq!((other_day, that_day, token), (0, 5000, 10015));
    assert_eq!(caller.simulator.call_log().stats_calls()[1].fault, Some(FaultKind::error_code(5000)));
}
