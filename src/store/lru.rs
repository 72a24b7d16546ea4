//! LRU caches of data that belongs to a day, bounded by bytes.

use std::{ops::Add, sync::Arc};

use moka::{policy::EvictionPolicy, sync::Cache};

use crate::model::DayKey;

/// Identifies a view in cache keys.
pub type ViewId = u32;

/// Key of a cache entry: a day of one view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// The view.
    pub view: ViewId,
    /// The day.
    pub day: DayKey,
}

/// Bytes in use and the limit of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    /// Bytes in use.
    pub used_bytes: u64,
    /// The limit in bytes.
    pub max_bytes: u64,
}

/// A cache of at most `bytes` bytes, with sizes from `size_of`.
///
/// Eviction is by least recent use instead of moka's default (`TinyLFU`): that policy could reject a day that was just
/// fetched because older days were requested more often.
pub fn lru_cache<D: Send + Sync + 'static>(bytes: u64, size_of: fn(&D) -> usize) -> Cache<CacheKey, Arc<D>> {
    let weigh = move |_: &CacheKey, day: &Arc<D>| u32::try_from(size_of(day)).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build()
}

/// The size of a cache.
#[must_use]
pub fn size<D: Send + Sync + 'static>(cache: &Cache<CacheKey, Arc<D>>) -> MemorySize {
    MemorySize { used_bytes: cache.weighted_size(), max_bytes: cache.policy().max_capacity().unwrap_or_default() }
}

/// Removes all entries whose day `matches`, in every view.
pub fn remove_matching<D: Send + Sync + 'static>(cache: &Cache<CacheKey, Arc<D>>, matches: impl Fn(&DayKey) -> bool) {
    let keys: Vec<Arc<CacheKey>> = cache.iter().map(|(key, _)| key).filter(|key| matches(&key.day)).collect();
    for key in keys {
        cache.invalidate(&*key);
    }
}

impl Add for MemorySize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { used_bytes: self.used_bytes + other.used_bytes, max_bytes: self.max_bytes + other.max_bytes }
    }
}
