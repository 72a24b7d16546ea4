//! Look-ahead within one day: pages asked for before they are named, where page tokens allow it, and nothing in vain
//! where they don't.

use std::time::Duration;

use crate::support::Setup;
use feishu_pulse::sim::{PageTokenStyle, SimConfig};

/// Pages of a day of everyone.
const PAGES: usize = 50;

/// A tenant of as many people as fill [`PAGES`] pages, whose size the gateway knows from one day already.
async fn known_tenant(page_tokens: PageTokenStyle) -> Setup {
    let people = u32::try_from(PAGES * 60).expect("a few thousand");
    let latency = Duration::from_millis(5);
    let simulation = SimConfig { users: people, days: 10, turnover: 0.0, page_tokens, latency, ..SimConfig::default() };
    let setup = Setup::new(simulation).await;
    fetch(&setup, "2026-11-16").await;
    setup.simulator.ledger().clear();
    setup
}

/// Has one day fetched, and checks it against the truth.
async fn fetch(setup: &Setup, day: &str) {
    let answer = setup.get(&format!("/v1/reports/activity?start_date={day}&end_date={day}")).await.json();
    let truth = setup.simulator.tenant().rows_of(setup.home(), day.parse().expect("a day"));
    let messages: u64 = truth.iter().map(|row| u64::from(row.counters.send_messenger_num)).sum();
    assert_eq!(answer["data"][0]["users"], truth.len());
    assert_eq!(answer["data"][0]["counters"]["send_messenger_num"], messages);
}

#[tokio::test]
async fn page_numbers_are_asked_for_ahead_and_none_in_vain() {
    let setup = known_tenant(PageTokenStyle::PageNumber).await;

    fetch(&setup, "2026-11-18").await;

    assert_eq!(setup.upstream_calls(), PAGES);
    assert!(setup.simulator.ledger().max_in_flight() > 4, "one day is asked for by several calls at a time");
}

#[tokio::test]
async fn guessing_numbers_that_upstream_has_not_given_out_costs_a_handful_of_calls_once() {
    let setup = known_tenant(PageTokenStyle::Numeric).await;

    // The first known day was fetched while its size was unknown, so the guessing begins with this one.
    fetch(&setup, "2026-11-18").await;
    let first = setup.upstream_calls();
    fetch(&setup, "2026-11-19").await;
    fetch(&setup, "2026-11-20").await;

    // A guess may overtake the reply that gives its number out, and so seem right; then up to 16 more are made.
    assert!((PAGES..=PAGES + 17).contains(&first), "{first} calls for {PAGES} pages");
    assert!(setup.upstream_calls() <= 3 * PAGES + 17, "{} calls in all", setup.upstream_calls());
}

#[tokio::test]
async fn opaque_tokens_are_never_guessed() {
    let setup = known_tenant(PageTokenStyle::Opaque).await;

    fetch(&setup, "2026-11-18").await;

    assert_eq!(setup.upstream_calls(), PAGES);
    assert_eq!(setup.simulator.ledger().max_in_flight(), 1);
}
