//! Archive tier: serves archived days, and archives final days that the inner source loads.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    super::{day_catalog::DayCatalog, freshness::DayState},
    core::Archive,
    reader::FindResult,
};
use crate::{
    model::{DataScope, DayKey},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
};

/// Serves days from the archive, loads missing ones from the inner source and archives them if they are final.
///
/// Only days of everyone are archived, because days of one person or department are parts of them. Provisional days are
/// not archived, because they are fetched again, and readers of the data lake should see only final data.
#[derive(Debug)]
pub struct ArchiveTier<S> {
    archive: Arc<Archive>,
    catalog: DayCatalog,
    inner: S,
}

impl<S> ArchiveTier<S> {
    /// Reads from `archive` first and from `inner` if the day is missing. `catalog` decides whether a day is final.
    pub const fn new(archive: Arc<Archive>, catalog: DayCatalog, inner: S) -> Self {
        Self { archive, catalog, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ArchiveTier<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        if key.scope != DataScope::Everyone {
            return self.inner.load(key, depth, context).await;
        }
        if depth == Depth::Digest
            && let Some(digest) = self.archive.digest(key).await
        {
            return Ok(LoadedDay::Digest(digest));
        }
        let found = self.archive.rows(key).await;
        if let FindResult::Day(day) = found {
            return Ok(LoadedDay::Rows(day));
        }
        let day = self.inner.load(key, depth, context).await?;
        if let (FindResult::Missing, LoadedDay::Rows(rows)) = (found, &day)
            && self.catalog.state(&**rows) == DayState::Final
        {
            self.archive.enqueue(rows);
        }
        Ok(day)
    }

    /// Only digests: the rows of a day are too large to be read for a caller that does not need them.
    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        match depth {
            Depth::Digest => {
                self.archive.digests(keys).await.into_iter().map(|digest| digest.map(LoadedDay::Digest)).collect()
            }
            Depth::Rows => vec![None; keys.len()],
        }
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        let mut missing = keys.to_vec();
        self.archive.remove_listed(&mut missing).await;
        if missing.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&missing, depth).await }
    }
}
