//! Listing cache: recent listings of the archive.

use std::{collections::HashMap, future::Future, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::{
    listing::{ListedFile, Listing},
    storage_error::StorageError,
};
use crate::model::{DayKey, Geo, UserIdType};

/// How long a listing is used. A day that is missing from an old listing is loaded with its rows instead.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);

/// The same with a disk cache, which returns a file in the version of the listing: a file that another gateway has replaced is
/// served for at most this long.
const LISTING_LIFETIME_WITH_CACHE: Duration = Duration::from_secs(5);

/// Recent listings of the archive by series. A report looks up many days, most of which may not be archived.
#[derive(Debug)]
pub(super) struct ListingCache {
    by_series: Mutex<HashMap<(Geo, UserIdType), (Instant, Listing)>>,
    lifetime: Duration,
}

impl Default for ListingCache {
    fn default() -> Self {
        Self { by_series: Mutex::default(), lifetime: LISTING_LIFETIME }
    }
}

impl ListingCache {
    /// Listings that are recent enough for a disk cache.
    pub(super) fn for_disk_cache() -> Self {
        Self { lifetime: LISTING_LIFETIME_WITH_CACHE, ..Self::default() }
    }

    /// The file of a day in the latest listing of its series; `None` if it has none. `list` is polled only if that listing is
    /// too old, and returns `None` if the archive is not read at present. Concurrent callers wait for one listing.
    ///
    /// # Errors
    /// The error of `list`.
    pub(super) async fn find(
        &self,
        key: &DayKey,
        list: impl Future<Output = Result<Option<Listing>, StorageError>>,
    ) -> Result<Option<ListedFile>, StorageError> {
        let series = (key.geo, key.user_id_type);
        let mut listings = self.by_series.lock().await;
        let recent = listings.get(&series).filter(|(listed_at, _)| listed_at.elapsed() < self.lifetime);
        if let Some((_, listing)) = recent {
            return Ok(listing.get(&key.day).cloned());
        }
        // A change during the listing may be missing from it.
        let began = Instant::now();
        let Some(listing) = list.await? else { return Ok(None) };
        let listed = listing.get(&key.day).cloned();
        listings.insert(series, (began, listing));
        Ok(listed)
    }

    /// Drops a day that is deleted.
    pub(super) async fn evict(&self, key: &DayKey) {
        if let Some((_, listing)) = self.by_series.lock().await.get_mut(&(key.geo, key.user_id_type)) {
            listing.remove(&key.day);
        }
    }
}
