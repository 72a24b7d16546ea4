//! Narrow from whole: answers a request for one person from the cached day of everyone.

use std::sync::Arc;

use async_trait::async_trait;

use super::memory::Memory;
use crate::{
    model::{DataScope, DayKey},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::DayTable,
};

/// Returns the cached day of everyone when one person's day is requested. The caller selects the person's rows.
///
/// A department that is named by its id is loaded from the inner source, because only upstream can list its members. A
/// person's day is loaded from the inner source as well if upstream withholds some ids, because the person's rows
/// cannot be identified then.
#[derive(Debug)]
pub struct NarrowFromWhole<S> {
    memory: Arc<Memory>,
    inner: S,
}

impl<S> NarrowFromWhole<S> {
    /// Looks for whole days in `memory` before it loads single people's days from `inner`.
    pub const fn new(memory: Arc<Memory>, inner: S) -> Self {
        Self { memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for NarrowFromWhole<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        if matches!(key.scope, DataScope::User(_))
            && let Some(cached) = self.memory.get(&key.everyone()).await
            && cached.day.has_all_user_ids()
        {
            return self.inner.load(cached.day.key(), context).await;
        }
        self.inner.load(key, context).await
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut needed = Vec::new();
        for key in keys {
            let is_part = matches!(key.scope, DataScope::User(_)) && self.memory.get(&key.everyone()).await.is_some();
            needed.extend((!is_part).then(|| key.clone()));
        }
        self.inner.forecast(&needed).await
    }
}
