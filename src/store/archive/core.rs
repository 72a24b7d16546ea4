//! The archive itself: one reader, one writer and the control records.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use object_store::ObjectStore;

use super::{
    disk_cache::DiskCache,
    health::{ArchiveStatus, HealthMonitor, StorageOperation},
    layout::{CHECKPOINTS_FOLDER, checkpoint_contains},
    object_storage::ObjectStorage,
    ownership::{ArchiveOwner, OwnershipClaim, OwnershipError},
    reader::{ArchiveReader, DigestRead, FindResult, MAX_CONCURRENT_READS},
    storage_error::StorageError,
    temp_files::remove_temp_files,
    writer::ArchiveWriter,
};
use crate::{
    fleet::Leadership,
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    prometheus::{Collector, Exposition},
    report::DayDigest,
    source::MAX_CHECKPOINT_AGE,
    table::{DayTable, Dictionaries, parquet::FileMetadata},
};

/// The archive of one owner.
#[derive(Debug)]
pub struct Archive {
    storage: Arc<ObjectStorage>,
    health: Arc<HealthMonitor>,
    reader: ArchiveReader,
    writer: Arc<ArchiveWriter>,
    dictionaries: Arc<Dictionaries>,
    /// The folder of the archive, if it is on this machine.
    folder: Option<PathBuf>,
    /// In a fleet, only the leader writes days.
    leadership: Leadership,
}

impl Archive {
    /// The archive of `owner` in `store`. Its days share `dictionaries` with other days.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, dictionaries: Arc<Dictionaries>, owner: ArchiveOwner) -> Self {
        Self::with_disk_cache(store, dictionaries, owner, None)
    }

    /// The same with a disk cache, for a `store` that is not on this machine.
    #[must_use]
    pub fn with_disk_cache(
        store: Arc<dyn ObjectStore>,
        dictionaries: Arc<Dictionaries>,
        owner: ArchiveOwner,
        cache: Option<DiskCache>,
    ) -> Self {
        let storage = Arc::new(ObjectStorage::new(store, owner, cache));
        let health = Arc::<HealthMonitor>::default();
        Self {
            reader: ArchiveReader::new(Arc::clone(&storage), Arc::clone(&health), Arc::clone(&dictionaries)),
            writer: Arc::new(ArchiveWriter::new(Arc::clone(&storage), Arc::clone(&health))),
            storage,
            health,
            dictionaries,
            folder: None,
            leadership: Leadership::sole(),
        }
    }

    /// Sets the folder of the archive, if it is on this machine.
    #[must_use]
    pub fn in_folder(self, folder: Option<PathBuf>) -> Self {
        let reader = if folder.is_some() { self.reader.in_folder() } else { self.reader };
        Self { reader, folder, ..self }
    }

    /// Accepts days to write unless another replica leads: that replica writes them. A replica that led until now still writes
    /// the days that it has accepted.
    #[must_use]
    pub fn with_leadership(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    /// Sets the size of the days that wait to be written, in bytes, above which no further days are fetched.
    #[must_use]
    pub fn with_backlog_bytes(self, bytes: u64) -> Self {
        let writer = ArchiveWriter::new(Arc::clone(&self.storage), Arc::clone(&self.health));
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self { writer: Arc::new(writer.with_backlog_bytes(bytes)), ..self }
    }

    /// Sets the memory of the department memberships that digests share, in bytes.
    #[must_use]
    pub fn with_membership_bytes(self, bytes: u64) -> Self {
        Self { reader: self.reader.with_membership_bytes(bytes), ..self }
    }

    /// Waits while too many days wait to be written, unless the archive fails: then days are fetched nevertheless.
    pub(super) async fn wait_for_room(&self) {
        self.writer.wait_for_room().await;
    }

    /// The current status of the archive.
    #[must_use]
    pub fn health(&self) -> ArchiveStatus {
        self.health.status(self.writer.backlog().len())
    }

    /// Checks that no other app owns the archive, and writes an owner record if there is none.
    ///
    /// Every storage operation does this first. Call it at the start to learn of a fault before a request waits.
    ///
    /// # Errors
    /// [`OwnershipError`] if another app owns the archive, or if its owner cannot be determined.
    pub async fn claim(&self) -> Result<(), OwnershipError> {
        let claimed = self.storage.ownership().claim().await;
        claimed.inspect_err(|error| self.health.record_failure(StorageOperation::Reading, &error.clone().into()))
    }

    /// Determines the owner without claiming the archive.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn inspect_owner(&self) -> Result<OwnershipClaim, OwnershipError> {
        self.storage.ownership().inspect().await
    }

    /// Searches the backlog and the archive for the rows of a day.
    pub(super) async fn rows(&self, key: &DayKey) -> FindResult {
        match self.writer.backlog().get(key) {
            Some(day) => FindResult::Day(day),
            None => self.reader.rows(key).await,
        }
    }

    /// The digest of a day; `None` if the day is not archived or cannot be read now.
    ///
    /// If the file has no digest, an invalid one or one of an earlier version, the digest is computed from the rows and the file is written again.
    pub(super) async fn digest(&self, key: &DayKey) -> Option<Arc<DayDigest>> {
        // Rows in the backlog are newer.
        if key.scope != DataScope::Everyone || self.writer.backlog().get(key).is_some() {
            return None;
        }
        match self.reader.digest(key).await? {
            DigestRead::Stored(digest) | DigestRead::NewerVersion(digest) => Some(digest),
            DigestRead::Recomputed(digest, day) => {
                self.enqueue(&day);
                Some(digest)
            }
        }
    }

    /// The digests of several days, in the order of the keys.
    pub(super) async fn digests(&self, keys: &[DayKey]) -> Vec<Option<Arc<DayDigest>>> {
        let Some((first, others)) = keys.split_first() else { return Vec::new() };
        // Alone, because the others then find most members of departments in the cache and do not read them.
        let mut found = vec![self.digest(first).await];
        let digests = others.iter().cloned().map(|key| async move { self.digest(&key).await });
        found.extend(stream::iter(digests).buffered(MAX_CONCURRENT_READS).collect::<Vec<_>>().await);
        found
    }

    /// Whether a day has a file, by the latest listing, or waits to be written.
    pub(super) async fn is_listed(&self, key: &DayKey) -> bool {
        self.writer.backlog().get(key).is_some() || self.reader.is_listed(key).await
    }

    /// Removes from `keys` the days that have a file. Removes none if the archive cannot be read.
    pub(super) async fn remove_listed(&self, keys: &mut Vec<DayKey>) {
        self.reader.remove_listed(keys).await;
    }

    /// The metadata of the files in a range. Empty if the archive cannot be read.
    pub async fn metadata_of_range(
        &self,
        geo: Geo,
        user_id_type: UserIdType,
        range: DayRange,
    ) -> BTreeMap<Day, FileMetadata> {
        self.reader.metadata_of_range(geo, user_id_type, range).await
    }

    /// The archived days of a series before `oldest`. Empty if the archive cannot be read.
    pub async fn days_before(&self, oldest: Day, geo: Geo, user_id_type: UserIdType) -> Vec<DayKey> {
        self.reader.days_before(oldest, geo, user_id_type).await
    }

    /// Adds a final day to the days that wait to be written.
    pub(super) fn enqueue(&self, day: &Arc<DayTable>) {
        if self.may_write() {
            self.writer.enqueue(day);
        }
    }

    /// Whether the archive is skipped for a while, because a read has failed.
    pub(super) fn is_paused(&self) -> bool {
        self.health.is_paused()
    }

    /// Whether no other replica leads.
    pub(super) fn may_write(&self) -> bool {
        !self.leadership.has_other_leader()
    }

    /// The dictionaries of the days.
    pub(super) const fn dictionaries(&self) -> &Arc<Dictionaries> {
        &self.dictionaries
    }

    /// Waits until the day is written or dropped.
    pub async fn wait_until_written(&self, key: &DayKey) {
        self.writer.wait_until_written(key).await;
    }

    /// Waits up to `limit` for all days to be written, and cuts short any retry wait. Called before the process ends.
    /// Days that are still not written are logged; they are fetched again on the next request.
    pub async fn flush(&self, limit: Duration) {
        self.writer.flush(limit).await;
    }

    /// Drops what is cached of a day that another replica has deleted, and its write if that is pending. If this process has
    /// just written the day, the file is removed again.
    pub async fn apply_deletion(&self, key: &DayKey) {
        self.reader.evict(key).await;
        self.writer.apply_deletion(key);
        if let Err(error) = self.storage.remove_cached(key).await {
            tracing::error!(%key, %error, "a deleted day could not be deleted from the disk cache");
        }
    }

    /// Drops all cached files, because other replicas have deleted days that are not known.
    pub async fn clear_disk_cache(&self) {
        let Some(cache) = self.storage.cache() else { return };
        if let Err(error) = cache.clear().await {
            tracing::error!(%error, "the disk cache could not be emptied");
        }
    }

    /// Removes days from the archive, written or not, with the saved pages of fetches that contain them.
    ///
    /// # Errors
    /// The first failure of a storage operation. The file of that day may still exist then; the other days are removed
    /// nevertheless.
    pub async fn remove(&self, days: &[DayKey]) -> Result<(), StorageError> {
        // One listing for all days.
        let mut removed =
            self.remove_checkpoints(|name, _| days.iter().any(|key| checkpoint_contains(name, key))).await;
        for key in days {
            self.reader.evict(key).await;
            removed = removed.and(self.writer.remove(key).await);
        }
        removed
    }

    /// Removes the saved pages of fetches that nobody has continued in time.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn remove_stale_checkpoints(&self, now: Timestamp) -> Result<(), StorageError> {
        self.remove_checkpoints(|_, saved_at| now.duration_since(saved_at) > MAX_CHECKPOINT_AGE).await
    }

    async fn remove_checkpoints(&self, is_removed: impl Fn(&str, Timestamp) -> bool) -> Result<(), StorageError> {
        let listed = self.health.record_read(self.storage.list_control_records(CHECKPOINTS_FOLDER).await)?;
        for (name, _) in listed.iter().filter(|(name, saved_at)| is_removed(name, *saved_at)) {
            self.remove_control_record(CHECKPOINTS_FOLDER, name).await?;
        }
        Ok(())
    }

    /// Writes or replaces a control record: a small file for the gateway itself, such as the record of a backfill.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn put_control_record(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), StorageError> {
        self.writer.record_write(self.storage.put_control_record(folder, name, text).await)
    }

    /// The content of a control record; `None` if there is none.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub(super) async fn control_record(&self, folder: &str, name: &str) -> Result<Option<Bytes>, StorageError> {
        self.health.record_read(self.storage.control_record(folder, name).await)
    }

    /// The contents of all control records of a folder.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn control_records(&self, folder: &str) -> Result<Vec<Bytes>, StorageError> {
        self.health.record_read(self.storage.control_records(folder).await)
    }

    /// Removes a control record. A missing record is not an error.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn remove_control_record(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.writer.record_write(self.storage.remove_control_record(folder, name).await)
    }

    /// Deletes the unfinished files of killed processes. A bucket has none.
    pub async fn remove_temp_files(&self) {
        if let Some(folder) = &self.folder {
            remove_temp_files(folder).await;
        }
    }
}

impl Collector for Archive {
    fn collect(&self, page: &mut Exposition) {
        let health = self.health();
        page.gauge("feishu_pulse_archive_failing", "1 while the archive has a fault, else 0.")
            .sample(f64::from(u8::from(health.fault.is_some())));
        page.counter("feishu_pulse_archive_reads_total", "Archived days read, by the part of the file that was read.")
            .counter_vec(self.reader.reads());
        page.counter(
            "feishu_pulse_archive_read_bytes_total",
            "Bytes of archived days that were read from the folder or the bucket, without those from the disk cache.",
        )
        .sample(self.storage.read_bytes().get() as f64);
        page.gauge("feishu_pulse_archive_unwritten_partitions", "Days that wait to be written to the archive.")
            .sample(health.unwritten as f64);
        page.counter(
            "feishu_pulse_archive_dropped_partitions_total",
            "Days dropped unwritten because too many waited.",
        )
        .sample(health.dropped as f64);
        page.counter(
            "feishu_pulse_archive_damaged_files_total",
            "Damaged archive files that were found and moved aside.",
        )
        .sample(health.damaged as f64);
        if let Some(cache) = self.storage.cache() {
            cache.collect(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_archive_of_another_app_is_not_read() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let archive = |app_id: &str| {
            let owner = ArchiveOwner { app_id: app_id.to_owned(), upstream: "https://open.feishu.cn".to_owned() };
            Archive::new(Arc::clone(&store), Arc::default(), owner)
        };
        archive("cli_a").claim().await.unwrap();

        let refused = archive("cli_b");

        assert!(refused.claim().await.is_err() && refused.health().fault.is_some());
        assert!(refused.control_records("backfills").await.is_err());
    }
}
