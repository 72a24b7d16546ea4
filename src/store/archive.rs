//! The archive: final days as Parquet files in a folder or a bucket. They outlive the process, are shared by replicas,
//! and are a data lake for whoever reads Parquet. `docs/archive.md` tells readers what they find there.
//!
//! Nobody waits for a day to be written: it goes to a backlog, and whoever asks for it meanwhile has it from there. A
//! file that was read is checked against its row count and content hash; one that does not hold is set aside, reported,
//! and the day comes from Feishu again. An archive that fails delays nobody for long and loses nothing that it held:
//! days come from Feishu, and wait to be written.

mod backlog;
mod digests;
mod figures;
mod health;
mod layout;
mod leftovers;
mod location;
mod notes;
mod owner;
mod shelves;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::ObjectStore;
use tokio::sync::{Notify, RwLock, Semaphore};

use self::{
    backlog::Backlog,
    digests::Listings,
    figures::Reading,
    health::{Exchange, Watch},
    shelves::{Listed, Shelves},
};
pub use self::{
    health::Health,
    location::{Location, ParseLocationError, UnusableLocation},
    owner::{Claim, NotOurs, Owner},
    shelves::NotDone,
};
use super::{freshness::State, memory::Memory};
use crate::{
    meter::Tally,
    model::{Day, DayKey, DayRange, Geo, Scope, UserIdType},
    report::digest::Crews,
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{
        Directories, Partition,
        parquet::{self, Label, Unreadable},
    },
};

/// Bytes of days that may wait to be written: about a year of 20,000 people.
const BACKLOG: usize = 256 << 20;

/// Files read at the same time: what they hold is in memory meanwhile.
const READERS: usize = 32;

/// The days that are held in the archive.
#[derive(Debug)]
pub struct Archive {
    shelves: Shelves,
    /// Where it is, if that is a folder of this machine.
    folder: Option<PathBuf>,
    directories: Arc<Directories>,
    /// Who works where, by what digests say of it.
    crews: Arc<Crews>,
    backlog: Backlog,
    readers: Semaphore,
    readings: Tally<Reading>,
    listings: Listings,
    /// Held for reading while days are written, for writing while one is removed.
    writing: RwLock<()>,
    /// Ends the wait after a failure.
    hurry: Notify,
    watch: Watch,
    /// What was read of each file besides its rows, with the listing it was read after.
    labels: Mutex<HashMap<DayKey, (Listed, Label)>>,
}

/// What the archive says about a day.
enum Found {
    Day(Arc<Partition>),
    /// It has none, cannot be asked, or had one that was damaged.
    Nothing,
    /// It has one that a later version of this program wrote: good for others, and not to be overwritten.
    Foreign,
}

impl Archive {
    /// The archive of `owner` in `store`. The people it meets are numbered in `directories`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, directories: Arc<Directories>, owner: Owner) -> Self {
        Self {
            shelves: Shelves::new(store, owner),
            folder: None,
            directories,
            crews: Arc::default(),
            backlog: Backlog::new(BACKLOG),
            readers: Semaphore::new(READERS),
            readings: Tally::default(),
            listings: Listings::default(),
            writing: RwLock::default(),
            hurry: Notify::new(),
            watch: Watch::default(),
            labels: Mutex::default(),
        }
    }

    /// The same, which is known to be in this folder.
    #[must_use]
    pub fn in_folder(self, folder: Option<PathBuf>) -> Self {
        Self { folder, ..self }
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.watch.health(self.backlog.len())
    }

    /// The days of a range that have a file, by what the files say of themselves. An archive that fails holds none.
    pub async fn held(&self, geo: Geo, user_id_type: UserIdType, range: DayRange) -> BTreeMap<Day, Label> {
        let Ok(listed) = self.read(self.shelves.list(geo, user_id_type).await) else { return BTreeMap::new() };
        let key = |day| DayKey { geo, user_id_type, scope: Scope::Everyone, day };
        let wanted = listed.into_iter().filter(|(day, _)| range.contains(*day));
        let labels = stream::iter(wanted.map(|(day, file)| self.label(key(day), file))).buffer_unordered(READERS);
        labels.filter_map(async |label| label.map(|label| (label.key.day, label))).collect().await
    }

    /// Takes the days that have a file off a list. An archive that fails has none.
    async fn strike_out_listed(&self, keys: &mut Vec<DayKey>) {
        let whole = keys.iter().filter(|key| key.scope == Scope::Everyone);
        let series: BTreeSet<_> = whole.map(|key| (key.geo, key.user_id_type)).collect();
        for (geo, user_id_type) in series.into_iter().filter(|_| !self.watch.is_paused()) {
            let listed = self.shelves.list(geo, user_id_type).await.unwrap_or_default();
            let of_series =
                |key: &DayKey| key.scope == Scope::Everyone && (key.geo, key.user_id_type) == (geo, user_id_type);
            keys.retain(|key| !of_series(key) || !listed.contains_key(&key.day));
        }
    }

    /// The archived days of a series that come before `oldest`. An archive that fails has none.
    pub async fn older_than(&self, oldest: Day, geo: Geo, user_id_type: UserIdType) -> Vec<DayKey> {
        let listed = self.shelves.list(geo, user_id_type).await.unwrap_or_default();
        let key = |day| DayKey { geo, user_id_type, scope: Scope::Everyone, day };
        listed.into_keys().filter(|day| *day < oldest).map(key).collect()
    }

    /// Removes a day, whether it is written or waits for it.
    ///
    /// # Errors
    /// Where the store does not do it: the day may still be there.
    pub async fn forget(&self, key: &DayKey) -> Result<(), NotDone> {
        // Nobody is in the middle of writing it.
        let _alone = self.writing.write().await;
        self.backlog.forget(key);
        self.labels().remove(key);
        self.written(self.shelves.remove(key).await)
    }

    /// Takes note of how a change that somebody waited for ended.
    fn written(&self, done: Result<(), NotDone>) -> Result<(), NotDone> {
        match &done {
            // While days wait, the writer tells when all of them can be written again.
            Ok(()) if self.backlog.len() > 0 => {}
            Ok(()) => self.watch.well(Exchange::Writing),
            Err(error) => self.watch.ill(Exchange::Writing, error),
        }
        done
    }

    /// Takes note of how a reading ended.
    fn read<T>(&self, read: Result<T, NotDone>) -> Result<T, NotDone> {
        match &read {
            Ok(_) => self.watch.well(Exchange::Reading),
            Err(error) => self.watch.ill(Exchange::Reading, error),
        }
        read
    }

    /// The day, as far as the archive can give it now.
    async fn find(&self, key: &DayKey) -> Found {
        if let Some(day) = self.backlog.get(key) {
            return Found::Day(day);
        }
        if self.watch.is_paused() {
            return Found::Nothing;
        }
        let _turn = self.readers.acquire().await;
        // While this one waited, others may have found that it fails.
        if self.watch.is_paused() {
            return Found::Nothing;
        }
        match self.read(self.shelves.read(key).await) {
            Ok(Some(file)) => self.open(key, file).await,
            Ok(None) | Err(_) => Found::Nothing,
        }
    }

    async fn open(&self, key: &DayKey, file: Bytes) -> Found {
        let directory = Arc::clone(self.directories.of(key.user_id_type));
        let wanted = key.clone();
        let decoding = tokio::task::spawn_blocking(move || parquet::decode(file, &wanted, &directory));
        // Parquet's reader may panic on nonsense.
        let decoded = decoding.await.unwrap_or_else(|panic| Err(Unreadable::damaged(panic)));
        match decoded {
            Ok(day) => {
                self.readings.add_one(Reading::Rows);
                Found::Day(Arc::new(day))
            }
            Err(error @ Unreadable::TooNew { .. }) => {
                tracing::warn!(%key, %error, "an archived day is of a later version; it comes from Feishu instead");
                Found::Foreign
            }
            Err(error @ Unreadable::Damaged { .. }) => {
                self.set_aside(key, &error).await;
                Found::Nothing
            }
        }
    }

    async fn set_aside(&self, key: &DayKey, why: &Unreadable) {
        self.watch.damaged();
        match self.shelves.set_aside(key).await {
            Ok(()) => tracing::error!(%key, %why, "an archived day is set aside and fetched anew"),
            // The day is fetched and written over it all the same.
            Err(error) => tracing::error!(%key, %why, %error, "an archived day is fetched anew"),
        }
    }

    /// The label of a listed file, read once for each content of it.
    async fn label(&self, key: DayKey, file: Listed) -> Option<Label> {
        let known = self.labels().get(&key).filter(|(known, _)| *known == file).map(|(_, label)| label.clone());
        if known.is_some() {
            return known;
        }
        let footer = self.shelves.read_footer(&key, &file).await;
        let footer = self.read(footer).ok().flatten()?;
        // A damaged one is set aside when its day is read.
        let label = parquet::read_label(&footer)
            .inspect_err(|error| tracing::warn!(%key, %error, "an archived day cannot be read"))
            .ok();
        let label = label.filter(|label| label.key == key)?;
        self.labels().insert(key, (file, label.clone()));
        Some(label)
    }

    fn labels(&self) -> std::sync::MutexGuard<'_, HashMap<DayKey, (Listed, Label)>> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes final days from the archive, and gives it those that come from below.
///
/// Only whole days are archived: what a single person or department was asked for is a part of one. And only final
/// ones: a provisional day is fetched again anyway, and readers of the lake must not have to tell them apart.
#[derive(Debug)]
pub struct Archived<S> {
    archive: Arc<Archive>,
    memory: Arc<Memory>,
    inner: S,
}

impl<S> Archived<S> {
    /// Looks into `archive` before it asks `inner`. What is final, `memory` knows: it has seen the neighbours.
    pub const fn new(archive: Arc<Archive>, memory: Arc<Memory>, inner: S) -> Self {
        Self { archive, memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Archived<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        if key.scope != Scope::Everyone {
            return self.inner.load(key, context).await;
        }
        let found = self.archive.find(key).await;
        if let Found::Day(day) = found {
            return Ok(day);
        }
        let day = self.inner.load(key, context).await?;
        if matches!(found, Found::Nothing) && self.memory.state(&*day) == State::Final {
            self.archive.keep(&day);
        }
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut missing = keys.to_vec();
        self.archive.strike_out_listed(&mut missing).await;
        if missing.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&missing).await }
    }
}
