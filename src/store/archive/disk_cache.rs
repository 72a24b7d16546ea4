//! Disk cache of the archive: keeps parts of files that were read from a bucket, or written to it, in a local folder.
//!
//! It answers only for the version of a file that the bucket has, so a replaced or deleted file is not served from it. If its
//! disk fails, files are read from the bucket.

use std::{io, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use strum::{IntoStaticStr, VariantArray};
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    cache_folder::{CacheFolder, CacheOwner, CachedPart, FilePart, OpenCacheError, RemovalCount},
    file_version::FileVersion,
    listing::Listing,
    ownership::ArchiveOwner,
    storage_error::StorageError,
};
use crate::{
    model::{DayKey, Geo, UserIdType},
    prometheus::{CounterVec, Exposition, MetricCounter, MetricLabel},
};

/// For this long after a fault, nothing is written to the folder, and a folder that could not be opened is not opened again.
const FAULT_PAUSE: Duration = Duration::from_secs(60);

/// Time limit of an operation of the folder. A caller waits for it, and the bucket can be read instead.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);

/// The folder and the size of a disk cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCacheConfig {
    /// The folder. It is created if necessary, and must not contain other files.
    pub folder: PathBuf,
    /// Limit of its files, in bytes.
    pub max_bytes: u64,
}

/// The folder of a disk cache contains files of other programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotACacheError(String);

/// A disk cache of one archive.
#[derive(Debug)]
pub struct DiskCache {
    config: DiskCacheConfig,
    owner: CacheOwner,
    state: Mutex<CacheState>,
    lookups: CounterVec<DiskCacheLookup>,
    damaged: MetricCounter,
}

#[derive(Debug, Default)]
struct CacheState {
    /// `None` if the folder could not be opened.
    folder: Option<Arc<CacheFolder>>,
    /// The latest operation failed.
    is_failing: bool,
    paused_until: Option<Instant>,
}

/// The outcome of a lookup in the disk cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum DiskCacheLookup {
    Hit,
    Miss,
}

impl MetricLabel for DiskCacheLookup {
    const NAME: &'static str = "result";
}

impl DiskCache {
    /// Opens the folder for the days of `owner` in `archive`, the location of the archive. If the folder cannot be used at
    /// present, for example because another process uses it, the bucket is read instead, and the folder is opened later.
    ///
    /// # Errors
    /// If the folder contains files of other programs.
    pub fn open(config: DiskCacheConfig, archive: String, owner: ArchiveOwner) -> Result<Self, NotACacheError> {
        let cache = Self {
            config,
            owner: CacheOwner::new(archive, owner),
            state: Mutex::default(),
            lookups: CounterVec::default(),
            damaged: MetricCounter::default(),
        };
        match CacheFolder::open(&cache.config.folder, cache.config.max_bytes, &cache.owner) {
            Err(error @ OpenCacheError::NotACache(_)) => Err(NotACacheError(error.to_string())),
            Err(error) => {
                cache.record_fault(&error);
                Ok(cache)
            }
            Ok(folder) => {
                cache.state().folder = Some(Arc::new(folder));
                Ok(cache)
            }
        }
    }

    /// Begins a read: a day that is removed after this call is not stored by [`Self::insert`]. `None` if the folder is not
    /// open.
    pub(super) async fn removals(&self) -> Option<RemovalCount> {
        Some(self.folder().await?.removals())
    }

    /// A part of a file, if it is cached in this version.
    pub(super) async fn get(&self, key: &DayKey, version: &FileVersion, range: &Range<u64>) -> Option<Bytes> {
        let (key, version, range) = (key.clone(), version.clone(), range.clone());
        let read = self.run(move |folder| folder.get(&FilePart { key: &key, version: &version, range })).await;
        let found = match read {
            Some(CachedPart::Found(bytes)) => Some(bytes),
            Some(CachedPart::Damaged) => {
                self.damaged.increment();
                tracing::warn!("a damaged file in the disk cache was deleted; its day is read from the archive");
                None
            }
            Some(CachedPart::Missing) | None => None,
        };
        self.lookups.increment(if found.is_some() { DiskCacheLookup::Hit } else { DiskCacheLookup::Miss });
        found
    }

    /// Stores a part of a file, unless a day was removed since `removals`.
    pub(super) async fn insert(
        &self,
        key: &DayKey,
        version: FileVersion,
        range: Range<u64>,
        bytes: Bytes,
        removals: RemovalCount,
    ) {
        if self.is_paused() {
            return;
        }
        let key = key.clone();
        let insertion = move |folder: &CacheFolder| {
            folder.insert(&FilePart { key: &key, version: &version, range }, &bytes, removals)
        };
        if self.run(insertion).await.is_some() {
            self.record_success();
        }
    }

    /// Whether parts of a day are cached, in any version.
    pub(super) fn contains(&self, key: &DayKey) -> bool {
        self.state().folder.as_ref().is_some_and(|folder| folder.contains(key))
    }

    /// Deletes a day whose content is not valid, or that is no longer in the bucket. Reads in progress are stored.
    pub(super) async fn discard(&self, key: &DayKey) {
        let key = key.clone();
        // A fault is recorded.
        let _ = self.change(move |folder| folder.discard(&key)).await;
    }

    /// Deletes a day. A read in progress is not stored.
    ///
    /// # Errors
    /// If the disk fails. The day may still be in the folder then.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        let key = key.clone();
        self.change(move |folder| folder.remove(&key)).await
    }

    /// Deletes all days.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub(super) async fn clear(&self) -> Result<(), StorageError> {
        self.change(CacheFolder::clear).await
    }

    /// Deletes the days of a series that are not in its complete listing, or have another version there.
    pub(super) async fn retain(&self, geo: Geo, user_id_type: UserIdType, listing: &Listing) {
        let listing = listing.clone();
        let version = move |day| listing.get(&day).and_then(|file| file.version.clone());
        // A fault is recorded. The next listing tries again.
        let _ = self.change(move |folder| folder.retain(geo, user_id_type, version)).await;
    }

    /// Writes the metrics.
    pub(super) fn collect(&self, page: &mut Exposition) {
        let (bytes, is_failing) = {
            let state = self.state();
            (state.folder.as_ref().map_or(0, |folder| folder.bytes()), state.is_failing)
        };
        page.counter("feishu_pulse_archive_cache_lookups_total", "Lookups of files in the disk cache, by result.")
            .counter_vec(&self.lookups);
        page.gauge("feishu_pulse_archive_cache_bytes", "Bytes of the files in the disk cache.").sample(bytes as f64);
        page.gauge("feishu_pulse_archive_cache_limit_bytes", "Limit of the disk cache, in bytes.")
            .sample(self.config.max_bytes as f64);
        page.gauge("feishu_pulse_archive_cache_failing", "1 while the disk cache cannot be used or written, else 0.")
            .sample(f64::from(u8::from(is_failing)));
        page.counter(
            "feishu_pulse_archive_cache_damaged_files_total",
            "Damaged or foreign files that were found in the disk cache and deleted.",
        )
        .sample(self.damaged.get() as f64);
    }

    /// The folder. One that could not be opened is opened again after a pause.
    async fn folder(&self) -> Option<Arc<CacheFolder>> {
        {
            let mut state = self.state();
            if state.folder.is_some() || state.is_paused() {
                return state.folder.clone();
            }
            // Other callers do not wait.
            state.paused_until = Some(Instant::now() + FAULT_PAUSE);
        }
        let (config, owner) = (self.config.clone(), self.owner.clone());
        let opened = spawn_blocking(move || CacheFolder::open(&config.folder, config.max_bytes, &owner)).await.ok()?;
        match opened {
            Ok(folder) => {
                let folder = Arc::new(folder);
                self.state().folder = Some(Arc::clone(&folder));
                self.record_success();
                Some(folder)
            }
            Err(error) => {
                self.record_fault(&error);
                None
            }
        }
    }

    /// Runs an operation of the folder; `None` if it fails or if the folder is not open.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&CacheFolder) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        let folder = self.folder().await?;
        let done = run_on_disk(move || operation(&folder)).await;
        done.inspect_err(|error| self.record_fault(error)).ok()
    }

    /// Runs a deletion. Succeeds if the folder is not open: its days are compared with a listing when it is opened.
    async fn change(
        &self,
        deletion: impl FnOnce(&CacheFolder) -> io::Result<()> + Send + 'static,
    ) -> Result<(), StorageError> {
        let Some(folder) = self.folder().await else { return Ok(()) };
        let done = run_on_disk(move || deletion(&folder)).await;
        done.inspect_err(|error| self.record_fault(error)).map_err(|error| StorageError::of_io(&error))
    }

    /// Records a fault. It is logged when it begins.
    fn record_fault(&self, error: &dyn std::error::Error) {
        let mut state = self.state();
        state.paused_until = Some(Instant::now() + FAULT_PAUSE);
        if !std::mem::replace(&mut state.is_failing, true) {
            tracing::warn!(
                folder = %self.config.folder.display(),
                %error,
                "the disk cache of the archive fails; days are read from the archive itself"
            );
        }
    }

    fn record_success(&self) {
        let mut state = self.state();
        state.paused_until = None;
        if std::mem::take(&mut state.is_failing) {
            tracing::info!("the disk cache of the archive has recovered");
        }
    }

    fn is_paused(&self) -> bool {
        self.state().is_paused()
    }

    fn state(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock()
    }
}

impl CacheState {
    fn is_paused(&self) -> bool {
        self.paused_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Runs an operation of the disk off the async threads.
async fn run_on_disk<T: Send + 'static>(operation: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match tokio::time::timeout(DISK_TIMEOUT, spawn_blocking(operation)).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(io::Error::other(panic)),
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", DISK_TIMEOUT.as_secs())))
        }
    }
}
