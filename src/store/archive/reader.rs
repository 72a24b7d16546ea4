//! Archive reader: finds, reads and lists the files of days.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinError,
};

use super::{
    archive_read::ArchiveRead,
    health::{HealthMonitor, StorageOperation},
    listing::ListedFile,
    listing_cache::ListingCache,
    object_storage::ObjectStorage,
    storage_error::{StorageError, StorageFault},
    timed_store::{MAX_READS, READ_BACKOFF},
};
use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    prometheus::CounterVec,
    report::{
        DayDigest,
        digest::{self, MembershipCache, StoredDigest},
    },
    source::run_day_task,
    table::{
        DayTable, Dictionaries, Dictionary,
        parquet::{self, FileBytes, FileMetadata, ParquetDay, ParquetReadError},
    },
};

/// Files that are read at the same time. Each is in memory while it is read.
pub(super) const MAX_CONCURRENT_READS: usize = 32;

/// Days whose people are decoded, and in a folder also read, at the same time. Days at the same time each read all members that differ
/// from those of the days before them, and days one after the other only their own. With two, the bytes of one are read while another
/// is decoded.
const TURNS: usize = 2;

/// Files up to this size are read whole, because further requests take longer than the bytes. It is a file of about 6,000
/// people.
const MAX_WHOLE_FILE_BYTES: u64 = 256 << 10;

/// Reads the files of an archive.
#[derive(Debug)]
pub(super) struct ArchiveReader {
    storage: Arc<ObjectStorage>,
    health: Arc<HealthMonitor>,
    dictionaries: Arc<Dictionaries>,
    /// The department memberships that digests share.
    membership_cache: Arc<MembershipCache>,
    permits: Semaphore,
    /// Whether the files are in a folder of this machine.
    in_folder: bool,
    /// Each day whose people are read has one of [`TURNS`] permits.
    turns: Semaphore,
    reads: CounterVec<ArchiveRead>,
    listings: ListingCache,
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

/// How the digest of a file was obtained.
pub(super) enum DigestRead {
    /// The file has a valid digest.
    Stored(Arc<DayDigest>),
    /// The file has no digest, an invalid one or one of an earlier version. The digest was computed from the rows.
    Recomputed(Arc<DayDigest>, Arc<DayTable>),
    /// A later version of this program wrote the file's digest. The digest was computed from the rows.
    NewerVersion(Arc<DayDigest>),
}

/// Why a digest could not be read from parts of its file.
#[derive(Debug, thiserror::Error)]
enum PartialReadError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    File(#[from] ParquetReadError),
    /// The Parquet reader may panic on a damaged file.
    #[error(transparent)]
    Panic(#[from] JoinError),
    /// A read of another day failed while this one waited.
    #[error("the archive is paused")]
    Paused,
}

impl ArchiveReader {
    pub(super) fn new(
        storage: Arc<ObjectStorage>,
        health: Arc<HealthMonitor>,
        dictionaries: Arc<Dictionaries>,
    ) -> Self {
        let listings = if storage.cache().is_some() { ListingCache::for_disk_cache() } else { ListingCache::default() };
        Self {
            storage,
            health,
            dictionaries,
            membership_cache: Arc::default(),
            permits: Semaphore::new(MAX_CONCURRENT_READS),
            in_folder: false,
            turns: Semaphore::new(TURNS),
            reads: CounterVec::default(),
            listings,
            metadata_cache: Mutex::default(),
        }
    }

    /// The files are in a folder of this machine. Then single pages of people are read instead of whole columns: many reads are no
    /// slower than one, unlike requests to a bucket.
    pub(super) fn in_folder(self) -> Self {
        Self { in_folder: true, ..self }
    }

    /// Sets the limit of the cached department memberships in bytes.
    pub(super) fn with_membership_bytes(self, bytes: u64) -> Self {
        Self { membership_cache: Arc::new(MembershipCache::new(bytes)), ..self }
    }

    /// Numbers of reads by the part of the file that was read.
    pub(super) const fn reads(&self) -> &CounterVec<ArchiveRead> {
        &self.reads
    }

    /// Reads the rows of a day.
    ///
    /// A file that cannot be decoded is read again, because a transfer can end early without an error. It is damaged if
    /// a second read returns the same bytes and these are the whole object.
    pub(super) async fn rows(&self, key: &DayKey) -> FindResult {
        let Some(_permit) = self.permit().await else { return FindResult::Missing };
        let mut unreadable: Option<Bytes> = None;
        for reads in 1..=MAX_READS {
            let Ok(Some(file)) = self.health.record_read(self.storage.read(key).await) else {
                return FindResult::Missing;
            };
            let error = match self.decode(key, file.clone()).await {
                Ok(found) => return found,
                Err(error) => error,
            };
            // The next read is one of the store.
            self.storage.discard_cached(key).await;
            if unreadable.as_ref() == Some(&file) {
                match self.health.record_read(self.storage.size(key).await) {
                    Ok(Some(size)) if size == file.len() as u64 => {
                        self.quarantine(key, &error).await;
                        return FindResult::Missing;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return FindResult::Missing,
                }
            }
            unreadable = Some(file);
            tokio::time::sleep(READ_BACKOFF.delay(reads, fastrand::f64())).await;
        }
        let detail = format_args!("the file of {key} is cut short or changes at each read");
        let cut_short = StorageError::new(StorageFault::Incomplete, &detail);
        let _ = self.health.record_read::<()>(Err(cut_short));
        FindResult::Missing
    }

    /// Whether a day has a file, by the latest listing. False if the archive cannot be read.
    pub(super) async fn is_listed(&self, key: &DayKey) -> bool {
        self.listed_file(key).await.is_some()
    }

    /// The file of a day in the latest listing. `None` if the archive cannot be read.
    async fn listed_file(&self, key: &DayKey) -> Option<ListedFile> {
        let list = async {
            if self.health.is_paused() {
                return Ok(None);
            }
            self.health.record_read(self.storage.list(key.geo, key.user_id_type).await).map(Some)
        };
        self.listings.find(key, list).await.ok().flatten()
    }

    /// Reads the digest of a day; `None` if the day has no file or cannot be read now.
    pub(super) async fn digest(&self, key: &DayKey) -> Option<DigestRead> {
        if self.health.is_paused() {
            return None;
        }
        let listed = self.listed_file(key).await?;
        let _permit = self.permit().await?;
        let file = if listed.size <= MAX_WHOLE_FILE_BYTES {
            self.storage.read_part(key, &listed, 0..listed.size).await
        } else {
            match self.digest_of_parts(key, &listed).await {
                Ok(found) => {
                    self.health.record_success(StorageOperation::Reading);
                    let digest = found?;
                    self.reads.increment(ArchiveRead::Digest);
                    return Some(DigestRead::Stored(digest));
                }
                Err(PartialReadError::Storage(error)) if error.fault() != StorageFault::Failed => {
                    let _ = self.health.record_read::<()>(Err(error));
                    return None;
                }
                Err(PartialReadError::Paused) => return None,
                // The whole file shows whether it is damaged, was replaced meanwhile, or has no such digest.
                Err(error) => {
                    tracing::debug!(%key, %error, "a file is read whole");
                    self.storage.read(key).await
                }
            }
        };
        let file = self.health.record_read(file).ok().flatten()?;
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let memberships = Arc::clone(&self.membership_cache);
        let wanted = key.clone();
        let reading = run_day_task(move || read_digest(file, &wanted, &dictionary, &memberships));
        // The Parquet reader may panic on a damaged file. The next load of the rows reports the damage.
        let Some(read) = reading.await.ok().and_then(Result::ok) else {
            self.storage.discard_cached(key).await;
            return None;
        };
        self.reads.increment(match read {
            DigestRead::Stored(_) => ArchiveRead::Digest,
            DigestRead::Recomputed(..) | DigestRead::NewerVersion(_) => ArchiveRead::Rows,
        });
        Some(read)
    }

    /// Reads the digest of a day from parts of its file: the footer, the digest, and, if departments have members that are not cached, the
    /// columns of the people, in a folder only their pages. `None` if the day has no file.
    ///
    /// # Errors
    /// If a part cannot be read, if the file has been replaced meanwhile, or if it has no valid digest of this version.
    async fn digest_of_parts(
        &self,
        key: &DayKey,
        listed: &ListedFile,
    ) -> Result<Option<Arc<DayDigest>>, PartialReadError> {
        let Some(footer) = self.storage.read_footer(key, listed).await? else { return Ok(None) };
        let mut bytes = FileBytes::unread(listed.size);
        bytes.insert(listed.footer().start, footer);
        let wanted = key.clone();
        let mut file = run_day_task(move || ParquetDay::new(bytes, &wanted)).await??;
        let digest = file.attachment_range().ok_or_else(|| ParquetReadError::damaged("the file has no digest"))?;
        if !self.read_parts(key, listed, &mut file, [digest]).await? {
            return Ok(None);
        }
        let (mut file, stored) = run_day_task(move || {
            let stored = StoredDigest::of_file(&file)?;
            Ok::<_, ParquetReadError>((file, stored))
        })
        .await??;
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let mut known = stored.known_members(&dictionary, &self.membership_cache);
        let mut turn = None;
        if known.is_incomplete() {
            if !self.in_folder {
                // All days read their columns at the same time, because a request to a bucket takes longer than the bytes.
                let columns = file.person_column_ranges()?;
                if !self.read_parts(key, listed, &mut file, columns).await? {
                    return Ok(None);
                }
            }
            turn = self.turns.acquire().await.ok();
            if self.health.is_paused() {
                return Err(PartialReadError::Paused);
            }
            // The days that had their turn before have read most members.
            known = stored.known_members(&dictionary, &self.membership_cache);
            if self.in_folder {
                let pages = file.person_page_ranges(&stored.rows_without(&known))?;
                if !self.read_parts(key, listed, &mut file, pages).await? {
                    return Ok(None);
                }
            }
        }
        let memberships = Arc::clone(&self.membership_cache);
        let (file, stored, members) = run_day_task({
            let dictionary = Arc::clone(&dictionary);
            move || {
                let members = stored.members(known, &file, &dictionary, &memberships)?;
                Ok::<_, ParquetReadError>((file, stored, members))
            }
        })
        .await??;
        drop(turn);
        let digest = run_day_task(move || stored.to_digest(&file, &dictionary, members)).await??;
        Ok(Some(Arc::new(digest)))
    }

    /// Reads parts of a file that were not read yet. False if the day has no file.
    async fn read_parts(
        &self,
        key: &DayKey,
        listed: &ListedFile,
        file: &mut ParquetDay,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<bool, StorageError> {
        let bytes = file.bytes_mut();
        let missing: Vec<_> = ranges.into_iter().filter(|range| bytes.get(range).is_none()).collect();
        if missing.is_empty() {
            return Ok(true);
        }
        let read = if self.in_folder {
            self.storage.read_parts_in_folder(key, &missing).await?
        } else {
            let reads = missing.iter().map(|range| self.storage.read_part(key, listed, range.clone()));
            future::try_join_all(reads).await?.into_iter().collect()
        };
        let Some(read) = read else { return Ok(false) };
        for (range, read) in missing.into_iter().zip(read) {
            bytes.insert(range.start, read);
        }
        Ok(true)
    }

    /// The metadata of the files in a range. Empty if the archive cannot be read.
    pub(super) async fn metadata_of_range(
        &self,
        geo: Geo,
        user_id_type: UserIdType,
        range: DayRange,
    ) -> BTreeMap<Day, FileMetadata> {
        let Ok(listed) = self.health.record_read(self.storage.list(geo, user_id_type).await) else {
            return BTreeMap::new();
        };
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
        for (geo, user_id_type) in series.into_iter().filter(|_| !self.health.is_paused()) {
            let listed = self.storage.list(geo, user_id_type).await.unwrap_or_default();
            let of_series =
                |key: &DayKey| key.scope == DataScope::Everyone && (key.geo, key.user_id_type) == (geo, user_id_type);
            keys.retain(|key| !of_series(key) || !listed.contains_key(&key.day));
        }
    }

    /// The archived days of a series before `oldest`. Empty if the archive cannot be read.
    pub(super) async fn days_before(&self, oldest: Day, geo: Geo, user_id_type: UserIdType) -> Vec<DayKey> {
        let listed = self.storage.list(geo, user_id_type).await.unwrap_or_default();
        let key = |day| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
        listed.into_keys().filter(|day| *day < oldest).map(key).collect()
    }

    /// Drops the cached metadata of a day that is deleted, and its entry in the latest listing.
    pub(super) async fn evict(&self, key: &DayKey) {
        self.lock_metadata().remove(key);
        self.listings.evict(key).await;
    }

    /// Waits until a file may be read; `None` if the archive is not read at present.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        if self.health.is_paused() {
            return None;
        }
        let permit = self.permits.acquire().await.ok()?;
        // Another read may have failed while this one waited for its permit.
        (!self.health.is_paused()).then_some(permit)
    }

    /// Decodes the file of a day.
    ///
    /// # Errors
    /// If the file is damaged or not whole.
    async fn decode(&self, key: &DayKey, file: Bytes) -> Result<FindResult, ParquetReadError> {
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let wanted = key.clone();
        let decoding = run_day_task(move || parquet::decode(file, &wanted, &dictionary));
        // The Parquet reader may panic on a damaged file.
        match decoding.await.unwrap_or_else(|panic| Err(ParquetReadError::damaged(panic))) {
            Ok(day) => {
                self.reads.increment(ArchiveRead::Rows);
                Ok(FindResult::Day(Arc::new(day)))
            }
            Err(error @ ParquetReadError::TooNew { .. }) => {
                tracing::warn!(%key, %error, "an archived day is of a later version; it is fetched again");
                Ok(FindResult::NewerVersion)
            }
            Err(error @ (ParquetReadError::Damaged { .. } | ParquetReadError::EarlierDigest)) => Err(error),
        }
    }

    async fn quarantine(&self, key: &DayKey, why: &ParquetReadError) {
        self.health.record_damaged_file();
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
        let footer = self.health.record_read(footer).ok().flatten()?;
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

fn read_digest(
    file: Bytes,
    key: &DayKey,
    dictionary: &Arc<Dictionary>,
    memberships: &MembershipCache,
) -> Result<DigestRead, ParquetReadError> {
    let file = ParquetDay::new(file, key)?;
    let is_newer_version = match digest::decode_digest(&file, dictionary, memberships) {
        Ok(digest) => return Ok(DigestRead::Stored(Arc::new(digest))),
        Err(ParquetReadError::TooNew { .. }) => true,
        Err(error) => {
            tracing::info!(%key, %error, "the digest of an archived day is computed again from its rows");
            false
        }
    };
    let day = file.day(dictionary)?;
    let digest = Arc::new(DayDigest::from_day(&day, None));
    Ok(if is_newer_version { DigestRead::NewerVersion(digest) } else { DigestRead::Recomputed(digest, Arc::new(day)) })
}
