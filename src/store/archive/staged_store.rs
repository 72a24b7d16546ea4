//! Staged store: writes each object under a staging name and renames it into place.
//!
//! A process that is killed during a write leaves its unfinished file in the staging folder. Readers of the data lake do
//! not list that folder, and they skip names that begin with an underscore. The local object store alone would leave the
//! file beside the finished files, where pandas and pyarrow read it as data.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, path::Path,
};

use super::layout::STAGING_FOLDER;

/// Attempts to write an object. A gateway that starts deletes all unfinished files, also those of a gateway that still
/// runs; such a write is repeated.
const MAX_ATTEMPTS: usize = 2;

/// Writes objects of the inner store in two steps: write to the staging folder, then rename. The staging folder is in
/// the same store, so the rename is atomic.
#[derive(Debug)]
pub(super) struct StagedStore<S> {
    inner: S,
}

impl<S: ObjectStore> StagedStore<S> {
    /// Stages the writes of `inner`, whose rename must be atomic.
    pub(super) const fn new(inner: S) -> Self {
        Self { inner }
    }

    async fn write_and_rename(&self, location: &Path, payload: PutPayload) -> object_store::Result<PutResult> {
        let staged = Path::from(format!("{STAGING_FOLDER}/_{:016x}", fastrand::u64(..)));
        let written = self.inner.put(&staged, payload).await?;
        let renamed = self.inner.rename(&staged, location).await;
        if renamed.is_err() {
            // The file may be gone already. The next start deletes it otherwise.
            let _ = self.inner.delete(&staged).await;
        }
        renamed.map(|()| written)
    }

    fn not_implemented(&self, operation: &str) -> Error {
        Error::NotImplemented { operation: operation.to_owned(), implementer: self.to_string() }
    }
}

impl<S: ObjectStore> fmt::Display for StagedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StagedStore({})", self.inner)
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for StagedStore<S> {
    /// Replaces the object at `location`. The archive uses no other mode.
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if options != PutOptions::default() {
            return Err(self.not_implemented("`put_opts` with options"));
        }
        let mut written = self.write_and_rename(location, payload.clone()).await;
        for _ in 1..MAX_ATTEMPTS {
            if written.is_err() {
                written = self.write_and_rename(location, payload.clone()).await;
            }
        }
        written
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        Err(self.not_implemented("`put_multipart_opts`"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object_store::local::LocalFileSystem;

    use super::*;

    #[tokio::test]
    async fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A folder has the name of the object, so the object cannot be written.
        fs::create_dir_all(folder.path().join("days/part-0.parquet/x")).unwrap();
        let store = StagedStore::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());

        let failed = store.put(&Path::from("days/part-0.parquet"), "rows".into()).await;
        let written = store.put(&Path::from("days/part-1.parquet"), "rows".into()).await;

        assert!(failed.is_err() && written.is_ok());
        assert_eq!(fs::read_dir(folder.path().join(STAGING_FOLDER)).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(folder.path().join("days/part-1.parquet")).unwrap(), "rows");
    }
}
