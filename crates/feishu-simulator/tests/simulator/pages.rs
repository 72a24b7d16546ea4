//! Pages: all rows, once each, and page tokens that belong to their query.

use std::collections::BTreeSet;

use feishu_pulse::sim::{Drift, PageTokenStyle, RowOrder, SimConfig, TruthRow};
use rstest::rstest;

use crate::caller::{Caller, count, day, key};

const THREE_DAYS: [&str; 3] = ["2026-11-19", "2026-11-20", "2026-11-21"];
const SPAN: &str = "start_date=2026-11-19&end_date=2026-11-21";

fn small() -> SimConfig {
    SimConfig { users: 100, ..SimConfig::default() }
}

#[rstest]
#[tokio::test]
async fn the_pages_of_a_span_add_up_to_the_truth(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
    #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] row_order: RowOrder,
    #[values(Drift::Usual, Drift::Wild)] drift: Drift,
) {
    let caller = Caller::of(SimConfig { page_tokens, row_order, drift, ..small() }).await;
    let truth = caller.truth(&THREE_DAYS);

    let pages = caller.pages(&format!("{SPAN}&page_size=60")).await;
    let rows = pages.concat();

    let sum = |field: &str| rows.iter().map(|row| count(row, field)).sum::<u64>();
    let true_sum = |of: fn(&TruthRow) -> u32| truth.iter().map(|row| u64::from(of(row))).sum::<u64>();
    assert_eq!(pages.len(), truth.len().div_ceil(60));
    assert_eq!(rows.len(), truth.len());
    assert_eq!(sum("send_messenger_num"), true_sum(|row| row.counters.send_messenger_num));
    assert_eq!(sum("email_receive_count"), true_sum(|row| row.counters.email_receive_count));
    assert_eq!(sum("tab_search_count"), true_sum(|row| row.counters.tab_search_count));
    assert_eq!(sum("suite_active_flag"), true_sum(|row| u32::from(row.suite_active)));
    let keys: BTreeSet<_> = rows.iter().map(key).collect();
    let true_keys = truth.iter().map(|row| (row.day.to_string(), row.open_id.clone())).collect();
    assert_eq!(keys, true_keys);
}

#[tokio::test]
async fn the_ledger_knows_every_page() {
    let caller = Caller::of(small()).await;

    caller.rows(&format!("{SPAN}&page_size=50&target_geo=cn")).await;

    let calls = caller.simulator.ledger().ok_stats_calls();
    let pages: Vec<_> = calls.iter().map(|call| call.page).collect();
    let last = calls[0].query.as_ref().map(|query| query.span.last());
    assert_eq!(pages, (1..=calls.len()).map(Some).collect::<Vec<_>>());
    assert_eq!(last, Some(day("2026-11-21")));
    assert_eq!(caller.simulator.ledger().token_calls().len(), 1);
    assert_eq!(caller.simulator.ledger().max_in_flight(), 1);
}
