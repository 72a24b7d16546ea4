//! Read cache: serves days from memory.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument as _;

use super::{cache_lookup::CacheLookup, memory::Memory, refresh_tracker::RefreshResult};
use crate::{
    model::DayKey,
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
};

/// Serves days from memory and loads missing ones from the inner source.
///
/// A day that is due for a refresh is served at once and refreshed in the background.
#[derive(Debug)]
pub struct ReadCache<S> {
    memory: Arc<Memory>,
    inner: Arc<S>,
}

impl<S> ReadCache<S> {
    /// Reads from `memory` first and from `inner` on a miss.
    pub const fn new(memory: Arc<Memory>, inner: Arc<S>) -> Self {
        Self { memory, inner }
    }
}

impl<S: DaySource> ReadCache<S> {
    /// Refreshes a day in the background, unless the [`RefreshTracker`](super::refresh_tracker::RefreshTracker) refuses it.
    fn spawn_refresh(&self, key: &DayKey, context: LoadContext) {
        if !self.memory.catalog().refreshes().try_begin(key, self.memory.catalog().now()) {
            return;
        }
        let (inner, key, memory) = (Arc::clone(&self.inner), key.clone(), Arc::clone(&self.memory));
        let context = LoadContext { priority: Priority::Background, ..context };
        let refresh = async move {
            let result = match inner.load(&key, Depth::Rows, context).await {
                Ok(day) if memory.catalog().status(&day).refresh_due => RefreshResult::NoEffect,
                Ok(_) => RefreshResult::Refreshed,
                Err(error) => {
                    tracing::warn!(%key, %error, "a day could not be refreshed; the stored version is served");
                    RefreshResult::Failed
                }
            };
            memory.catalog().refreshes().finish(&key, result);
        };
        tokio::spawn(refresh.in_current_span());
    }

    fn is_refresh_due(&self, day: &LoadedDay) -> bool {
        self.memory.catalog().status(day).refresh_due
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ReadCache<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        let Some(cached) = self.memory.get(key, depth) else {
            self.memory.record_lookup(CacheLookup::Miss);
            let loaded = self.inner.load(key, depth, context).await?;
            // Another caller may have loaded the rows.
            return self.memory.at_depth(loaded, depth).await;
        };
        if self.is_refresh_due(&cached) {
            self.memory.record_lookup(CacheLookup::Stale);
            self.spawn_refresh(key, context);
        } else {
            self.memory.record_lookup(CacheLookup::Hit);
        }
        self.memory.at_depth(cached, depth).await
    }

    /// Days in memory, then those that the inner source has stored. Only digests count as lookups: reports are answered
    /// with them, rows are only inspected. A day that is due for a refresh is counted when it is loaded.
    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        let mut days: Vec<Option<LoadedDay>> = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let day = if let Some(day) = self.memory.get(key, depth) {
                // A digest that cannot be computed is missing.
                self.memory.at_depth(day, depth).await.ok()
            } else {
                missing.push(index);
                None
            };
            if depth == Depth::Digest && day.as_ref().is_some_and(|day| !self.is_refresh_due(day)) {
                self.memory.record_lookup(CacheLookup::Hit);
            }
            days.push(day);
        }
        if !missing.is_empty() {
            let missing_keys: Vec<DayKey> = missing.iter().map(|index| keys[*index].clone()).collect();
            for (index, day) in missing.into_iter().zip(self.inner.stored(&missing_keys, depth).await) {
                days[index] = day;
            }
        }
        days
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        let unknown: Vec<DayKey> = keys.iter().filter(|key| self.memory.get(key, depth).is_none()).cloned().collect();
        if unknown.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&unknown, depth).await }
    }
}
