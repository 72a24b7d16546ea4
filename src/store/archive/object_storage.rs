//! Object storage: the files and control records of the archive.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path};

use super::{
    layout,
    ownership::{ArchiveOwner, ArchiveOwnership},
    storage_error::StorageError,
    timed_store::TimedStore,
};
use crate::model::{Day, DayKey, Geo, UserIdType};

/// Bytes to read for a file's footer. The footer with its metadata is far smaller.
const MAX_FOOTER_BYTES: u64 = 64 << 10;

/// The objects of one archive. Every operation first makes sure that this app owns the archive.
#[derive(Debug)]
pub(super) struct ObjectStorage {
    store: TimedStore,
    ownership: ArchiveOwnership,
}

/// The files of a series, by day.
pub(super) type Listing = BTreeMap<Day, ListedFile>;

/// A file in a listing. Different versions of a file compare as unequal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedFile {
    tag: String,
    size: u64,
}

impl ObjectStorage {
    pub(super) fn new(store: Arc<dyn ObjectStore>, owner: ArchiveOwner) -> Self {
        let store = TimedStore::new(store);
        Self { ownership: ArchiveOwnership::new(store.clone(), owner), store }
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
        self.owned_store().await?.get(&layout::day_file(key), GetOptions::default()).await
    }

    /// The size of the file of a day in bytes; `None` if there is none.
    pub(super) async fn size(&self, key: &DayKey) -> Result<Option<u64>, StorageError> {
        self.owned_store().await?.size(&layout::day_file(key)).await
    }

    /// Reads the end of the file of a day, including its whole footer.
    ///
    /// A small file is read whole. A large one is read from an absolute offset, because a tested store returns wrong
    /// data for a suffix range that is longer than the file.
    pub(super) async fn read_footer(&self, key: &DayKey, listed: &ListedFile) -> Result<Option<Bytes>, StorageError> {
        let from = listed.size.checked_sub(MAX_FOOTER_BYTES).filter(|from| *from > 0);
        let range = from.map(|from| GetRange::Bounded(from..listed.size));
        self.owned_store().await?.get(&layout::day_file(key), GetOptions { range, ..GetOptions::default() }).await
    }

    /// Writes the file of a day. If two gateways write a day, both files are equivalent.
    pub(super) async fn write(&self, key: &DayKey, file: Vec<u8>) -> Result<(), StorageError> {
        self.owned_store().await?.put(&layout::day_file(key), file).await
    }

    /// Moves the file of a day to the folder of damaged files.
    pub(super) async fn quarantine(&self, key: &DayKey) -> Result<(), StorageError> {
        self.owned_store().await?.rename(&layout::day_file(key), &layout::damaged_file(key)).await
    }

    /// Removes the file of a day. A missing file is not an error.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        self.owned_store().await?.remove(&layout::day_file(key)).await
    }

    /// Lists the files of a series.
    pub(super) async fn list(&self, geo: Geo, user_id_type: UserIdType) -> Result<Listing, StorageError> {
        let objects = self.owned_store().await?.list(&layout::series_folder(geo, user_id_type)).await?;
        let days = objects
            .into_iter()
            .filter_map(|object| Some((layout::parse_day_file(&object.location)?.day, ListedFile::of(object))));
        Ok(days.collect())
    }

    /// Writes or replaces a control record.
    pub(super) async fn put_control_record(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), StorageError> {
        self.owned_store().await?.put(&layout::control_record(folder, name), text).await
    }

    /// Reads a control record; `None` if there is none.
    pub(super) async fn control_record(&self, folder: &str, name: &str) -> Result<Option<Bytes>, StorageError> {
        self.owned_store().await?.get(&layout::control_record(folder, name), GetOptions::default()).await
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

impl ListedFile {
    fn of(object: ObjectMeta) -> Self {
        let tag = object.e_tag.unwrap_or_else(|| object.last_modified.to_string());
        Self { tag, size: object.size }
    }
}
