//! Timed store: an object store with a time limit for each operation.

use std::{future::Future, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    Error, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path,
};

use super::{
    file_version::FileVersion,
    storage_error::{StorageError, StorageFault},
};
use crate::model::Backoff;

/// Time limit of a read. A caller waits for it, and the day can be fetched from Feishu instead.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of a write. No caller waits for the write of a day.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts to read an object whose transfer breaks off. The object store repeats requests that fail before the transfer
/// begins, and it resumes a transfer only if the server sends entity tags.
pub(super) const MAX_READS: u32 = 3;

/// Wait between these attempts.
pub(super) const READ_BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(1) };

/// Fails an operation that takes too long. Clones share the store.
#[derive(Clone, Debug)]
pub(super) struct TimedStore {
    store: Arc<dyn ObjectStore>,
}

/// Bytes of an object.
#[derive(Clone, Debug)]
pub(super) struct ObjectBytes {
    pub(super) bytes: Bytes,
    /// The metadata of the whole object.
    pub(super) meta: ObjectMeta,
}

impl TimedStore {
    pub(super) const fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Reads an object or a part of it; `None` if there is none.
    pub(super) async fn get(&self, path: &Path, options: GetOptions) -> Result<Option<ObjectBytes>, StorageError> {
        let read = with_timeout(READ_TIMEOUT, async {
            let mut reads = 1;
            loop {
                let found = match self.store.get_opts(path, options.clone()).await {
                    Ok(found) => found,
                    Err(Error::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                };
                match whole_body(found).await {
                    Err(_) if reads < MAX_READS => {
                        tokio::time::sleep(READ_BACKOFF.delay(reads, fastrand::f64())).await;
                        reads += 1;
                    }
                    read => return read.map(Some),
                }
            }
        });
        read.await
    }

    /// Reads parts of an object in a folder; `None` if there is none. The store reads all of them with the file opened once.
    pub(super) async fn get_ranges(
        &self,
        path: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, StorageError> {
        let read = with_timeout(READ_TIMEOUT, async {
            match self.store.get_ranges(path, ranges).await {
                Err(Error::NotFound { .. }) => Ok(None),
                read => read.and_then(|parts| whole_parts(path, ranges, parts)).map(Some),
            }
        });
        read.await
    }

    /// The metadata of an object; `None` if there is none.
    pub(super) async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, StorageError> {
        let found = with_timeout(READ_TIMEOUT, async {
            match self.store.head(path).await {
                Err(Error::NotFound { .. }) => Ok(None),
                found => found.map(Some),
            }
        });
        found.await
    }

    /// Writes or replaces an object atomically: readers see the previous version until the write is complete.
    ///
    /// The write is unconditional, because some stores ignore or reject `If-None-Match`. Returns the written version, if the
    /// store says it.
    pub(super) async fn put(&self, path: &Path, bytes: Bytes) -> Result<Option<FileVersion>, StorageError> {
        let size = bytes.len() as u64;
        let written = with_timeout(WRITE_TIMEOUT, self.store.put(path, PutPayload::from(bytes))).await?;
        Ok(written.e_tag.map(|tag| FileVersion::new(&tag, size)))
    }

    /// Removes an object. A missing object is not an error.
    pub(super) async fn remove(&self, path: &Path) -> Result<(), StorageError> {
        let removal = with_timeout(WRITE_TIMEOUT, async {
            match self.store.delete(path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        });
        removal.await
    }

    /// Moves an object.
    pub(super) async fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        with_timeout(WRITE_TIMEOUT, self.store.rename(from, to)).await
    }

    /// Lists the objects of a folder.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, StorageError> {
        with_timeout(READ_TIMEOUT, self.store.list(Some(folder)).try_collect()).await
    }

    /// Reads all objects of a folder, each with its name.
    pub(super) async fn read_folder(&self, folder: &str) -> Result<Vec<(String, Bytes)>, StorageError> {
        let listed = self.list(&Path::from(folder)).await?;
        let mut objects = Vec::with_capacity(listed.len());
        for object in listed {
            let text = self.get(&object.location, GetOptions::default()).await?;
            objects.extend(text.map(|text| (object.location.to_string(), text.bytes)));
        }
        Ok(objects)
    }
}

/// The body of a response. Fails if the body has another length than the response announces.
async fn whole_body(found: GetResult) -> object_store::Result<ObjectBytes> {
    let (meta, expected) = (found.meta.clone(), found.range.end - found.range.start);
    let bytes = found.bytes().await?;
    if bytes.len() as u64 == expected {
        return Ok(ObjectBytes { bytes, meta });
    }
    Err(cut_short(&meta.location, bytes.len(), expected))
}

/// The parts, if each has the length of its range.
fn whole_parts(path: &Path, ranges: &[Range<u64>], parts: Vec<Bytes>) -> object_store::Result<Vec<Bytes>> {
    for (range, part) in ranges.iter().zip(&parts) {
        let expected = range.end - range.start;
        if part.len() as u64 != expected {
            return Err(cut_short(path, part.len(), expected));
        }
    }
    Ok(parts)
}

fn cut_short(path: &Path, length: usize, expected: u64) -> Error {
    let source = format!("{path} was cut short: {length} of {expected} bytes").into();
    Error::Generic { store: "archive", source }
}

/// Runs a storage operation; fails if it takes longer than `limit`.
async fn with_timeout<T>(
    limit: Duration,
    operation: impl Future<Output = object_store::Result<T>>,
) -> Result<T, StorageError> {
    if let Ok(done) = tokio::time::timeout(limit, operation).await {
        return done.map_err(StorageError::from);
    }
    let detail = format_args!("no answer within {} s", limit.as_secs());
    Err(StorageError::new(StorageFault::Timeout, &detail))
}
