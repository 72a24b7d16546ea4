//! Read cache: serves days from memory.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument as _;

use super::memory::Memory;
use crate::{
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError, Priority},
    table::DayTable,
};

/// Serves days from memory and loads missing ones from the inner source.
///
/// A provisional day that is due for a refresh is served at once and refreshed in the background.
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
    /// Refreshes a day in the background, unless a refresh began less than a minute ago.
    fn spawn_refresh(&self, key: &DayKey, context: LoadContext) {
        if !self.memory.refreshes().try_begin(key, self.memory.now()) {
            return;
        }
        let (inner, key, memory) = (Arc::clone(&self.inner), key.clone(), Arc::clone(&self.memory));
        let context = LoadContext { priority: Priority::Background, ..context };
        let refresh = async move {
            let fetched = inner.load(&key, context).await;
            memory.refreshes().finish(&key, fetched.is_ok());
            if let Err(error) = fetched {
                tracing::warn!(%key, %error, "a provisional day could not be refreshed; the cached version is served");
            }
        };
        tokio::spawn(refresh.in_current_span());
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ReadCache<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        let cached = self.memory.get(key).await;
        self.memory.record_lookup(cached.as_ref());
        let Some(cached) = cached else {
            return self.inner.load(key, context).await;
        };
        if cached.refresh_due {
            self.spawn_refresh(key, context);
        }
        Ok(cached.day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut unknown = Vec::new();
        for key in keys {
            if self.memory.get(key).await.is_none() {
                unknown.push(key.clone());
            }
        }
        if unknown.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&unknown).await }
    }
}
