//! The promises, each of which holds for every layer.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use feishu_pulse::{
    model::{Day, DayKey, Geo, Scope, UserIdType},
    source::{CallerId, DaySource as _, Forecast, LoadContext, LoadError, Priority},
    table::Partition,
};
use futures_util::{FutureExt as _, future::join_all};

use crate::{
    layers::{Layer, Subject},
    stub::PEOPLE,
};

fn key(of_month: i8) -> DayKey {
    let day = Day::new(2026, 11, of_month).expect("a day");
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day }
}

async fn load(subject: &Subject, key: &DayKey) -> Result<Arc<Partition>, LoadError> {
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    subject.source.load(key, context).await
}

/// The ids of a day.
fn ids(day: &Partition) -> BTreeSet<String> {
    let tables = day.directory().read();
    let id = |profile: &u32| tables.profile(*profile).user_id.as_deref().map(str::to_owned);
    day.profiles().iter().filter_map(id).collect()
}

pub(crate) async fn the_day_that_was_asked_for_comes_whole(layer: Layer) {
    let subject = layer.subject().await;
    let kinds = [UserIdType::OpenId, UserIdType::UnionId];
    for key in (10..13).flat_map(|day| kinds.map(|user_id_type| DayKey { user_id_type, ..key(day) })) {
        let day = load(&subject, &key).await.expect("a day");
        assert_eq!((day.key(), day.rows(), ids(&day).len()), (&key, PEOPLE, PEOPLE), "{layer:?}");
    }
    let everyone = load(&subject, &key(14)).await.expect("a day");
    let person = ids(&everyone).pop_first().expect("a person");
    let one = DayKey { scope: Scope::User(person.as_str().into()), ..key(15) };
    let day = load(&subject, &one).await.expect("a day");
    assert_eq!((day.key(), ids(&day)), (&one, BTreeSet::from([person])), "{layer:?}");
}

pub(crate) async fn asking_again_brings_the_same(layer: Layer) {
    let subject = layer.subject().await;
    let first = load(&subject, &key(10)).await.expect("a day");
    let asked = subject.loads();
    let second = load(&subject, &key(10)).await.expect("a day");
    assert_eq!((second.hash(), second.rows()), (first.hash(), first.rows()), "{layer:?}");
    assert_eq!(subject.loads() == asked, layer.remembers(), "{layer:?}: {asked} loads, then {}", subject.loads());
}

pub(crate) async fn many_who_ask_at_once_get_the_same(layer: Layer) {
    let subject = layer.subject().await;
    let key = key(10);
    let days = join_all((0..20).map(|_| load(&subject, &key))).await;
    let hashes: BTreeSet<_> = days.into_iter().map(|day| *day.expect("a day").hash()).collect();
    assert_eq!(hashes.len(), 1, "{layer:?}");
    if layer.shares() {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn everyone_who_waits_is_told_the_same_failure_and_the_next_is_not(layer: Layer) {
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

pub(crate) async fn a_caller_who_leaves_spoils_nothing(layer: Layer) {
    let subject = layer.subject().await;
    let key = key(10);
    if let Some(stub) = subject.stub() {
        stub.hold(true);
    }
    // Begun, and dropped as soon as it has to wait.
    let mut leaving = Box::pin(load(&subject, &key));
    poll_fn(|context| {
        let _ = leaving.poll_unpin(context);
        Poll::Ready(())
    })
    .await;
    while layer.outlives_its_callers() && subject.loads() == 0 {
        tokio::task::yield_now().await;
    }
    drop(leaving);
    if let Some(stub) = subject.stub() {
        stub.hold(false);
        while layer.outlives_its_callers() && stub.ended() == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(load(&subject, &key).await.is_ok(), "{layer:?}");
    if layer.outlives_its_callers() && layer.remembers() {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn a_forecast_asks_for_nothing(layer: Layer) {
    let subject = layer.subject().await;
    let (held, other) = (key(10), key(11));
    assert_eq!(subject.source.forecast(&[]).await.calls, 0, "{layer:?}");
    load(&subject, &held).await.expect("a day");
    let asked = subject.loads();

    let unknown = subject.source.forecast(std::slice::from_ref(&other)).await;
    let known = subject.source.forecast(std::slice::from_ref(&held)).await;

    assert_eq!(subject.loads(), asked, "{layer:?}");
    assert!(unknown.calls > 0, "{layer:?}: {unknown:?}");
    if layer == Layer::Stack {
        assert_eq!(known, Forecast::NOTHING, "{layer:?}");
    }
    assert!(known.calls <= unknown.calls, "{layer:?}");
}
