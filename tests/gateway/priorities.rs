//! Who goes first: somebody who waits before work that nobody waits for, as the simulator's ledger shows.

use std::sync::Arc;

use feishu_pulse::{
    feishu::{FeishuConfig, FeishuSource, throttle::ThrottleConfig, token::Credentials},
    model::{DayKey, DayRange, Geo, ManualClock, Scope, UserIdType},
    sim::{PageTokenStyle, SimConfig, Simulator},
    source::{CallerId, DaySource as _, LoadContext, Priority},
};
use futures_util::future::join_all;

use crate::support::{NOON, at, day, eventually};

const BACKGROUND: LoadContext = LoadContext { priority: Priority::Background, caller: CallerId(1) };
const INTERACTIVE: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(2) };

/// Eight days of ten pages each.
const PAGES: usize = 80;

/// A Feishu of 600 people, and the upstream side of a gateway that asks it 20 times a second.
async fn upstream() -> (Simulator, FeishuSource) {
    let clock = Arc::new(ManualClock::at(at(NOON)));
    let page_tokens = PageTokenStyle::Opaque;
    let simulation = SimConfig { users: 600, days: 40, turnover: 0.0, page_tokens, ..SimConfig::default() };
    let credentials =
        Credentials { app_id: simulation.app_id.clone(), app_secret: simulation.app_secret.as_str().into() };
    let simulator = Simulator::start(simulation, clock.clone()).await.unwrap();
    let config = FeishuConfig {
        throttle: ThrottleConfig { ceiling: Some(20.0), start_rate: 20.0, ..ThrottleConfig::default() },
        ..FeishuConfig::new(simulator.base_url().parse().unwrap(), credentials, Geo::Cn)
    };
    (simulator, FeishuSource::new(config, Arc::default(), clock).unwrap())
}

fn keys(scope: &Scope, first: &str, last: &str) -> Vec<DayKey> {
    let key = |day| DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: scope.clone(), day };
    DayRange::new(day(first), day(last)).unwrap().days().map(key).collect()
}

/// Begins a backfill, and waits until it keeps the throttle busy.
async fn backfill(simulator: &Simulator, source: &FeishuSource) -> tokio::task::JoinHandle<usize> {
    let source = source.clone();
    let backfill = tokio::spawn(async move {
        let keys = keys(&Scope::Everyone, "2026-11-01", "2026-11-08");
        let days = join_all(keys.iter().map(|key| source.load(key, BACKGROUND))).await;
        days.into_iter().map(|day| day.unwrap().rows()).sum()
    });
    eventually(async || simulator.ledger().stats_calls().len() > 20).await;
    backfill
}

#[tokio::test]
async fn a_backfill_delays_one_interactive_page_by_no_more_than_what_is_on_its_way() {
    let (simulator, source) = upstream().await;
    let backfill = backfill(&simulator, &source).await;

    let person = Scope::User(simulator.tenant().rows_of(Geo::Cn, day("2026-11-20"))[0].open_id.as_str().into());
    let asked_after = simulator.ledger().stats_calls().len();
    source.load(&keys(&person, "2026-11-20", "2026-11-20")[0], INTERACTIVE).await.unwrap();

    let calls = simulator.ledger().stats_calls();
    let answered = calls.iter().position(|call| call.query.as_ref().is_some_and(|query| query.user_id.is_some()));
    assert!(
        answered.unwrap() <= asked_after + 3,
        "{asked_after} calls before it was asked, {answered:?} before it went"
    );
    assert!(calls.len() < PAGES, "the backfill goes on behind it");
    assert_eq!(backfill.await.unwrap(), 8 * 600);
    assert_eq!(simulator.ledger().stats_calls().len(), PAGES + 1);
}

#[tokio::test]
async fn somebody_who_waits_for_a_day_of_a_backfill_gets_it_first() {
    let (simulator, source) = upstream().await;
    let backfill = backfill(&simulator, &source).await;

    let wanted = &keys(&Scope::Everyone, "2026-11-08", "2026-11-08")[0];
    source.load(wanted, INTERACTIVE).await.unwrap();

    assert!(!backfill.is_finished(), "the last day of the backfill overtook the others");
    assert_eq!(backfill.await.unwrap(), 8 * 600);
    assert_eq!(simulator.ledger().stats_calls().len(), PAGES);
}
