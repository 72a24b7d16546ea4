//! The contract of `DaySource`: rules that hold for every layer, at both depths.

use std::{collections::BTreeSet, future::poll_fn, sync::Arc, task::Poll};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    report::DayDigest,
    source::{CallerId, DaySource as _, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
    table::{DayMetadata as _, DayTable},
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

async fn load(subject: &Subject, key: &DayKey, depth: Depth) -> Result<LoadedDay, LoadError> {
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    let loaded = subject.source.load(key, depth, context).await;
    let is_deep_enough = depth == Depth::Digest || !matches!(loaded, Ok(LoadedDay::Digest(_)));
    assert!(is_deep_enough, "a request for rows was answered with a digest");
    loaded
}

/// The rows of a day, which was loaded at the depth of rows.
fn rows(day: LoadedDay) -> Arc<DayTable> {
    match day {
        LoadedDay::Rows(rows) => rows,
        LoadedDay::Digest(_) => panic!("a digest"),
    }
}

/// The digest of a day, computed if the source has rows.
fn digest(day: LoadedDay) -> Arc<DayDigest> {
    match day {
        LoadedDay::Digest(digest) => digest,
        LoadedDay::Rows(rows) => Arc::new(DayDigest::from_day(&rows, None)),
    }
}

/// Number of people in a day.
fn people(day: &LoadedDay) -> u64 {
    digest(day.clone()).figures().present.count()
}

/// The user ids of a day.
fn ids(day: &DayTable) -> BTreeSet<String> {
    let dictionary = day.dictionary().read();
    let id = |profile: &u32| dictionary.profile(*profile).user_id.as_deref().map(str::to_owned);
    day.profiles().iter().filter_map(id).collect()
}

pub(crate) async fn the_requested_day_is_complete(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let kinds = [UserIdType::OpenId, UserIdType::UnionId];
    for key in (10..13).flat_map(|day| kinds.map(|user_id_type| DayKey { user_id_type, ..key(day) })) {
        let day = load(&subject, &key, depth).await.expect("a day");
        assert_eq!((day.key(), day.row_count(), people(&day)), (&key, PEOPLE, PEOPLE as u64), "{layer:?}");
    }
    let everyone = rows(load(&subject, &key(14), Depth::Rows).await.expect("a day"));
    let person = ids(&everyone).pop_first().expect("a person");
    let one = DayKey { scope: DataScope::User(person.as_str().into()), ..key(15) };
    let day = load(&subject, &one, depth).await.expect("a day");
    assert_eq!((day.key(), people(&day)), (&one, 1), "{layer:?}");
    let day = rows(load(&subject, &one, Depth::Rows).await.expect("a day"));
    assert_eq!(ids(&day), BTreeSet::from([person]), "{layer:?}");
}

pub(crate) async fn rows_and_digest_of_a_day_agree(layer: Layer, first: Depth) {
    let subject = layer.subject().await;
    let other = if first == Depth::Rows { Depth::Digest } else { Depth::Rows };

    let before = load(&subject, &key(10), first).await.expect("a day");
    let after = load(&subject, &key(10), other).await.expect("a day");

    let (before, after) = (digest(before), digest(after));
    assert_eq!((before.hash(), before.row_count()), (after.hash(), after.row_count()), "{layer:?}");
    assert_eq!(before.figures().sums, after.figures().sums, "{layer:?}");
    assert_eq!(before.departments(), after.departments(), "{layer:?}");
}

pub(crate) async fn stored_days_are_found_without_a_load(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let (loaded, other) = (key(10), key(11));
    load(&subject, &loaded, depth).await.expect("a day");
    let loads_before = subject.loads();

    let stored = subject.source.stored(&[other, loaded.clone()], depth).await;

    assert_eq!(subject.loads(), loads_before, "{layer:?}");
    assert_eq!(stored.len(), 2, "{layer:?}");
    assert!(stored[0].is_none(), "{layer:?}");
    if let Some(day) = &stored[1] {
        assert_eq!((day.key(), people(day)), (&loaded, PEOPLE as u64), "{layer:?}");
    }
    assert!(stored[1].is_some() || !layer.has_stored_days(), "{layer:?}");
}

pub(crate) async fn loading_again_returns_the_same_rows(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let first = load(&subject, &key(10), depth).await.expect("a day");
    let loads_before = subject.loads();
    let second = load(&subject, &key(10), depth).await.expect("a day");
    assert_eq!((second.hash(), second.row_count()), (first.hash(), first.row_count()), "{layer:?}");
    assert_eq!(
        subject.loads() == loads_before,
        layer.stores_days(depth),
        "{layer:?}: {loads_before} loads, then {}",
        subject.loads()
    );
}

pub(crate) async fn concurrent_loads_return_the_same_rows(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let key = key(10);
    let days = join_all((0..20).map(|_| load(&subject, &key, depth))).await;
    let hashes: BTreeSet<_> = days.into_iter().map(|day| *day.expect("a day").hash()).collect();
    assert_eq!(hashes.len(), 1, "{layer:?}");
    if layer.is_single_flight() {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn all_waiters_get_the_failure_and_later_loads_succeed(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let key = key(10);
    subject.forbid();
    let failures = join_all((0..20).map(|_| load(&subject, &key, depth))).await;
    for failure in failures {
        let error = failure.expect_err("a failure");
        assert!(matches!(error, LoadError::Forbidden { .. }), "{layer:?}: {error}");
        assert_eq!(error.upstream().and_then(|upstream| upstream.code), Some(1_051_002), "{layer:?}");
    }
    subject.allow();
    assert!(load(&subject, &key, depth).await.is_ok(), "{layer:?}");
}

pub(crate) async fn a_dropped_caller_affects_no_other_caller(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let key = key(10);
    if let Some(stub) = subject.stub() {
        stub.set_blocked(true);
    }
    // Polled once, then dropped.
    let mut leaving = Box::pin(load(&subject, &key, depth));
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
    assert!(load(&subject, &key, depth).await.is_ok(), "{layer:?}");
    if layer.survives_dropped_callers() && layer.stores_days(depth) {
        assert_eq!(subject.loads(), 1, "{layer:?}");
    }
}

pub(crate) async fn a_forecast_loads_nothing(layer: Layer, depth: Depth) {
    let subject = layer.subject().await;
    let (loaded, other) = (key(10), key(11));
    assert_eq!(subject.source.forecast(&[], depth).await.calls, 0, "{layer:?}");
    load(&subject, &loaded, depth).await.expect("a day");
    let loads_before = subject.loads();

    let unknown = subject.source.forecast(std::slice::from_ref(&other), depth).await;
    let known = subject.source.forecast(std::slice::from_ref(&loaded), depth).await;

    assert_eq!(subject.loads(), loads_before, "{layer:?}");
    assert!(unknown.calls > 0, "{layer:?}: {unknown:?}");
    if layer.has_stored_days() {
        assert_eq!(known, Forecast::NOTHING, "{layer:?}");
    }
    assert!(known.calls <= unknown.calls, "{layer:?}");
}
