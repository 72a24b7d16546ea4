//! Archive tier: serves archived days, and archives final days that the inner source loads.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    super::{freshness::DayState, memory::Memory},
    core::{Archive, FindResult},
};
use crate::{
    model::{DataScope, DayKey},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::DayTable,
};

/// Serves days from the archive, loads missing ones from the inner source and archives them if they are final.
///
/// Only days of everyone are archived, because days of one person or department are parts of them. Provisional days are
/// not archived, because they are fetched again, and readers of the data lake should see only final data.
#[derive(Debug)]
pub struct ArchiveTier<S> {
    archive: Arc<Archive>,
    memory: Arc<Memory>,
    inner: S,
}

impl<S> ArchiveTier<S> {
    /// Reads from `archive` first and from `inner` if the day is missing. `memory` decides whether a day is final,
    /// because it has the row counts of the neighbouring days.
    pub const fn new(archive: Arc<Archive>, memory: Arc<Memory>, inner: S) -> Self {
        Self { archive, memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ArchiveTier<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        if key.scope != DataScope::Everyone {
            return self.inner.load(key, context).await;
        }
        let found = self.archive.find(key).await;
        if let FindResult::Day(day) = found {
            return Ok(day);
        }
        let day = self.inner.load(key, context).await?;
        if matches!(found, FindResult::Missing) && self.memory.state(&*day) == DayState::Final {
            self.archive.enqueue(&day);
        }
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut missing = keys.to_vec();
        self.archive.remove_listed(&mut missing).await;
        if missing.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&missing).await }
    }
}
