//! Calls: as few as the rows allow, whatever the size of the tenant.

use std::collections::BTreeSet;

use feishu_pulse::{
    model::DayRange,
    sim::{PageTokenStyle, SimConfig},
};
use rstest::rstest;

use crate::support::{Setup, day};

#[rstest]
#[case::twenty_people_over_a_month(20, "2026-10-21", 2)]
#[case::five_hundred_people_over_a_month(500, "2026-10-21", 10)]
#[case::twenty_thousand_people_over_two_days(20_000, "2026-11-19", 2)]
#[tokio::test]
async fn calls_stay_within_two_percent_and_one_a_chain(
    #[case] users: u32,
    #[case] first: &str,
    #[case] most_chains: usize,
    #[values(PageTokenStyle::PageNumber, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
) {
    let setup = Setup::new(SimConfig { users, page_tokens, ..SimConfig::default() }).await;
    let range = DayRange::new(day(first), day("2026-11-20")).unwrap();
    let rows: usize = range.days().map(|day| setup.simulator.tenant().rows_of(setup.home(), day).len()).sum();

    let answer =
        setup.get(&format!("/v1/reports/activity?start_date={}&end_date={}", range.first(), range.last())).await;

    let (calls, ideal) = (setup.simulator.ledger().stats_calls(), rows.div_ceil(60));
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(range.len()));
    let chains = calls.iter().filter(|call| call.page == Some(1)).count();
    assert!(chains <= most_chains, "{chains} chains");
    assert!(100 * calls.len() <= 102 * ideal + 100 * chains, "{} calls for {ideal} pages of rows", calls.len());
    let different: BTreeSet<_> = calls
        .iter()
        .filter_map(|call| Some((call.query.as_ref()?.span.first(), call.query.as_ref()?.page_token.clone())))
        .collect();
    assert_eq!(different.len(), calls.len(), "a page was asked for twice");
    assert!(calls.iter().all(|call| call.query.as_ref().is_some_and(|query| query.page_size == 60)));
}
