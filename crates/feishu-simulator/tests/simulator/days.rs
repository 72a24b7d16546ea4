//! When days are produced, and days that are delayed, partial or revised.

use feishu_simulator::{RowOrder, SimulatorConfig, TenantGeo};

use crate::caller::{Caller, day};

const LATEST: &str = "start_date=2026-11-21&end_date=2026-11-21&page_size=60";
const TODAY: &str = "start_date=2026-11-22&end_date=2026-11-22&page_size=60";

fn small() -> SimulatorConfig {
    SimulatorConfig { users: 100, turnover: 0.0, ..SimulatorConfig::default() }
}

#[tokio::test]
async fn a_day_has_no_rows_before_half_past_nine_of_the_next() {
    let caller = Caller::start(SimulatorConfig { geos: vec![TenantGeo::Cn, TenantGeo::Sg], ..small() }).await;

    // 09:29:59 in UTC+8.
    caller.set_time("2026-11-23T01:29:59Z");
    let before = caller.rows(TODAY).await.len();
    // 09:30 in UTC+8.
    caller.set_time("2026-11-23T01:30:00Z");
    let after = caller.rows(TODAY).await.len();
    let other_geo = caller.rows(&format!("{TODAY}&target_geo=sg")).await.len();

    assert_eq!((before, after, other_geo), (0, 100, 0));
}

#[tokio::test]
async fn days_before_the_history_have_no_rows() {
    let caller = Caller::start(SimulatorConfig { days: 3, ..small() }).await;

    let rows = caller.rows("start_date=2026-11-01&end_date=2026-11-22&page_size=60").await;

    assert_eq!(caller.simulator.tenant().first_day(TenantGeo::Cn), Some(day("2026-11-19")));
    assert_eq!(rows.len(), 300);
}

#[tokio::test]
async fn a_delayed_day_is_empty_until_it_is_complete() {
    let caller = Caller::start(small()).await;
    let production = caller.simulator.production();

    production.delay(TenantGeo::Cn, day("2026-11-21"));
    let late = caller.rows(LATEST).await;
    production.produce_partially(TenantGeo::Cn, day("2026-11-21"), 500);
    let partial = caller.rows(LATEST).await;
    production.complete(TenantGeo::Cn, day("2026-11-21"));
    let finished = caller.rows(LATEST).await;

    assert!(late.is_empty());
    assert!((20..80).contains(&partial.len()));
    assert!(partial.iter().all(|row| finished.contains(row)));
    assert_eq!(finished.len(), 100);
}

#[tokio::test]
async fn a_revised_day_has_other_figures_for_the_same_people() {
    let caller = Caller::start(small()).await;
    let before = caller.rows(LATEST).await;

    caller.simulator.production().revise(TenantGeo::Cn, day("2026-11-21"));
    let after = caller.rows(LATEST).await;

    assert!(before.iter().zip(&after).all(|(one, other)| one["user_id"] == other["user_id"]));
    assert_ne!(before, after);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_replies() {
    let config = SimulatorConfig { row_order: RowOrder::Shuffled, ..small() };
    let (one, other) = (Caller::start(config.clone()).await, Caller::start(config.clone()).await);
    let other_seed = Caller::start(SimulatorConfig { seed: 2, ..config }).await;

    let (rows, again, different) = (one.rows(LATEST).await, other.rows(LATEST).await, other_seed.rows(LATEST).await);

    assert_eq!(rows, again);
    assert_ne!(rows, different);
    assert_eq!(one.token, other.token);
}

#[tokio::test]
async fn a_client_can_page_through_100_000_people() {
    let caller = Caller::start(SimulatorConfig { users: 100_000, ..small() }).await;

    let pages = caller.pages(LATEST).await;

    assert_eq!(pages.len(), 1667);
    assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), 100_000);
}
