//! Priorities: interactive calls precede background calls, as the simulator's call log shows.

use std::sync::Arc;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    feishu::{FeishuConfig, FeishuSource},
    model::{DataScope, DayKey, DayRange, Geo, UserIdType},
    source::{CallerId, DaySource as _, Depth, LoadContext, Priority},
    table::DayMetadata as _,
};
use feishu_simulator::{PageTokenStyle, Simulator, SimulatorConfig, TenantGeo};
use futures_util::future::join_all;

use crate::support::{Upstream, day, eventually};

const BACKGROUND: LoadContext = LoadContext { priority: Priority::Background, caller: CallerId(1) };
const INTERACTIVE: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(2) };

/// Number of pages of the backfill: eight days of ten pages each.
const PAGES: usize = 80;

/// A simulated tenant of 600 people, and an upstream client that makes 20 calls per second.
async fn upstream() -> (Simulator, FeishuSource) {
    let page_tokens = PageTokenStyle::Opaque;
    let simulation = SimulatorConfig { users: 600, days: 40, turnover: 0.0, page_tokens, ..SimulatorConfig::default() };
    let upstream = Upstream::start(simulation).await;
    let config = FeishuConfig {
        throttle: ThrottleConfig { ceiling: Some(20.0), start_rate: 20.0, ..ThrottleConfig::default() },
        ..upstream.feishu_config()
    };
    let Upstream { simulator, clock } = upstream;
    (simulator, FeishuSource::new(config, Arc::default(), clock).unwrap())
}

fn keys(scope: &DataScope, first: &str, last: &str) -> Vec<DayKey> {
    let key = |day| DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: scope.clone(), day };
    DayRange::new(day(first), day(last)).unwrap().days().map(key).collect()
}

/// Starts a backfill and waits until it uses the full call rate.
async fn backfill(simulator: &Simulator, source: &FeishuSource) -> tokio::task::JoinHandle<usize> {
    let source = source.clone();
    let backfill = tokio::spawn(async move {
        let keys = keys(&DataScope::Everyone, "2026-11-01", "2026-11-08");
        let days = join_all(keys.iter().map(|key| source.load(key, Depth::Rows, BACKGROUND))).await;
        days.into_iter().map(|day| day.unwrap().row_count()).sum()
    });
    eventually(async || simulator.call_log().stats_calls().len() > 20).await;
    backfill
}

#[tokio::test]
async fn a_backfill_delays_an_interactive_call_only_by_calls_in_flight() {
    let (simulator, source) = upstream().await;
    let backfill = backfill(&simulator, &source).await;

    let person =
        DataScope::User(simulator.tenant().rows_of(TenantGeo::Cn, day("2026-11-20").date())[0].open_id.as_str().into());
    let calls_before = simulator.call_log().stats_calls().len();
    source.load(&keys(&person, "2026-11-20", "2026-11-20")[0], Depth::Rows, INTERACTIVE).await.unwrap();

    let calls = simulator.call_log().stats_calls();
    let position = calls.iter().position(|call| call.query.as_ref().is_some_and(|query| query.user_id.is_some()));
    assert!(
        position.unwrap() <= calls_before + 3,
        "{calls_before} calls before the request, {position:?} before its call"
    );
    assert!(calls.len() < PAGES, "the backfill is not finished yet");
    assert_eq!(backfill.await.unwrap(), 8 * 600);
    assert_eq!(simulator.call_log().stats_calls().len(), PAGES + 1);
}

#[tokio::test]
async fn a_day_of_a_backfill_is_fetched_first_if_a_caller_waits_for_it() {
    let (simulator, source) = upstream().await;
    let backfill = backfill(&simulator, &source).await;

    let wanted = &keys(&DataScope::Everyone, "2026-11-01", "2026-11-01")[0];
    source.load(wanted, Depth::Rows, INTERACTIVE).await.unwrap();

    assert!(!backfill.is_finished(), "the requested day is ready before the other days of the backfill");
    assert_eq!(backfill.await.unwrap(), 8 * 600);
    assert_eq!(simulator.call_log().stats_calls().len(), PAGES);
}
