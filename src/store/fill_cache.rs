//! Fill cache: stores each loaded day in memory.

use std::sync::Arc;

use async_trait::async_trait;

use super::memory::Memory;
use crate::{
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::DayTable,
};

/// Stores in memory what the inner source loads.
///
/// It is below the single-flight layer, so it runs on the task that fetches. A day is stored even if every caller that
/// requested it has disconnected.
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

#[async_trait]
impl<S: DaySource> DaySource for FillCache<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        // Another fetch may have ended between the caller's cache lookup and the start of this one.
        if let Some(cached) = self.memory.get(key).await.filter(|cached| !cached.refresh_due) {
            return Ok(cached.day);
        }
        let day = self.memory.confirm(self.inner.load(key, context).await?).await;
        self.memory.insert(Arc::clone(&day)).await;
        self.memory.spawn_monthly_rollup(day.key());
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        self.inner.forecast(keys).await
    }
}
