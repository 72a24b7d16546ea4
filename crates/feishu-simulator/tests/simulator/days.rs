//! Days: when they are produced, and that they are not always produced well.

use feishu_pulse::{
    model::Geo,
    sim::{RowOrder, SimConfig},
};

use crate::caller::{Caller, day};

const LATEST: &str = "start_date=2026-11-21&end_date=2026-11-21&page_size=60";
const TODAY: &str = "start_date=2026-11-22&end_date=2026-11-22&page_size=60";

fn small() -> SimConfig {
    SimConfig { users: 100, turnover: 0.0, ..SimConfig::default() }
}

#[tokio::test]
async fn a_day_has_no_rows_before_half_past_nine_of_the_next() {
    let caller = Caller::of(SimConfig { geos: vec![Geo::Cn, Geo::Sg], ..small() }).await;

    caller.clock.set("2026-11-23T01:29:59Z".parse().expect("09:29:59 in UTC+8"));
    let before = caller.rows(TODAY).await.len();
    caller.clock.set("2026-11-23T01:30:00Z".parse().expect("09:30 in UTC+8"));
    let after = caller.rows(TODAY).await.len();
    let elsewhere = caller.rows(&format!("{TODAY}&target_geo=sg")).await.len();

    assert_eq!((before, after, elsewhere), (0, 100, 0));
}

#[tokio::test]
async fn there_is_nothing_before_the_history() {
    let caller = Caller::of(SimConfig { days: 3, ..small() }).await;

    let rows = caller.rows("start_date=2026-11-01&end_date=2026-11-22&page_size=60").await;

    assert_eq!(caller.simulator.tenant().first_day(Geo::Cn), Some(day("2026-11-19")));
    assert_eq!(rows.len(), 300);
}

#[tokio::test]
async fn a_late_day_is_empty_until_it_is_finished() {
    let caller = Caller::of(small()).await;
    let production = caller.simulator.production();

    production.late(Geo::Cn, day("2026-11-21"));
    let late = caller.rows(LATEST).await;
    production.partial(Geo::Cn, day("2026-11-21"), 500);
    let partial = caller.rows(LATEST).await;
    production.finish(Geo::Cn, day("2026-11-21"));
    let finished = caller.rows(LATEST).await;

    assert!(late.is_empty());
    assert!((20..80).contains(&partial.len()));
    assert!(partial.iter().all(|row| finished.contains(row)));
    assert_eq!(finished.len(), 100);
}

#[tokio::test]
async fn a_revised_day_has_other_figures_for_the_same_people() {
    let caller = Caller::of(small()).await;
    let before = caller.rows(LATEST).await;

    caller.simulator.production().revise(Geo::Cn, day("2026-11-21"));
    let after = caller.rows(LATEST).await;

    assert!(before.iter().zip(&after).all(|(one, other)| one["user_id"] == other["user_id"]));
    assert_ne!(before, after);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_replies() {
    let config = SimConfig { row_order: RowOrder::Shuffled, ..small() };
    let (one, other) = (Caller::of(config.clone()).await, Caller::of(config.clone()).await);
    let stranger = Caller::of(SimConfig { seed: 2, ..config }).await;

    let (rows, again, different) = (one.rows(LATEST).await, other.rows(LATEST).await, stranger.rows(LATEST).await);

    assert_eq!(rows, again);
    assert_ne!(rows, different);
    assert_eq!(one.token, other.token);
}

#[tokio::test]
async fn a_hundred_thousand_people_are_paged_through() {
    let caller = Caller::of(SimConfig { users: 100_000, ..small() }).await;

    let pages = caller.pages(LATEST).await;

    assert_eq!(pages.len(), 1667);
    assert_eq!(pages.iter().map(Vec::len).sum::<usize>(), 100_000);
}
