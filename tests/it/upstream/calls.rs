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
