//! Page look-ahead: pages are requested before their tokens are received, if the page tokens are consecutive numbers.

use std::time::Duration;

use crate::support::Setup;
use feishu_simulator::{PageTokenStyle, SimulatorConfig};

/// Number of pages of one day.
const PAGES: usize = 50;

/// A tenant whose days have [`PAGES`] pages. The gateway has fetched one day, so this size is known to it.
async fn known_tenant(page_tokens: PageTokenStyle) -> Setup {
    let people = u32::try_from(PAGES * 60).expect("a few thousand");
    let latency = Duration::from_millis(5);
    let simulation =
        SimulatorConfig { users: people, days: 10, turnover: 0.0, page_tokens, latency, ..SimulatorConfig::default() };
    let setup = Setup::new(simulation).await;
    fetch(&setup, "2026-11-16").await;
    setup.simulator.call_log().clear();
    setup
}

/// Requests one day and compares the response with the simulated data.
async fn fetch(setup: &Setup, day: &str) {
    let answer = setup.get(&format!("/v1/reports/activity?trailing=held&start_date={day}&end_date={day}")).await.json();
    let truth = setup.simulator.tenant().rows_of(setup.home(), day.parse().expect("a day"));
    let messages: u64 = truth.iter().map(|row| u64::from(row.counters.send_messenger_num)).sum();
    assert_eq!(answer["data"][0]["users"], truth.len());
    assert_eq!(answer["data"][0]["counters"]["send_messenger_num"], messages);
}

#[tokio::test]
async fn page_numbers_are_fetched_ahead_without_wasted_calls() {
    let setup = known_tenant(PageTokenStyle::PageNumber).await;

    fetch(&setup, "2026-11-18").await;

    assert_eq!(setup.upstream_calls(), PAGES);
    assert!(setup.simulator.call_log().max_in_flight() > 4, "the pages of one day are fetched in parallel");
}

#[tokio::test]
async fn wrong_guesses_cost_at_most_seventeen_calls_once() {
    let setup = known_tenant(PageTokenStyle::Numeric).await;

    // The size was unknown during the fetch of the first day, so guessing starts with this day.
    fetch(&setup, "2026-11-18").await;
    let first = setup.upstream_calls();
    fetch(&setup, "2026-11-19").await;
    fetch(&setup, "2026-11-20").await;

    // The first guess can arrive after upstream has issued its token, and succeed. Then up to 16 more guesses follow.
    assert!((PAGES..=PAGES + 17).contains(&first), "{first} calls for {PAGES} pages");
    assert!(setup.upstream_calls() <= 3 * PAGES + 17, "{} calls in all", setup.upstream_calls());
}

#[tokio::test]
async fn opaque_tokens_are_never_guessed() {
    let setup = known_tenant(PageTokenStyle::Opaque).await;

    fetch(&setup, "2026-11-18").await;

    assert_eq!(setup.upstream_calls(), PAGES);
    assert_eq!(setup.simulator.call_log().max_in_flight(), 1);
}
