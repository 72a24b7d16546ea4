//! Caches of days, bounded by bytes.

use std::sync::Arc;

use moka::{future::Cache, notification::RemovalCause, policy::EvictionPolicy};

use crate::{meter::Count, model::DayKey};

/// Tells the days of one view from those of others.
pub(super) type ViewNo = u32;

/// A day of one view.
pub(super) type Place = (ViewNo, DayKey);

/// Least recently used, not moka's usual frequency: a day that was just fetched at a cost must not be turned away
/// because older days were asked for more often.
///
/// Days that give way to others are counted by `evicted`.
pub(super) fn cache<D: Send + Sync + 'static>(
    bytes: u64,
    of: fn(&D) -> usize,
    evicted: Option<&Arc<Count>>,
) -> Cache<Place, Arc<D>> {
    let weigh = move |_: &Place, day: &Arc<D>| u32::try_from(of(day)).unwrap_or(u32::MAX);
    let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
    let Some(count) = evicted.map(Arc::clone) else { return cache.build() };
    let listen = move |_: Arc<Place>, _: Arc<D>, cause: RemovalCause| {
        if cause == RemovalCause::Size {
            count.add_one();
        }
    };
    cache.eviction_listener(listen).build()
}

/// Drops all days that are meant, of whatever view.
pub(super) async fn drop_those<D: Send + Sync + 'static>(
    cache: &Cache<Place, Arc<D>>,
    which: impl Fn(&DayKey) -> bool,
) {
    let held: Vec<Arc<Place>> = cache.iter().map(|(place, _)| place).filter(|place| which(&place.1)).collect();
    for place in held {
        cache.invalidate(&*place).await;
    }
}
