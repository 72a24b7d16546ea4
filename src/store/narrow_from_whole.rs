//! A narrow question that a held whole day answers is not asked upstream.

use std::sync::Arc;

use async_trait::async_trait;

use super::memory::Memory;
use crate::{
    model::{DayKey, Scope},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::Partition,
};

/// Gives the day of everyone, where it is held, to those who ask for one person; they select their rows anyway.
///
/// A department named by its id is not answered so: only upstream knows which people belong to it. Nor is a person
/// where upstream withholds ids: nobody can tell which of the rows is theirs.
#[derive(Debug)]
pub struct Subset<S> {
    memory: Arc<Memory>,
    inner: S,
}

impl<S> Subset<S> {
    /// Looks for whole days in `memory` before it asks `inner` for parts.
    pub const fn new(memory: Arc<Memory>, inner: S) -> Self {
        Self { memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Subset<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        if matches!(key.scope, Scope::User(_))
            && let Some(held) = self.memory.held(&key.everyone()).await
            && held.day.names_everyone()
        {
            return self.inner.load(held.day.key(), context).await;
        }
        self.inner.load(key, context).await
    }
    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut needed = Vec::new();
        for key in keys {
            let is_part = matches!(key.scope, Scope::User(_)) && self.memory.held(&key.everyone()).await.is_some();
            needed.extend((!is_part).then(|| key.clone()));
        }
        self.inner.forecast(&needed).await
    }
}
