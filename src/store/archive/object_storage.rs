//! Object storage: the objects of the archive, with a time limit for each operation.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path};

use super::{
    layout::{self, OWNERS_FOLDER},
    owner::{ArchiveOwner, FORMAT_VERSION, OwnerRecord, OwnershipClaim, OwnershipError},
    storage_error::StorageError,
};
use crate::model::{Day, DayKey, Geo, UserIdType};

/// Time limit of a read. A caller waits for it, and the day can be fetched from Feishu instead.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of a write. No caller waits for the write of a day.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes to read for a file's footer. The footer with its metadata is far smaller.
const MAX_FOOTER_BYTES: u64 = 64 << 10;

/// The objects of one archive. Every operation first makes sure that this app owns the archive.
#[derive(Debug)]
pub(super) struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    owner: ArchiveOwner,
    claimed: OnceLock<()>,
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
    pub(super) const fn new(store: Arc<dyn ObjectStore>, owner: ArchiveOwner) -> Self {
        Self { store, owner, claimed: OnceLock::new() }
    }

    /// Makes sure that this app owns the archive.
    async fn ensure_owned(&self) -> Result<(), StorageError> {
        self.claim().await.map_err(|error| StorageError::from_display(&error))
    }

    /// Reads the file of a day; `None` if there is none.
    pub(super) async fn read(&self, key: &DayKey) -> Result<Option<Bytes>, StorageError> {
        self.ensure_owned().await?;
        self.get(&layout::day_file(key), GetOptions::default()).await
    }

    /// Reads the end of the file of a day, including its whole footer.
    ///
    /// A small file is read whole. A large one is read from an absolute offset, because a tested store returns wrong
    /// data for a suffix range that is longer than the file.
    pub(super) async fn read_footer(&self, key: &DayKey, listed: &ListedFile) -> Result<Option<Bytes>, StorageError> {
        self.ensure_owned().await?;
        let from = listed.size.checked_sub(MAX_FOOTER_BYTES).filter(|from| *from > 0);
        let range = from.map(|from| GetRange::Bounded(from..listed.size));
        self.get(&layout::day_file(key), GetOptions { range, ..GetOptions::default() }).await
    }

    /// Writes the file of a day atomically: readers see the previous version until the write is complete.
    ///
    /// The write is unconditional. Some stores ignore or reject `If-None-Match`, and both writes of a day are
    /// equivalent.
    pub(super) async fn write(&self, key: &DayKey, file: Vec<u8>) -> Result<(), StorageError> {
        self.ensure_owned().await?;
        self.put_object(&layout::day_file(key), file).await
    }

    /// Moves the file of a day to the folder of damaged files.
    pub(super) async fn quarantine(&self, key: &DayKey) -> Result<(), StorageError> {
        self.ensure_owned().await?;
        let (from, to) = (layout::day_file(key), layout::damaged_file(key));
        with_timeout(WRITE_TIMEOUT, self.store.rename(&from, &to)).await
    }

    /// Removes the file of a day. A missing file is not an error.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        self.ensure_owned().await?;
        self.remove_object(&layout::day_file(key)).await
    }

    /// Lists the files of a series.
    pub(super) async fn list(&self, geo: Geo, user_id_type: UserIdType) -> Result<Listing, StorageError> {
        self.ensure_owned().await?;
        let folder = layout::series_folder(geo, user_id_type);
        let objects: Vec<_> = with_timeout(READ_TIMEOUT, self.store.list(Some(&folder)).try_collect()).await?;
        let days = objects
            .into_iter()
            .filter_map(|object| Some((layout::parse_day_file(&object.location)?.day, ListedFile::of(object))));
        Ok(days.collect())
    }

    /// Writes or replaces a control record.
    pub(super) async fn put_control_record(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), StorageError> {
        self.ensure_owned().await?;
        self.put_object(&layout::control_record(folder, name), text).await
    }

    /// Reads all control records of a folder.
    pub(super) async fn control_records(&self, folder: &str) -> Result<Vec<Bytes>, StorageError> {
        self.ensure_owned().await?;
        let records = self.read_folder(folder).await?;
        Ok(records.into_iter().map(|(_, text)| text).collect())
    }

    /// Reads all objects of a folder, each with its name. Does not check the owner.
    async fn read_folder(&self, folder: &str) -> Result<Vec<(String, Bytes)>, StorageError> {
        let folder = Path::from(folder);
        let listed: Vec<_> = with_timeout(READ_TIMEOUT, self.store.list(Some(&folder)).try_collect()).await?;
        let mut objects = Vec::with_capacity(listed.len());
        for object in listed {
            let text = self.get(&object.location, GetOptions::default()).await?;
            objects.extend(text.map(|text| (object.location.to_string(), text)));
        }
        Ok(objects)
    }

    /// Removes a control record. A missing record is not an error.
    pub(super) async fn remove_control_record(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.ensure_owned().await?;
        self.remove_object(&layout::control_record(folder, name)).await
    }

    async fn put_object(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StorageError> {
        with_timeout(WRITE_TIMEOUT, self.store.put(path, PutPayload::from(bytes))).await.map(|_| ())
    }

    async fn remove_object(&self, path: &Path) -> Result<(), StorageError> {
        let removal = with_timeout(WRITE_TIMEOUT, async {
            match self.store.delete(path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        });
        removal.await
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<Option<Bytes>, StorageError> {
        let read = with_timeout(READ_TIMEOUT, async {
            match self.store.get_opts(path, options).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        read.await
    }

    /// Checks the owner, and writes our owner record if there is none. Later calls return at once.
    ///
    /// Concurrent first calls are harmless: each finds or writes the same record.
    pub(super) async fn claim(&self) -> Result<(), OwnershipError> {
        if self.claimed.get().is_none() {
            if self.inspect_owner().await? == OwnershipClaim::Unowned {
                self.write_owner().await?;
            }
            let _ = self.claimed.set(());
        }
        Ok(())
    }

    /// Reads the owner records.
    pub(super) async fn inspect_owner(&self) -> Result<OwnershipClaim, OwnershipError> {
        let mut claim = OwnershipClaim::Unowned;
        for (name, text) in self.read_folder(OWNERS_FOLDER).await? {
            let unknown = || OwnershipError::UnknownRecord { record: name.clone() };
            let record: OwnerRecord = serde_json::from_slice(&text).map_err(|_| unknown())?;
            if record.format_version > FORMAT_VERSION {
                return Err(unknown());
            }
            if record.owner != self.owner {
                let ArchiveOwner { app_id, upstream } = record.owner;
                return Err(OwnershipError::OtherOwner { app_id, upstream, record: name });
            }
            claim = OwnershipClaim::Ours;
        }
        Ok(claim)
    }

    /// Writes our owner record, and removes it again if another app has written its own in the meantime.
    ///
    /// Each app writes before it checks again, so of two simultaneous claims at least one sees the other. This does not
    /// rely on conditional writes, which some stores ignore.
    pub(super) async fn write_owner(&self) -> Result<(), OwnershipError> {
        let record = OwnerRecord { format_version: FORMAT_VERSION, owner: self.owner.clone() };
        let path = layout::control_record(OWNERS_FOLDER, &self.owner.app_id);
        let text = serde_json::to_vec_pretty(&record).map_err(|error| StorageError::from_display(&error))?;
        self.put_object(&path, text).await?;
        let inspected = self.inspect_owner().await;
        if let Err(OwnershipError::OtherOwner { .. }) = inspected {
            // The other app claimed the archive at the same time. Neither has archived a day yet.
            self.remove_object(&path).await?;
        }
        inspected.map(|_| ())
    }
}

impl ListedFile {
    fn of(object: ObjectMeta) -> Self {
        let tag = object.e_tag.unwrap_or_else(|| object.last_modified.to_string());
        Self { tag, size: object.size }
    }
}

/// Runs a storage operation; fails if it takes longer than `limit`.
async fn with_timeout<T>(
    limit: Duration,
    operation: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StorageError> {
    match tokio::time::timeout(limit, operation).await {
        Ok(done) => done.map_err(|error| StorageError::from_display(&error)),
        Err(_) => Err(StorageError::from_display(&format_args!("no answer within {} s", limit.as_secs()))),
    }
}
