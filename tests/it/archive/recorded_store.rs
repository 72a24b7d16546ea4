//! An object store in memory that records which parts of days are read, and can hold reads back.

use std::{
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use tokio::sync::Semaphore;

/// A bucket.
#[derive(Debug)]
pub(crate) struct RecordedStore {
    objects: InMemory,
    reads: Mutex<Vec<(String, Range<u64>)>>,
    listed: Mutex<Vec<String>>,
    /// Each read of a day takes a permit after the object was found.
    permits: Semaphore,
}

impl RecordedStore {
    pub(crate) fn new() -> Self {
        let permits = Semaphore::new(Semaphore::MAX_PERMITS);
        Self { objects: InMemory::new(), reads: Mutex::default(), listed: Mutex::default(), permits }
    }

    /// The days and ranges that were read since the last call.
    pub(crate) fn take_reads(&self) -> Vec<(String, Range<u64>)> {
        std::mem::take(&mut *self.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The folders that were listed since the last call.
    pub(crate) fn take_listed(&self) -> Vec<String> {
        std::mem::take(&mut *self.listed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of days that were read since the last call.
    pub(crate) fn take_read_bytes(&self) -> u64 {
        self.take_reads().into_iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Holds further reads of days back until [`Self::release_reads`].
    pub(crate) fn hold_reads(&self) {
        self.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release_reads(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl fmt::Display for RecordedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordedStore")
    }
}

#[async_trait]
impl ObjectStore for RecordedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (is_head, range) = (options.head, options.range.clone());
        let found = self.objects.get_opts(location, options).await?;
        if location.as_ref().ends_with(".parquet") && !is_head {
            let read = match range {
                Some(GetRange::Bounded(range)) => range,
                Some(other) => panic!("an unexpected range: {other}"),
                None => 0..found.meta.size,
            };
            self.reads.lock().unwrap_or_else(PoisonError::into_inner).push((location.to_string(), read));
            drop(self.permits.acquire().await);
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = prefix.map_or_else(String::new, Path::to_string);
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
