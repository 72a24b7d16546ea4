//! Fill cache: stores each loaded day in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::{cache_lookup::CacheLookup, freshness::DayState, memory::Memory};
use crate::{
    model::DayKey,
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
    table::DayMetadata as _,
};

/// Stores in memory what the inner source loads.
///
/// It is below the single-flight layer, so it runs on the task that fetches, once for all callers that wait for the day.
#[derive(Debug)]
pub struct FillCache<S> {
    memory: Arc<Memory>,
    inner: S,
}

impl<S> FillCache<S> {
    /// Stores in `memory` what `inner` loads.
    pub const fn new(memory: Arc<Memory>, inner: S) -> Self {
        Self { memory, inner }
    }
}

impl<S> FillCache<S> {
    fn log_if_late(&self, day: &LoadedDay) {
        let catalog = self.memory.catalog();
        if !catalog.is_view() && catalog.state(day) == DayState::Late {
            tracing::warn!(
                key = %day.key(),
                rows = day.row_count(),
                quality = ?day.quality(),
                "a day has no or unusually few rows, or rows may be missing; it does not count and is fetched again"
            );
        }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for FillCache<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        // Another fetch may have ended between the caller's cache lookup and the start of this one.
        let cached = self.memory.get(key, depth).filter(|day| !self.memory.catalog().status(day).refresh_due);
        if let Some(cached) = cached {
            return self.memory.at_depth(cached, depth).await;
        }
        match self.inner.load(key, depth, context).await? {
            LoadedDay::Digest(digest) => {
                self.memory.insert_digest(&digest);
                Ok(LoadedDay::Digest(digest))
            }
            LoadedDay::Rows(rows) => {
                let loaded = LoadedDay::Rows(Arc::clone(&rows));
                let kept =
                    if self.memory.catalog().would_lose_rows(&loaded) { self.memory.get(key, depth) } else { None };
                let loaded = if let Some(kept) = kept {
                    tracing::warn!(%key, "upstream has no rows of a day any more; the rows of an earlier fetch are kept");
                    kept
                } else {
                    self.memory.insert(&rows).await;
                    self.log_if_late(&loaded);
                    loaded
                };
                self.memory.at_depth(loaded, depth).await
            }
        }
    }

    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        let stored = self.inner.stored(keys, depth).await;
        for day in stored.iter().flatten() {
            if let LoadedDay::Digest(digest) = day {
                self.memory.record_lookup(CacheLookup::Miss);
                self.memory.insert_digest(digest);
            }
        }
        stored
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        self.inner.forecast(keys, depth).await
    }
}
