//! The contract of `DaySource`: rules that hold for every layer.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    source::{CallerId, DaySource as _, Forecast, LoadContext, LoadError, Priority},
    table::DayTable,
};
use futures_util::{FutureExt as _, future::join_all};

use crate::{
    sources::layers::{Layer, Subject},
    sources::stub::PEOPLE,
    support::eventually,
};

fn key(of_month: i8) -> DayKey {
    let day = Day::new(2026, 11, of_month).expect("a day");
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day }
}

async fn load(subject: &Subject, key: &DayKey) -> Result<Arc<DayTable>, LoadError> {
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    subject.source.load(key, context).await
}

/// The user ids of a day.
fn ids(day: &DayTable) -> BTreeSet<String> {
    let dictionary = day.dictionary().read();
    let id = |profile: &u32| dictionary.profile(*profile).user_id.as_deref().map(str::to_owned);
    day.profiles().iter().filter_map(id).collect()
}

pub(crate) async fn the_requested_day_is_complete(layer: Layer) {
    let subject = layer.subject().await;
    let kinds = [UserIdType::OpenId, UserIdType::UnionId];
    for key in (10..13).flat_map(|day| kinds.map(|user_id_type| DayKey { user_id_type, ..key(day) })) {
        let day = load(&subject, &key).await.expect("a day");
        assert_eq!((day.key(), day.row_count(), ids(&day).len()), (&key, PEOPLE, PEOPLE), "{layer:?}");
    }
    let everyone = load(&subject, &key(14)).await.expect("a day");
    let person = ids(&everyone).pop_first().expect("a person");
    let one = DayKey { scope: DataScope::User(person.as_str().into()), ..key(15) };
    let day = load(&subject, &one).await.expect("a day");
    assert_eq!((day.key(), ids(&day)), (&one, BTreeSet::from([person])), "{layer:?}");
}

pub(crate) async fn loading_again_returns_the_same_rows(layer: Layer) {
    let subject = layer.subject().await;
    let first = load(&subject, &key(10)).await.expect("a day");
    let loads_before = subject.loads();
    let second = load(&subject, &key(10)).await.expect("a day");
    assert_eq!((second.hash(), second.row_count()), (first.hash(), first.row_count()), "{layer:?}");
    assert_eq!(
        subject.loads() == loads_before,
        layer.stores_days(),
        "{layer:?}: {loads_before} loads, then {}",
        subject.loads()
    );
}

pub(crate) async fn concurrent_loads_return_the_same_rows(layer: Layer) {
    let subject = layer.subject().await;
    let key = key(10);
    let days = join_all((0..20).map(|_| load(&subject, &key))).await;
    let hashes: BTreeSet<_> = days.into_iter().map(|day| *day.expect("a day").hash()).collect();
    assert_eq!(hashes.len(), 1, "{layer:?}");
    if layer.is_single_flight() {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn all_waiters_get_the_failure_and_later_loads_succeed(layer: Layer) {
    let subject = layer.subject().await;
    let key = key(10);
    subject.forbid();
    let failures = join_all((0..20).map(|_| load(&subject, &key))).await;
    for failure in failures {
        let error = failure.expect_err("a failure");
        assert!(matches!(error, LoadError::Forbidden { .. }), "{layer:?}: {error}");
        assert_eq!(error.upstream().and_then(|upstream| upstream.code), Some(1_051_002), "{layer:?}");
    }
    subject.allow();
    assert!(load(&subject, &key).await.is_ok(), "{layer:?}");
}

pub(crate) async fn a_dropped_caller_affects_no_other_caller(layer: Layer) {
    let subject = layer.subject().await;
    let key = key(10);
    if let Some(stub) = subject.stub() {
        stub.set_blocked(true);
    }
    // Polled once, then dropped.
    let mut leaving = Box::pin(load(&subject, &key));
    poll_fn(|context| {
        let _ = leaving.poll_unpin(context);
        Poll::Ready(())
    })
    .await;
    if layer.survives_dropped_callers() {
        eventually(async || subject.loads() > 0).await;
    }
    drop(leaving);
    if let Some(stub) = subject.stub() {
        stub.set_blocked(false);
        if layer.survives_dropped_callers() {
            eventually(async || stub.ended() > 0).await;
        }
    }
    assert!(load(&subject, &key).await.is_ok(), "{layer:?}");
    if layer.survives_dropped_callers() && layer.stores_days() {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn a_forecast_loads_nothing(layer: Layer) {
    let subject = layer.subject().await;
    let (loaded, other) = (key(10), key(11));
    assert_eq!(subject.source.forecast(&[]).await.calls, 0, "{layer:?}");
    load(&subject, &loaded).await.expect("a day");
    let loads_before = subject.loads();

    let unknown = subject.source.forecast(std::slice::from_ref(&other)).await;
    let known = subject.source.forecast(std::slice::from_ref(&loaded)).await;

    assert_eq!(subject.loads(), loads_before, "{layer:?}");
    assert!(unknown.calls > 0, "{layer:?}: {unknown:?}");
    if layer == Layer::Stack {
        assert_eq!(known, Forecast::NOTHING, "{layer:?}");
    }
    assert!(known.calls <= unknown.calls, "{layer:?}");
}
