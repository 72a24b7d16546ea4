//! Number of upstream calls: close to the minimum, for small and large tenants.

use std::collections::BTreeSet;

use feishu_pulse::model::DayRange;
use feishu_simulator::{PageTokenStyle, SimulatorConfig};
use rstest::rstest;

use crate::support::{Setup, day};

#[rstest]
#[case::twenty_people_over_a_month(20, "2026-10-21", 2)]
#[case::five_hundred_people_over_a_month(500, "2026-10-21", 10)]
#[case::twenty_thousand_people_over_two_days(20_000, "2026-11-19", 2)]
#[tokio::test]
async fn calls_stay_within_two_percent_and_one_per_chain(
    #[case] users: u32,
    #[case] first: &str,
    #[case] max_chains: usize,
    #[values(PageTokenStyle::PageNumber, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let setup = Setup::new(SimulatorConfig { users, page_tokens, ..SimulatorConfig::default() }).await;
    let range = DayRange::new(day(first), day("2026-11-20")).unwrap();
    let rows: usize = range.days().map(|day| setup.simulator.tenant().rows_of(setup.home(), day.date()).len()).sum();

    let answer = setup
        .get(&format!("/v1/reports/activity?trailing=held&start_date={}&end_date={}", range.first(), range.last()))
        .await;

    let (calls, ideal) = (setup.simulator.call_log().stats_calls(), rows.div_ceil(60));
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(range.len()));
    let chains = calls.iter().filter(|call| call.page == Some(1)).count();
    assert!(chains <= max_chains, "{chains} chains");
    assert!(100 * calls.len() <= 102 * ideal + 100 * chains, "{} calls for {ideal} pages of rows", calls.len());
    let distinct: BTreeSet<_> = calls
        .iter()
        .filter_map(|call| Some((*call.query.as_ref()?.days.start(), call.query.as_ref()?.page_token.clone())))
        .collect();
    assert_eq!(distinct.len(), calls.len(), "a page was requested twice");
    assert!(calls.iter().all(|call| call.query.as_ref().is_some_and(|query| query.page_size == 60)));
}

#[tokio::test]
async fn the_newest_day_of_a_request_is_fetched_first() {
    let simulation = SimulatorConfig { users: 4_000, turnover: 0.0, ..SimulatorConfig::default() };
    // With one call in flight, the order of the calls is that of the queue.
    let setup = Setup::with(simulation, |config| config.feishu.throttle.max_in_flight = 1).await;
    setup.get("/v1/reports/activity?trailing=held&start_date=2026-10-20&end_date=2026-10-20").await.json();
    setup.simulator.call_log().clear();

    setup.get("/v1/reports/activity?trailing=held&start_date=2026-11-15&end_date=2026-11-20").await.json();

    let calls = setup.simulator.call_log().stats_calls();
    let first_pages = calls.iter().filter(|call| call.page == Some(1));
    let days: Vec<_> = first_pages.map(|call| call.query.as_ref().expect("a query").days.start().day()).collect();
    assert_eq!(days, [20, 19, 18, 17, 16, 15]);
}
