//! The archive itself: finds, lists and removes days.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::ObjectStore;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, RwLock, Semaphore};

use super::{
    archive_read::ArchiveRead,
    backlog::Backlog,
    health::{ArchiveStatus, HealthMonitor, StorageOperation},
    listing_cache::ListingCache,
    object_storage::{ListedFile, ObjectStorage},
    owner::ArchiveOwner,
    storage_error::StorageError,
};
use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    prometheus::CounterVec,
    report::digest::MembershipCache,
    table::{
        DayTable, Dictionaries,
        parquet::{self, FileMetadata, ParquetReadError},
    },
};

/// Limit of the backlog, in bytes: about one year of 20,000 people.
const MAX_BACKLOG_BYTES: usize = 256 << 20;

/// Files that are read at the same time. Each is in memory while it is read.
const MAX_CONCURRENT_READS: usize = 32;

/// The archive of one owner.
#[derive(Debug)]
pub struct Archive {
    pub(super) storage: ObjectStorage,
    /// The folder of the archive, if it is on this machine.
    pub(super) folder: Option<PathBuf>,
    pub(super) dictionaries: Arc<Dictionaries>,
    /// The department memberships that digests share.
    pub(super) membership_cache: Arc<MembershipCache>,
    pub(super) backlog: Backlog,
    pub(super) read_permits: Semaphore,
    pub(super) reads: CounterVec<ArchiveRead>,
    pub(super) listings: ListingCache,
    /// Write tasks hold this lock in shared mode, and a removal holds it in exclusive mode.
    pub(super) write_lock: RwLock<()>,
    /// Ends the writer's wait for its next attempt.
    pub(super) flush_requested: Notify,
    pub(super) health_monitor: HealthMonitor,
    /// The metadata of files whose footer was read, with the listing entry that it belongs to.
    metadata_cache: Mutex<HashMap<DayKey, (ListedFile, FileMetadata)>>,
}

/// The result of a search for an archived day.
pub(super) enum FindResult {
    Day(Arc<DayTable>),
    /// The day has no file, its file is damaged, or the archive cannot be read.
    Missing,
    /// A later version of this program wrote the file. It must not be overwritten.
    NewerVersion,
}

impl Archive {
    /// The archive of `owner` in `store`. Its days share `dictionaries` with other days.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, dictionaries: Arc<Dictionaries>, owner: ArchiveOwner) -> Self {
        Self {
            storage: ObjectStorage::new(store, owner),
            folder: None,
            dictionaries,
            membership_cache: Arc::default(),
            backlog: Backlog::new(MAX_BACKLOG_BYTES),
            read_permits: Semaphore::new(MAX_CONCURRENT_READS),
            reads: CounterVec::default(),
            listings: ListingCache::default(),
            write_lock: RwLock::default(),
            flush_requested: Notify::new(),
            health_monitor: HealthMonitor::default(),
            metadata_cache: Mutex::default(),
        }
    }

    /// Sets the folder of the archive, if it is on this machine.
    #[must_use]
    pub fn in_folder(self, folder: Option<PathBuf>) -> Self {
        Self { folder, ..self }
    }

    /// The current status of the archive.
    #[must_use]
    pub fn health(&self) -> ArchiveStatus {
        self.health_monitor.status(self.backlog.len())
    }

    /// The metadata of the files in a range. Empty if the archive cannot be read.
    pub async fn metadata_of_range(
        &self,
        geo: Geo,
        user_id_type: UserIdType,
        range: DayRange,
    ) -> BTreeMap<Day, FileMetadata> {
        let Ok(listed) = self.record_read(self.storage.list(geo, user_id_type).await) else { return BTreeMap::new() };
        let key = |day| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
        let wanted = listed.into_iter().filter(|(day, _)| range.contains(*day));
        let read = stream::iter(wanted.map(|(day, file)| self.metadata(key(day), file)))
            .buffer_unordered(MAX_CONCURRENT_READS);
        read.filter_map(async |metadata| metadata.map(|metadata| (metadata.key.day, metadata))).collect().await
    }

    /// Removes from `keys` the days that have a file. Removes none if the archive cannot be read.
    pub(super) async fn remove_listed(&self, keys: &mut Vec<DayKey>) {
        let whole = keys.iter().filter(|key| key.scope == DataScope::Everyone);
        let series: BTreeSet<_> = whole.map(|key| (key.geo, key.user_id_type)).collect();
        for (geo, user_id_type) in series.into_iter().filter(|_| !self.health_monitor.is_paused()) {
            let listed = self.storage.list(geo, user_id_type).await.unwrap_or_default();
            let of_series =
                |key: &DayKey| key.scope == DataScope::Everyone && (key.geo, key.user_id_type) == (geo, user_id_type);
            keys.retain(|key| !of_series(key) || !listed.contains_key(&key.day));
        }
    }

    /// The archived days of a series before `oldest`. Empty if the archive cannot be read.
    pub async fn days_before(&self, oldest: Day, geo: Geo, user_id_type: UserIdType) -> Vec<DayKey> {
        let listed = self.storage.list(geo, user_id_type).await.unwrap_or_default();
        let key = |day| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
        listed.into_keys().filter(|day| *day < oldest).map(key).collect()
    }

    /// Removes a day from the archive and from the backlog.
    ///
    /// # Errors
    /// If the storage operation fails. The file may still exist then.
    pub async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        // Waits until no write is in progress.
        let _exclusive = self.write_lock.write().await;
        self.backlog.remove(key);
        self.lock_metadata().remove(key);
        self.record_write(self.storage.remove(key).await)
    }

    /// Records the result of a write by a caller other than the writer task.
    pub(super) fn record_write(&self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        match &done {
            // While days wait in the backlog, the writer decides when writes succeed again.
            Ok(()) if self.backlog.len() > 0 => {}
            Ok(()) => self.health_monitor.record_success(StorageOperation::Writing),
            Err(error) => self.health_monitor.record_failure(StorageOperation::Writing, error),
        }
        done
    }

    /// Records the result of a read.
    pub(super) fn record_read<T>(&self, read: Result<T, StorageError>) -> Result<T, StorageError> {
        match &read {
            Ok(_) => self.health_monitor.record_success(StorageOperation::Reading),
            Err(error) => self.health_monitor.record_failure(StorageOperation::Reading, error),
        }
        read
    }

    /// Searches the backlog and the archive for a day.
    pub(super) async fn find(&self, key: &DayKey) -> FindResult {
        if let Some(day) = self.backlog.get(key) {
            return FindResult::Day(day);
        }
        if self.health_monitor.is_paused() {
            return FindResult::Missing;
        }
        let _permit = self.read_permits.acquire().await;
        // Another read may have failed while this one waited for its permit.
        if self.health_monitor.is_paused() {
            return FindResult::Missing;
        }
        match self.record_read(self.storage.read(key).await) {
            Ok(Some(file)) => self.decode(key, file).await,
            Ok(None) | Err(_) => FindResult::Missing,
        }
    }

    async fn decode(&self, key: &DayKey, file: Bytes) -> FindResult {
        let dictionary = Arc::clone(self.dictionaries.for_id_type(key.user_id_type));
        let wanted = key.clone();
        let decoding = tokio::task::spawn_blocking(move || parquet::decode(file, &wanted, &dictionary));
        // The Parquet reader may panic on a damaged file.
        let decoded = decoding.await.unwrap_or_else(|panic| Err(ParquetReadError::damaged(panic)));
        match decoded {
            Ok(day) => {
                self.reads.increment(ArchiveRead::Rows);
                FindResult::Day(Arc::new(day))
            }
            Err(error @ ParquetReadError::TooNew { .. }) => {
                tracing::warn!(%key, %error, "an archived day is of a later version; it is fetched again");
                FindResult::NewerVersion
            }
            Err(error @ ParquetReadError::Damaged { .. }) => {
                self.quarantine(key, &error).await;
                FindResult::Missing
            }
        }
    }

    async fn quarantine(&self, key: &DayKey, why: &ParquetReadError) {
        self.health_monitor.record_damaged_file();
        match self.storage.quarantine(key).await {
            Ok(()) => {
                tracing::error!(%key, %why, "an archived day is damaged; its file is moved aside");
            }
            // The day is fetched and overwrites the file all the same.
            Err(error) => {
                tracing::error!(%key, %why, %error, "an archived day is damaged; its file cannot be moved");
            }
        }
    }

    /// The metadata of a listed file, read once per version of the file.
    async fn metadata(&self, key: DayKey, file: ListedFile) -> Option<FileMetadata> {
        let cached =
            self.lock_metadata().get(&key).filter(|(cached, _)| *cached == file).map(|(_, metadata)| metadata.clone());
        if cached.is_some() {
            return cached;
        }
        let footer = self.storage.read_footer(&key, &file).await;
        let footer = self.record_read(footer).ok().flatten()?;
        // A damaged file is moved aside when its day is loaded.
        let metadata = parquet::read_file_metadata(&footer)
            .inspect_err(|error| tracing::warn!(%key, %error, "the metadata of an archived day cannot be read"))
            .ok();
        let metadata = metadata.filter(|metadata| metadata.key == key)?;
        self.lock_metadata().insert(key, (file, metadata.clone()));
        Some(metadata)
    }

    fn lock_metadata(&self) -> MutexGuard<'_, HashMap<DayKey, (ListedFile, FileMetadata)>> {
        self.metadata_cache.lock()
    }
}
