//! Archive tier: serves archived days, and archives final days that the inner source loads.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;

use super::{super::day_catalog::DayCatalog, core::Archive, reader::FindResult};
use crate::{
    model::{DataScope, DayKey},
    source::{DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
    table::{DayMetadata, DayTable},
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

impl<S: DaySource> ArchiveTier<S> {
    /// Loads a day from the inner source whose archived version turned out to be late. If that fails, the archived version
    /// is returned.
    async fn reload(
        &self,
        archived: Arc<DayTable>,
        key: &DayKey,
        depth: Depth,
        context: LoadContext,
    ) -> Result<LoadedDay, LoadError> {
        match self.inner.load(key, depth, context).await {
            Ok(day) if !self.catalog.would_lose_rows(&day) => {
                if day.hash() != archived.hash() {
                    self.archive_if_settled(&day);
                }
                Ok(day)
            }
            Ok(_) => Ok(LoadedDay::Rows(archived)),
            Err(error) => {
                tracing::warn!(%key, %error, "a late archived day could not be fetched again");
                Ok(LoadedDay::Rows(archived))
            }
        }
    }

    /// The archived day of everyone, if its rows answer a request for one person: the caller selects the person's rows.
    /// Upstream is not asked again for a day that is stored, and may no longer have it.
    async fn whole_day_of(&self, key: &DayKey) -> Option<Arc<DayTable>> {
        let whole = key.everyone();
        if !matches!(key.scope, DataScope::User(_)) || !self.archive.is_listed(&whole).await {
            return None;
        }
        match self.archive.rows(&whole).await {
            FindResult::Day(day) if day.has_all_user_ids() && !self.is_refresh_due(&*day) => Some(day),
            _ => None,
        }
    }

    fn archive_if_settled(&self, day: &LoadedDay) {
        self.catalog.record_fetch(day);
        if let LoadedDay::Rows(rows) = day
            && self.catalog.state(&**rows).is_settled()
        {
            self.archive.enqueue(rows);
        }
    }

    fn is_refresh_due(&self, day: &impl DayMetadata) -> bool {
        // The row counts of the archive are judged like those of fetches.
        self.catalog.record_fetch(day);
        self.catalog.status(day).refresh_due
    }
}

#[async_trait]
impl<S: DaySource> DaySource for ArchiveTier<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        if key.scope != DataScope::Everyone {
            return match self.whole_day_of(key).await {
                Some(whole) => Ok(LoadedDay::Rows(whole)),
                None => self.inner.load(key, depth, context).await,
            };
        }
        if depth == Depth::Digest
            && let Some(digest) = self.archive.digest(key).await
            && !self.is_refresh_due(&*digest)
        {
            return Ok(LoadedDay::Digest(digest));
        }
        let found = self.archive.rows(key).await;
        match found {
            FindResult::Day(archived) if self.is_refresh_due(&*archived) => {
                self.reload(archived, key, depth, context).await
            }
            FindResult::Day(archived) => Ok(LoadedDay::Rows(archived)),
            FindResult::Missing => {
                self.archive.wait_for_room().await;
                let day = self.inner.load(key, depth, context).await?;
                self.archive_if_settled(&day);
                Ok(day)
            }
            FindResult::NewerVersion => self.inner.load(key, depth, context).await,
        }
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
        // A day of one person is answered from the archived day of everyone.
        let stored_as =
            |key: &DayKey| if matches!(key.scope, DataScope::User(_)) { key.everyone() } else { key.clone() };
        let mut not_listed: Vec<DayKey> = keys.iter().map(stored_as).collect();
        self.archive.remove_listed(&mut not_listed).await;
        let not_listed: HashSet<DayKey> = not_listed.into_iter().collect();
        let missing: Vec<DayKey> = keys.iter().filter(|key| not_listed.contains(&stored_as(key))).cloned().collect();
        if missing.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&missing, depth).await }
    }
}
