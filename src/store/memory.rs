//! Days in memory: bounded by bytes, judged by their freshness at the moment they are asked for.
//!
//! The memory stands at two places of the read path. [`Recall`] answers from it before anything else happens;
//! [`Keep`] fills it below the single-flight, on the task that fetched, so that a day is kept even when everyone
//! who asked for it has left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use moka::{future::Cache, notification::RemovalCause, policy::EvictionPolicy};

use super::figures::Lookup;
use super::freshness::{Fetched, Policy, State};
use crate::{
    meter::{Count, Tally},
    model::{Clock, Day, DayKey, DayRange, Scope},
    source::{DaySource, Forecast, LoadContext, LoadError, Priority},
    table::Partition,
};

/// Days on either side of a day that its number of rows is compared with.
const NEIGHBOURHOOD: i32 = 7;

/// A refresh that failed is not tried again within this time, however often the day is asked for.
const RETRY_REFRESH: SignedDuration = SignedDuration::from_secs(60);

/// The days that are held in memory.
#[derive(Debug)]
pub struct Memory {
    days: Cache<DayKey, Arc<Partition>>,
    /// Rows by day of every series but those of single people, also of days that were evicted since.
    rows: RwLock<HashMap<DayKey, BTreeMap<Day, usize>>>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    pub(super) lookups: Tally<Lookup>,
    pub(super) evicted: Arc<Count>,
}

/// A day that is held, with its state as of now.
#[derive(Clone, Debug)]
pub struct Held {
    /// The day.
    pub day: Arc<Partition>,
    /// Whether it can still change.
    pub state: State,
    /// Whether it is provisional and due to be fetched anew.
    pub due: bool,
}

impl Memory {
    /// A memory of at most about `bytes` bytes of days. moka enforces that lazily: a burst may exceed it for a moment.
    #[must_use]
    pub fn new(bytes: u64, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let weigh = |_: &DayKey, day: &Arc<Partition>| u32::try_from(day.bytes()).unwrap_or(u32::MAX);
        // Least recently used, not moka's usual frequency: a day that was just fetched at a cost must not be turned
        // away because older days were asked for more often.
        let evicted = Arc::<Count>::default();
        let count = Arc::clone(&evicted);
        let days = Cache::builder()
            .max_capacity(bytes)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    count.add_one();
                }
            })
            .build();
        Self { days, rows: RwLock::default(), policy, clock, lookups: Tally::default(), evicted }
    }

    /// The day, where it is held.
    pub async fn held(&self, key: &DayKey) -> Option<Held> {
        let day = self.days.get(key).await?;
        let state = self.state(&day);
        let due = state == State::Provisional && self.policy.is_stale(day.fetched_at(), self.clock.now());
        Some(Held { day, state, due })
    }

    /// The state of a day, held or not, as of now.
    #[must_use]
    pub fn state(&self, day: &Partition) -> State {
        let key = day.key();
        let matter = self.policy.rows_matter(key.geo, key.day, day.fetched_at());
        let fetched = Fetched {
            at: day.fetched_at(),
            rows: day.rows(),
            doubtful: day.is_doubtful(),
            neighbours: matter.then(|| self.usual_rows(key)).flatten(),
        };
        self.policy.state(key.geo, key.day, &fetched, self.clock.now())
    }

    /// Drops a day of one geo and kind of id, whomever it is about.
    pub async fn forget(&self, day: &DayKey) {
        let same = |key: &DayKey| key.everyone() == day.everyone();
        let held: Vec<Arc<DayKey>> = self.days.iter().map(|(key, _)| key).filter(|key| same(key)).collect();
        for key in held {
            self.days.invalidate(&*key).await;
        }
        let mut counts = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (_, rows) in counts.iter_mut().filter(|(series, _)| same(&series.on(day.day))) {
            rows.remove(&day.day);
        }
    }

    /// Every day that is held, with its state as of now.
    pub(super) fn states(&self) -> impl Iterator<Item = State> {
        self.days.iter().map(|(_, day)| self.state(&day))
    }

    /// Bytes of the days that are held, and how many there may be.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.days.weighted_size(), self.days.policy().max_capacity().unwrap_or(u64::MAX))
    }

    /// Keeps a day. What is kept already gives way only to what was fetched later.
    async fn keep(&self, day: Arc<Partition>) {
        let key = day.key();
        self.count_rows(key, day.rows());
        let newer = |held: &Partition| held.fetched_at() > day.fetched_at();
        if !self.days.get(key).await.is_some_and(|held| newer(&held)) {
            self.days.insert(key.clone(), day).await;
        }
    }

    /// The day, no longer doubtful where what is held says the same.
    async fn confirmed(&self, day: Arc<Partition>) -> Arc<Partition> {
        if !day.is_doubtful() {
            return day;
        }
        let held = self.days.get(day.key()).await;
        if held.is_some_and(|held| held.hash() == day.hash()) { Arc::new(day.without_doubt()) } else { day }
    }

    fn count_rows(&self, key: &DayKey, rows: usize) {
        if matches!(key.scope, Scope::User(_)) {
            return;
        }
        let mut counts = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        counts.entry(series(key)).or_default().insert(key.day, rows);
    }

    /// The median of the rows of the days around a day.
    fn usual_rows(&self, key: &DayKey) -> Option<usize> {
        let around = DayRange::new(key.day.plus(-NEIGHBOURHOOD), key.day.plus(NEIGHBOURHOOD))?;
        let counts = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let near = counts.get(&series(key))?.range(around.first()..=around.last());
        let mut rows: Vec<usize> = near.filter(|(day, _)| **day != key.day).map(|(_, rows)| *rows).collect();
        rows.sort_unstable();
        rows.get(rows.len() / 2).copied()
    }
}

/// All days of one series share this key.
fn series(key: &DayKey) -> DayKey {
    key.on(Day::from_date(jiff::civil::Date::ZERO))
}

/// Answers from memory; what is not held is loaded from below.
#[derive(Debug)]
pub struct Recall<S> {
    memory: Arc<Memory>,
    inner: Arc<S>,
    /// When the refresh of a day was last begun, while it has not succeeded.
    refreshes: Arc<Mutex<HashMap<DayKey, Timestamp>>>,
}

impl<S> Recall<S> {
    /// Looks into `memory` before it asks `inner`.
    pub fn new(memory: Arc<Memory>, inner: Arc<S>) -> Self {
        Self { memory, inner, refreshes: Arc::default() }
    }
}

impl<S: DaySource> Recall<S> {
    /// Fetches a day anew behind the answer, unless that was tried a moment ago.
    fn refresh(&self, key: &DayKey, context: LoadContext) {
        let now = self.memory.clock.now();
        let mut refreshes = self.refreshes.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshes.get(key).is_some_and(|begun| now.duration_since(*begun) < RETRY_REFRESH) {
            return;
        }
        refreshes.insert(key.clone(), now);
        let (inner, key, refreshes) = (Arc::clone(&self.inner), key.clone(), Arc::clone(&self.refreshes));
        let context = LoadContext { priority: Priority::Background, ..context };
        tokio::spawn(async move {
            match inner.load(&key, context).await {
                Ok(_) => {
                    refreshes.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                }
                Err(error) => {
                    tracing::warn!(%key, %error, "a provisional day could not be fetched anew; it is served as it is");
                }
            }
        });
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Recall<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        let held = self.memory.held(key).await;
        self.memory.lookups.add_one(Lookup::of(held.as_ref()));
        let Some(held) = held else {
            return self.inner.load(key, context).await;
        };
        if held.due {
            self.refresh(key, context);
        }
        Ok(held.day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let mut unknown = Vec::new();
        for key in keys {
            if self.memory.held(key).await.is_none() {
                unknown.push(key.clone());
            }
        }
        if unknown.is_empty() { Forecast::NOTHING } else { self.inner.forecast(&unknown).await }
    }
}

/// Keeps what is loaded from below.
#[derive(Debug)]
pub struct Keep<S> {
    memory: Arc<Memory>,
    inner: S,
}

impl<S> Keep<S> {
    /// Puts what `inner` loads into `memory`.
    pub const fn new(memory: Arc<Memory>, inner: S) -> Self {
        Self { memory, inner }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Keep<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        // A flight may have landed between the caller's look into memory and the start of this one.
        if let Some(held) = self.memory.held(key).await.filter(|held| !held.due) {
            return Ok(held.day);
        }
        let day = self.memory.confirmed(self.inner.load(key, context).await?).await;
        self.memory.keep(Arc::clone(&day)).await;
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        self.inner.forecast(keys).await
    }
}
