//! Pages: each row occurs once, and all pages are logged.

use std::collections::BTreeSet;

use feishu_simulator::{GroundTruthRow, PageTokenStyle, RowOrder, SchemaDrift, SimulatorConfig};
use rstest::rstest;

use crate::caller::{Caller, count, day, key};

const THREE_DAYS: [&str; 3] = ["2026-11-19", "2026-11-20", "2026-11-21"];
const SPAN: &str = "start_date=2026-11-19&end_date=2026-11-21";

fn small() -> SimulatorConfig {
    SimulatorConfig { users: 100, ..SimulatorConfig::default() }
}

#[rstest]
#[tokio::test]
async fn the_pages_of_a_range_contain_the_expected_rows(
    #[values(PageTokenStyle::Numeric, PageTokenStyle::Opaque)] page_tokens: PageTokenStyle,
    #[values(RowOrder::ByDate, RowOrder::ByPerson, RowOrder::Shuffled)] row_order: RowOrder,
    #[values(SchemaDrift::Usual, SchemaDrift::Wild)] schema_drift: SchemaDrift,
) {
    let caller = Caller::start(SimulatorConfig { page_tokens, row_order, schema_drift, ..small() }).await;
    let truth = caller.truth(&THREE_DAYS);

    let pages = caller.pages(&format!("{SPAN}&page_size=60")).await;
    let rows = pages.concat();

    let sum = |field: &str| rows.iter().map(|row| count(row, field)).sum::<u64>();
    let true_sum = |of: fn(&GroundTruthRow) -> u32| truth.iter().map(|row| u64::from(of(row))).sum::<u64>();
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
async fn the_call_log_contains_every_page() {
    let caller = Caller::start(small()).await;

    caller.rows(&format!("{SPAN}&page_size=50&target_geo=cn")).await;

    let calls = caller.simulator.call_log().successful_stats_calls();
    let pages: Vec<_> = calls.iter().map(|call| call.page).collect();
    let last = calls[0].query.as_ref().map(|query| *query.days.end());
    assert_eq!(pages, (1..=calls.len()).map(Some).collect::<Vec<_>>());
    assert_eq!(last, Some(day("2026-11-21")));
    assert_eq!(caller.simulator.call_log().token_calls().len(), 1);
    assert_eq!(caller.simulator.call_log().max_in_flight(), 1);
}
