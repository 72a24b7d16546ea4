//! Object storage: the files and control records of the archive, and the disk cache of the files.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path};

use super::{
    cache_folder::RemovalCount,
    disk_cache::DiskCache,
    file_version::FileVersion,
    layout,
    listing::{ListedFile, Listing},
    ownership::{ArchiveOwner, ArchiveOwnership},
    storage_error::StorageError,
    timed_store::{ObjectBytes, TimedStore},
};
use crate::{
    model::{DayKey, Geo, UserIdType},
    prometheus::MetricCounter,
};

/// The objects of one archive. Every operation first makes sure that this app owns the archive.
#[derive(Debug)]
pub(super) struct ObjectStorage {
    store: TimedStore,
    ownership: ArchiveOwnership,
    cache: Option<DiskCache>,
    /// Bytes of files that were read from the store.
    read_bytes: MetricCounter,
}

impl ObjectStorage {
    pub(super) fn new(store: Arc<dyn ObjectStore>, owner: ArchiveOwner, cache: Option<DiskCache>) -> Self {
        let store = TimedStore::new(store);
        let ownership = ArchiveOwnership::new(store.clone(), owner);
        Self { ownership, store, cache, read_bytes: MetricCounter::default() }
    }

    /// The disk cache, if there is one.
    pub(super) const fn cache(&self) -> Option<&DiskCache> {
        self.cache.as_ref()
    }

    /// Bytes of files that were read from the store, without those from the cache.
    pub(super) const fn read_bytes(&self) -> &MetricCounter {
        &self.read_bytes
    }

    /// The ownership of the archive.
    pub(super) const fn ownership(&self) -> &ArchiveOwnership {
        &self.ownership
    }

    /// The store, once this app owns the archive.
    async fn owned_store(&self) -> Result<&TimedStore, StorageError> {
        self.ownership.claim().await?;
        Ok(&self.store)
    }

    /// Reads the file of a day; `None` if there is none.
    pub(super) async fn read(&self, key: &DayKey) -> Result<Option<Bytes>, StorageError> {
        let store = self.owned_store().await?;
        if let Some(cache) = &self.cache
            && cache.contains(key)
        {
            let found = store.head(&layout::day_file(key)).await?;
            if found.is_none() {
                cache.discard(key).await;
                return Ok(None);
            }
            if let Some(version) = found.as_ref().and_then(FileVersion::of)
                && let Some(bytes) = cache.get(key, &version, &(0..version.size)).await
            {
                return Ok(Some(bytes));
            }
        }
        self.read_from_store(store, key, None).await
    }

    /// Reads a part of a file in a listing; `None` if the file no longer exists. The part can be of a later version.
    pub(super) async fn read_part(
        &self,
        key: &DayKey,
        listed: &ListedFile,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StorageError> {
        let store = self.owned_store().await?;
        if let Some(cache) = &self.cache
            && let Some(version) = &listed.version
            && let Some(bytes) = cache.get(key, version, &range).await
        {
            return Ok(Some(bytes));
        }
        // A whole file is read without a range, because one tested store cannot read a range of an empty file.
        let range = Some(range).filter(|range| *range != (0..listed.size));
        self.read_from_store(store, key, range).await
    }

    /// Reads parts of a file in a folder; `None` if the file no longer exists. The parts can be of a later version.
    pub(super) async fn read_parts_in_folder(
        &self,
        key: &DayKey,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, StorageError> {
        let parts = self.owned_store().await?.get_ranges(&layout::day_file(key), ranges).await?;
        self.read_bytes.add(parts.iter().flatten().map(|part| part.len() as u64).sum());
        Ok(parts)
    }

    async fn read_from_store(
        &self,
        store: &TimedStore,
        key: &DayKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, StorageError> {
        let removals = self.removals().await;
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let Some(ObjectBytes { bytes, meta }) = store.get(&layout::day_file(key), options).await? else {
            return Ok(None);
        };
        self.read_bytes.add(bytes.len() as u64);
        self.store_in_cache(key, FileVersion::of(&meta), range, &bytes, removals).await;
        Ok(Some(bytes))
    }

    /// Begins a read or a write whose bytes may be stored in the cache; `None` if they cannot.
    async fn removals(&self) -> Option<RemovalCount> {
        self.cache.as_ref()?.removals().await
    }

    /// Stores bytes of a file in the cache, unless a day was removed since `removals`. `None` as the range is the whole file.
    async fn store_in_cache(
        &self,
        key: &DayKey,
        version: Option<FileVersion>,
        range: Option<Range<u64>>,
        bytes: &Bytes,
        removals: Option<RemovalCount>,
    ) {
        if let (Some(cache), Some(removals), Some(version)) = (&self.cache, removals, version) {
            let range = range.unwrap_or(0..version.size);
            cache.insert(key, version, range, bytes.clone(), removals).await;
        }
    }

    /// Removes the file of a day from the cache, because its content is not valid: it is read from the store again.
    pub(super) async fn discard_cached(&self, key: &DayKey) {
        if let Some(cache) = &self.cache {
            cache.discard(key).await;
        }
    }

    /// Removes the file of a day that another replica has removed from the cache.
    pub(super) async fn remove_cached(&self, key: &DayKey) -> Result<(), StorageError> {
        match &self.cache {
            Some(cache) => cache.remove(key).await,
            None => Ok(()),
        }
    }

    /// The size of the file of a day in bytes; `None` if there is none.
    pub(super) async fn size(&self, key: &DayKey) -> Result<Option<u64>, StorageError> {
        Ok(self.owned_store().await?.head(&layout::day_file(key)).await?.map(|found| found.size))
    }

    /// Reads the end of the file of a day, including its whole footer.
    pub(super) async fn read_footer(&self, key: &DayKey, listed: &ListedFile) -> Result<Option<Bytes>, StorageError> {
        self.read_part(key, listed, listed.footer()).await
    }

    /// Writes the file of a day. If two gateways write a day, both files are equivalent.
    pub(super) async fn write(&self, key: &DayKey, file: Vec<u8>) -> Result<(), StorageError> {
        let file = Bytes::from(file);
        let store = self.owned_store().await?;
        let removals = self.removals().await;
        let written = store.put(&layout::day_file(key), file.clone()).await?;
        self.store_in_cache(key, written, None, &file, removals).await;
        Ok(())
    }

    /// Moves the file of a day to the folder of damaged files.
    pub(super) async fn quarantine(&self, key: &DayKey) -> Result<(), StorageError> {
        self.discard_cached(key).await;
        self.owned_store().await?.rename(&layout::day_file(key), &layout::damaged_file(key)).await
    }

    /// Removes the file of a day, also from the cache. A missing file is not an error.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        self.owned_store().await?.remove(&layout::day_file(key)).await?;
        self.remove_cached(key).await
    }

    /// Lists the files of a series.
    pub(super) async fn list(&self, geo: Geo, user_id_type: UserIdType) -> Result<Listing, StorageError> {
        let objects = self.owned_store().await?.list(&layout::series_folder(geo, user_id_type)).await?;
        let days = objects
            .into_iter()
            .filter_map(|object| Some((layout::parse_day_file(&object.location)?.day, ListedFile::of(object))));
        let listing = days.collect();
        if let Some(cache) = &self.cache {
            cache.retain(geo, user_id_type, &listing).await;
        }
        Ok(listing)
    }

    /// Writes or replaces a control record.
    pub(super) async fn put_control_record(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), StorageError> {
        self.owned_store().await?.put(&layout::control_record(folder, name), text.into()).await.map(|_| ())
    }

    /// Reads a control record; `None` if there is none.
    pub(super) async fn control_record(&self, folder: &str, name: &str) -> Result<Option<Bytes>, StorageError> {
        let found = self.owned_store().await?.get(&layout::control_record(folder, name), GetOptions::default()).await?;
        Ok(found.map(|object| object.bytes))
    }

    /// The names of all control records of a folder, each with the time of its last change.
    pub(super) async fn list_control_records(&self, folder: &str) -> Result<Vec<(String, Timestamp)>, StorageError> {
        let objects = self.owned_store().await?.list(&Path::from(folder)).await?;
        let name_and_time = |object: ObjectMeta| {
            let name = object.location.filename()?.strip_suffix(".json")?.to_owned();
            Some((name, Timestamp::from_second(object.last_modified.timestamp()).ok()?))
        };
        Ok(objects.into_iter().filter_map(name_and_time).collect())
    }

    /// Reads all control records of a folder.
    pub(super) async fn control_records(&self, folder: &str) -> Result<Vec<Bytes>, StorageError> {
        let records = self.owned_store().await?.read_folder(folder).await?;
        Ok(records.into_iter().map(|(_, text)| text).collect())
    }

    /// Removes a control record. A missing record is not an error.
    pub(super) async fn remove_control_record(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.owned_store().await?.remove(&layout::control_record(folder, name)).await
    }
}
