//! LRU caches of days, bounded by bytes.

use std::sync::Arc;

use moka::{future::Cache, notification::RemovalCause, policy::EvictionPolicy};

use crate::{model::DayKey, prometheus::MetricCounter};

/// Identifies a view in cache keys.
pub(super) type ViewId = u32;

/// Key of a cache entry: a day of one view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CacheKey {
    pub(super) view: ViewId,
    pub(super) day: DayKey,
}

/// A cache of at most `bytes` bytes, with sizes from `size_of`.
///
/// Eviction is by least recent use instead of moka's default (`TinyLFU`): that policy could reject a day that was just
/// fetched because older days were requested more often. `evicted` counts evictions by size.
pub(super) fn lru_cache<D: Send + Sync + 'static>(
    bytes: u64,
    size_of: fn(&D) -> usize,
    evicted: Option<&Arc<MetricCounter>>,
) -> Cache<CacheKey, Arc<D>> {
    let weigh = move |_: &CacheKey, day: &Arc<D>| u32::try_from(size_of(day)).unwrap_or(u32::MAX);
    let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
    let Some(count) = evicted.map(Arc::clone) else { return cache.build() };
    let listen = move |_: Arc<CacheKey>, _: Arc<D>, cause: RemovalCause| {
        if cause == RemovalCause::Size {
            count.increment();
        }
    };
    cache.eviction_listener(listen).build()
}

/// Removes all days for which `matches` returns true, in every view.
pub(super) async fn remove_matching<D: Send + Sync + 'static>(
    cache: &Cache<CacheKey, Arc<D>>,
    matches: impl Fn(&DayKey) -> bool,
) {
    let keys: Vec<Arc<CacheKey>> = cache.iter().map(|(key, _)| key).filter(|key| matches(&key.day)).collect();
    for key in keys {
        cache.invalidate(&*key).await;
    }
}
