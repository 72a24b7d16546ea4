//! Keeps what is loaded, though everyone who asked for it may have left.

use std::sync::Arc;

use async_trait::async_trait;

use super::memory::Memory;
use crate::{
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::Partition,
};

/// Keeps what is loaded from below.
#[derive(Debug)]
pub struct Keep<S> {
    memory: Arc<Memory>,
    inner: S,
}

impl<S> Keep<S> {
    /// Puts what `inner` loads into `memory`.
    pub const fn new(memory: Arc<Memory>, inner: S) -> Self {
        Self { memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Keep<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        // A flight may have landed between the caller's look into memory and the start of this one.
        if let Some(held) = self.memory.held(key).await.filter(|held| !held.due) {
            return Ok(held.day);
        }
        let day = self.memory.confirmed(self.inner.load(key, context).await?).await;
        self.memory.keep(Arc::clone(&day)).await;
        self.memory.add_up_behind(day.key());
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        self.inner.forecast(keys).await
    }
}
