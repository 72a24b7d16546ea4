//! Faults: each shows on the wire as it would in a bad week.

use std::{collections::BTreeSet, time::Duration};

use feishu_pulse::sim::{Calls, Fault, Mishap, Outcome, PageTokenStyle, SimConfig, Twist};
use rstest::rstest;
use serde_json::Value;

use crate::caller::{Caller, day, key};

const DAY: &str = "start_date=2026-11-20&end_date=2026-11-20&page_size=40";

async fn caller() -> Caller {
    Caller::of(SimConfig { users: 100, turnover: 0.0, ..SimConfig::default() }).await
}

fn outcomes(caller: &Caller) -> Vec<Outcome> {
    caller.simulator.ledger().stats_calls().iter().map(|call| call.outcome).collect()
}

#[rstest]
#[case(Mishap::code(2200), 500, 2200)]
#[case(Mishap::code(99_991_672), 400, 99_991_672)]
#[case(Mishap::code_with_status(1663, 200), 200, 1663)]
#[case(Mishap::RejectPageToken, 500, 1_051_001)]
#[tokio::test]
async fn a_fault_meets_as_many_calls_as_it_is_told(#[case] mishap: Mishap, #[case] status: u16, #[case] code: i64) {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(mishap).after(1).times(2));

    let verdicts = [
        caller.ask(DAY).await.verdict(),
        caller.ask(DAY).await.verdict(),
        caller.ask(DAY).await.verdict(),
        caller.ask(DAY).await.verdict(),
    ];

    assert_eq!(verdicts, [(200, 0), (status, code), (status, code), (200, 0)]);
    assert_eq!(caller.simulator.faults().left(), 0);
    assert_eq!(outcomes(&caller)[1], Outcome::Error { status, code });
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::code(99_991_672)));

    let reply = caller.ask(DAY).await;

    assert_eq!(reply.body["error"]["permission_violations"][0]["subject"], "admin:admin_user_stat:readonly");
}

#[tokio::test]
async fn a_proxy_in_between_sends_html() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Html { status: 502 }));

    let response = caller.call(DAY).await.expect("a reply");

    assert_eq!(response.status(), 502);
    assert!(response.text().await.is_ok_and(|text| text.contains("<h1>502 Bad Gateway</h1>")));
}

#[tokio::test]
async fn truncated_json_arrives_whole_and_is_none() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::TruncatedJson));

    let bytes = caller.call(DAY).await.expect("a reply").bytes().await.expect("a whole body");

    assert!(bytes.starts_with(br#"{"code":0,"#));
    assert!(serde_json::from_slice::<Value>(&bytes).is_err());
}

#[tokio::test]
async fn a_connection_may_be_cut_in_the_middle_of_a_body() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::CutMidBody));

    let response = caller.call(DAY).await.expect("a status line");
    let status = response.status();
    let body = response.bytes().await;

    assert_eq!(status, 200);
    assert!(body.is_err());
    assert_eq!(outcomes(&caller), [Outcome::Garbage]);
    assert_eq!(caller.ask(DAY).await.code(), 0);
}

#[tokio::test]
async fn a_connection_may_be_closed_without_a_reply() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Reset));

    let reply = caller.call(DAY).await;

    assert!(reply.is_err());
    assert_eq!(outcomes(&caller), [Outcome::Garbage]);
    assert_eq!(caller.ask(DAY).await.code(), 0);
}

#[tokio::test]
async fn a_caller_who_gives_up_on_a_hanging_call_has_abandoned_it() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Hang));

    let reply = tokio::time::timeout(Duration::from_millis(50), caller.call(DAY)).await;

    assert!(reply.is_err());
    while outcomes(&caller) != [Outcome::Abandoned] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_that_hang_are_all_in_flight_at_once() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Hang).times(3));

    tokio::select! {
        _ = async { tokio::join!(caller.call(DAY), caller.call(DAY), caller.call(DAY)) } => panic!("a reply"),
        () = async { while outcomes(&caller).len() < 3 { tokio::task::yield_now().await } } => {}
    }

    assert_eq!(caller.simulator.ledger().max_in_flight(), 3);
}

#[tokio::test]
async fn a_slow_call_is_answered_all_the_same() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Slow(Duration::from_millis(20))));

    let reply = caller.ask(DAY).await;

    let call = &caller.simulator.ledger().stats_calls()[0];
    assert_eq!(reply.code(), 0);
    assert!(call.finished.is_some_and(|finished| finished - call.arrived >= Duration::from_millis(20)));
}

#[rstest]
#[tokio::test]
async fn an_empty_page_is_not_the_end(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let caller = Caller::of(SimConfig { users: 100, turnover: 0.0, page_tokens, ..SimConfig::default() }).await;
    caller.simulator.faults().push(Fault::new(Mishap::Page(Twist::Empty)).on(Calls::LaterPages).times(2));

    let pages = caller.pages(DAY).await;

    let rows: BTreeSet<_> = pages.concat().iter().map(key).collect();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [40, 0, 0, 40, 20]);
    assert_eq!(rows.len(), 100);
}

#[tokio::test]
async fn a_page_token_may_be_missing_or_repeated() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Page(Twist::WithoutToken)).on(Calls::FirstPages));
    caller.simulator.faults().push(Fault::new(Mishap::Page(Twist::SameToken)).on(Calls::LaterPages));

    let missing = caller.ask(DAY).await;
    let token = caller.ask(DAY).await.page_token().expect("a second page");
    let repeated = caller.ask(&format!("{DAY}&page_token={token}")).await;

    assert_eq!((missing.page_token(), missing.body["data"]["has_more"].as_bool()), (None, Some(true)));
    assert_eq!(repeated.page_token(), Some(token));
}

#[tokio::test]
async fn a_row_may_come_twice() {
    let caller = caller().await;
    caller.simulator.faults().push(Fault::new(Mishap::Page(Twist::RowAgain)).on(Calls::LaterPages));

    let rows = caller.rows(DAY).await;

    let distinct: BTreeSet<_> = rows.iter().map(key).collect();
    assert_eq!((rows.len(), distinct.len()), (101, 100));
}

#[tokio::test]
async fn a_rejected_access_token_is_rejected_for_good() {
    let mut caller = caller().await;
    let token = caller.ask(DAY).await.page_token().expect("a second page");
    caller.simulator.faults().push(Fault::new(Mishap::RejectAccessToken));

    let rejected = [caller.ask(DAY).await.code(), caller.ask(DAY).await.code()];
    caller.log_in().await;
    let next_page = caller.ask(&format!("{DAY}&page_token={token}")).await;

    assert_eq!(rejected, [99_991_663, 99_991_663]);
    assert_eq!((next_page.code(), next_page.items().len()), (0, 40));
}

#[tokio::test]
async fn faults_find_the_calls_they_are_meant_for() {
    let caller = caller().await;
    let faults = caller.simulator.faults();
    faults.push(Fault::new(Mishap::code(5000)).on(Calls::Spanning(day("2026-11-19"))).times(u32::MAX));
    faults.push(Fault::new(Mishap::code(10015)).on(Calls::Token));

    let other_day = caller.ask(DAY).await.code();
    let that_day = caller.ask("start_date=2026-11-18&end_date=2026-11-20").await.code();
    let token = caller.ask_for_token("cli_demo", "demo-secret").await.code();

    assert_eq!((other_day, that_day, token), (0, 5000, 10015));
    assert_eq!(caller.simulator.ledger().stats_calls()[1].mishap, Some(Mishap::code(5000)));
}
