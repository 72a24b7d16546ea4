//! Narrow from whole: answers a request for one person from the cached day of everyone.

use std::sync::Arc;

use async_trait::async_trait;

use super::memory::Memory;
use crate::{
    model::{DataScope, DayKey},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
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

    /// The key that the rows of `key` are loaded under. A digest cannot be narrowed.
    fn source_key(&self, key: &DayKey, depth: Depth) -> DayKey {
        if depth == Depth::Rows && matches!(key.scope, DataScope::User(_)) {
            let whole = key.everyone();
            if self.memory.rows(&whole).is_some_and(|day| day.has_all_user_ids()) {
                return whole;
            }
        }
        key.clone()
    }

    fn source_keys(&self, keys: &[DayKey], depth: Depth) -> Vec<DayKey> {
        keys.iter().map(|key| self.source_key(key, depth)).collect()
    }
}

#[async_trait]
impl<S: DaySource> DaySource for NarrowFromWhole<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        self.inner.load(&self.source_key(key, depth), depth, context).await
    }

    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        self.inner.stored(&self.source_keys(keys, depth), depth).await
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        self.inner.forecast(&self.source_keys(keys, depth), depth).await
    }
}
