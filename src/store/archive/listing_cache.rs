//! Listing cache: recent listings of the archive.

use std::{collections::HashMap, future::Future, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::{object_storage::Listing, storage_error::StorageError};
use crate::model::{DayKey, Geo, UserIdType};

/// How long a listing is used. A day that is missing from an old listing is loaded with its rows instead.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);

/// Recent listings of the archive by series. A report looks up many days, most of which may not be archived.
#[derive(Debug, Default)]
pub(super) struct ListingCache {
    by_series: Mutex<HashMap<(Geo, UserIdType), (Instant, Listing)>>,
}

impl ListingCache {
    /// Whether the day is in the latest listing of its series. `list` is polled only if that listing is too old, and
    /// returns `None` if the archive is not read at present. Concurrent callers wait for one listing.
    ///
    /// # Errors
    /// The error of `list`.
    pub(super) async fn contains(
        &self,
        key: &DayKey,
        list: impl Future<Output = Result<Option<Listing>, StorageError>>,
    ) -> Result<bool, StorageError> {
        let series = (key.geo, key.user_id_type);
        let mut listings = self.by_series.lock().await;
        let recent = listings.get(&series).filter(|(listed_at, _)| listed_at.elapsed() < LISTING_LIFETIME);
        if let Some((_, listing)) = recent {
            return Ok(listing.contains_key(&key.day));
        }
        let Some(listing) = list.await? else { return Ok(false) };
        let is_listed = listing.contains_key(&key.day);
        listings.insert(series, (Instant::now(), listing));
        Ok(is_listed)
    }
}
