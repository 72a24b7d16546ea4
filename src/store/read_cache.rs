//! Answers from memory before anything else happens.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument as _;

use super::memory::Memory;
use crate::{
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError, Priority},
    table::Partition,
};

/// Answers from memory; what is not held is loaded from below.
#[derive(Debug)]
pub struct Recall<S> {
    memory: Arc<Memory>,
    inner: Arc<S>,
}

impl<S> Recall<S> {
    /// Looks into `memory` before it asks `inner`.
    pub const fn new(memory: Arc<Memory>, inner: Arc<S>) -> Self {
        Self { memory, inner }
    }
}

impl<S: DaySource> Recall<S> {
    /// Fetches a day anew behind the answer, unless that was tried a moment ago.
    fn refresh(&self, key: &DayKey, context: LoadContext) {
        if !self.memory.refreshes().begin(key, self.memory.now()) {
            return;
        }
        let (inner, key, memory) = (Arc::clone(&self.inner), key.clone(), Arc::clone(&self.memory));
        let context = LoadContext { priority: Priority::Background, ..context };
        let refresh = async move {
            let fetched = inner.load(&key, context).await;
            memory.refreshes().ended(&key, fetched.is_ok());
            if let Err(error) = fetched {
                tracing::warn!(%key, %error, "a provisional day could not be fetched anew; it is served as it is");
            }
        };
        tokio::spawn(refresh.in_current_span());
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Recall<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        let held = self.memory.held(key).await;
        self.memory.looked_up(held.as_ref());
        let Some(held) = held else {
            return self.inner.load(key, context).await;
        };
        if held.due {
            self.refresh(key, context);
        }
        Ok(held.day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut unknown = Vec::new();
        for key in keys {
            if self.memory.held(key).await.is_none() {
                unknown.push(key.clone());
            }
        }
        if unknown.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&unknown).await }
    }
}
