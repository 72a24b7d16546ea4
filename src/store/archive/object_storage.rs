//! The shelves: days as objects in the store. Every exchange has an end, and every failure a reason.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path};

use super::{Owner, layout};
use crate::model::{Day, DayKey, Geo, UserIdType};

/// Whoever waits for a day waits for the archive no longer than this; Feishu has the day too.
const READING: Duration = Duration::from_secs(10);

/// Nobody waits for a day to be written.
const WRITING: Duration = Duration::from_secs(60);

/// A file's footer with its metadata is far smaller than this.
const FOOTER: u64 = 64 << 10;

/// The object store, and nothing but days in it. Nothing is read or written before it is known to be ours.
#[derive(Debug)]
pub(super) struct Shelves {
    store: Arc<dyn ObjectStore>,
    pub(super) owner: Owner,
    pub(super) claimed: OnceLock<()>,
}

/// The days of a series that have a file.
pub(super) type Listing = BTreeMap<Day, Listed>;

/// A file as a listing tells of it: enough to tell one content of it from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    tag: String,
    size: u64,
}

/// The store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDone(Arc<str>);

impl Shelves {
    pub(super) const fn new(store: Arc<dyn ObjectStore>, owner: Owner) -> Self {
        Self { store, owner, claimed: OnceLock::new() }
    }

    /// That it is ours, before anything is done with it.
    async fn ours(&self) -> Result<(), NotDone> {
        self.claim().await.map_err(|error| NotDone::because(&error))
    }

    /// The file of a day, where there is one.
    pub(super) async fn read(&self, key: &DayKey) -> Result<Option<Bytes>, NotDone> {
        self.ours().await?;
        self.get(&layout::file(key), GetOptions::default()).await
    }

    /// The end of the file of a day, with its whole footer.
    ///
    /// A small file is read whole, and a large one from a place that is in it: a store that was tried with "the last
    /// 64 KiB" of a smaller file answered nonsense.
    pub(super) async fn read_footer(&self, key: &DayKey, listed: &Listed) -> Result<Option<Bytes>, NotDone> {
        self.ours().await?;
        let from = listed.size.checked_sub(FOOTER).filter(|from| *from > 0);
        let range = from.map(|from| GetRange::Bounded(from..listed.size));
        self.get(&layout::file(key), GetOptions { range, ..GetOptions::default() }).await
    }

    /// Writes the file of a day, in one piece: until it is whole, the store shows nothing or what was there before.
    ///
    /// Never only-if-absent: some stores ignore that, one does not know it, and a day that is written twice is the same.
    pub(super) async fn write(&self, key: &DayKey, file: Vec<u8>) -> Result<(), NotDone> {
        self.ours().await?;
        self.put_object(&layout::file(key), file).await
    }

    /// Moves the file of a day out of everybody's sight.
    pub(super) async fn set_aside(&self, key: &DayKey) -> Result<(), NotDone> {
        self.ours().await?;
        let (from, to) = (layout::file(key), layout::aside(key));
        in_time(WRITING, self.store.rename(&from, &to)).await
    }

    /// Removes the file of a day. It is no failure where there is none.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), NotDone> {
        self.ours().await?;
        self.remove_object(&layout::file(key)).await
    }

    /// The days of a series that have a file.
    pub(super) async fn list(&self, geo: Geo, user_id_type: UserIdType) -> Result<Listing, NotDone> {
        self.ours().await?;
        let folder = layout::series(geo, user_id_type);
        let found: Vec<_> = in_time(READING, self.store.list(Some(&folder)).try_collect()).await?;
        let days =
            found.into_iter().filter_map(|object| Some((layout::key(&object.location)?.day, Listed::of(object))));
        Ok(days.collect())
    }

    pub(super) async fn put_note(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), NotDone> {
        self.ours().await?;
        self.put_object(&layout::note(folder, name), text).await
    }

    pub(super) async fn notes(&self, folder: &str) -> Result<Vec<Bytes>, NotDone> {
        self.ours().await?;
        let notes = self.list_notes(folder).await?;
        Ok(notes.into_iter().map(|(_, text)| text).collect())
    }

    /// All notes of a folder, each with the name of its object, whoever's archive it is.
    pub(super) async fn list_notes(&self, folder: &str) -> Result<Vec<(String, Bytes)>, NotDone> {
        let folder = Path::from(folder);
        let listed: Vec<_> = in_time(READING, self.store.list(Some(&folder)).try_collect()).await?;
        let mut notes = Vec::with_capacity(listed.len());
        for object in listed {
            let text = self.get(&object.location, GetOptions::default()).await?;
            notes.extend(text.map(|text| (object.location.to_string(), text)));
        }
        Ok(notes)
    }

    pub(super) async fn remove_note(&self, folder: &str, name: &str) -> Result<(), NotDone> {
        self.ours().await?;
        self.remove_object(&layout::note(folder, name)).await
    }

    pub(super) async fn put_object(&self, path: &Path, bytes: Vec<u8>) -> Result<(), NotDone> {
        in_time(WRITING, self.store.put(path, PutPayload::from(bytes))).await.map(|_| ())
    }

    pub(super) async fn remove_object(&self, path: &Path) -> Result<(), NotDone> {
        let removed = in_time(WRITING, async {
            match self.store.delete(path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        });
        removed.await
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<Option<Bytes>, NotDone> {
        let got = in_time(READING, async {
            match self.store.get_opts(path, options).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        got.await
    }
}

impl NotDone {
    pub(super) fn because(error: &impl fmt::Display) -> Self {
        Self(error.to_string().into())
    }
}

impl Listed {
    fn of(object: ObjectMeta) -> Self {
        let tag = object.e_tag.unwrap_or_else(|| object.last_modified.to_string());
        Self { tag, size: object.size }
    }
}

async fn in_time<T>(limit: Duration, exchange: impl Future<Output = object_store::Result<T>>) -> Result<T, NotDone> {
    match tokio::time::timeout(limit, exchange).await {
        Ok(done) => done.map_err(|error| NotDone::because(&error)),
        Err(_) => Err(NotDone(format!("no answer within {} s", limit.as_secs()).into())),
    }
}
