//! Days in memory: bounded by bytes, judged by their freshness at the moment they are asked for.
//!
//! Each is held as rows and as a digest of a tenth of their size, with bounds of their own: a year of digests stays
//! when the rows do not, and most reports need no more. Months that were added up person by person are kept as well.
//!
//! The memory stands at two places of the read path. [`Recall`](super::Recall) answers from it before anything else happens;
//! [`Keep`] fills it below the single-flight, on the task that fetched, so that a day is kept even when everyone
//! who asked for it has left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use moka::{future::Cache, notification::RemovalCause, policy::EvictionPolicy};

use super::{
    figures::Lookup,
    freshness::{Fetched, Policy, State},
    months::Months,
    refresh::Refreshes,
};
use crate::{
    meter::{Count, Tally},
    model::{Clock, Day, DayKey, DayRange, Geo, Scope},
    report::Digest,
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{Flag, Origin, Partition},
};

/// The share of the bytes that is kept for digests: one in so many.
const DIGESTS: u64 = 5;

/// The share of the bytes that is kept for months: one in so many.
const MONTHS: u64 = 20;

/// Days on either side of a day that its number of rows is compared with.
const NEIGHBOURHOOD: i32 = 7;

/// The days that are held in memory.
#[derive(Debug)]
pub struct Memory {
    pub(super) days: Cache<DayKey, Arc<Partition>>,
    digests: Cache<DayKey, Arc<Digest>>,
    pub(super) months: Months,
    /// Rows by day of every series but those of single people, also of days that were evicted since.
    rows: RwLock<HashMap<DayKey, BTreeMap<Day, usize>>>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    refreshes: Refreshes,
    changes: AtomicU64,
    forgotten: AtomicU64,
    pub(super) lookups: Tally<Lookup>,
    pub(super) evicted: Arc<Count>,
}

/// A day that is held, as rows or as a digest, with its state as of now.
#[derive(Clone, Debug)]
pub struct Held<D = Partition> {
    /// The day.
    pub day: Arc<D>,
    /// Whether it can still change.
    pub state: State,
    /// Whether it is provisional and due to be fetched anew.
    pub due: bool,
}

/// Tells the data that is held at one time from that held at another. A number never comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Days that came or changed so far.
    pub changes: u64,
    /// Days that were forgotten so far: the only way in which a final day can change.
    pub forgotten: u64,
}

impl Memory {
    /// A memory of at most about `bytes` bytes of days.
    #[must_use]
    pub fn new(bytes: u64, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let evicted = Arc::<Count>::default();
        let (digests, months) = (bytes / DIGESTS, bytes / MONTHS);
        Self {
            days: cache(bytes - digests - months, Partition::bytes, Some(&evicted)),
            digests: cache(digests, Digest::bytes, None),
            months: Months::new(months),
            rows: RwLock::default(),
            policy,
            clock,
            refreshes: Refreshes::default(),
            changes: AtomicU64::default(),
            forgotten: AtomicU64::default(),
            lookups: Tally::default(),
            evicted,
        }
    }

    /// The day, where its rows are held.
    pub async fn held(&self, key: &DayKey) -> Option<Held> {
        self.days.get(key).await.map(|day| self.judged(day))
    }

    /// The day's digest, where it is held.
    pub async fn held_digest(&self, key: &DayKey) -> Option<Held<Digest>> {
        self.digests.get(key).await.map(|digest| self.judged(digest))
    }

    /// The day's digest, where it answers a question without anything being fetched.
    pub async fn fresh_digest(&self, key: &DayKey) -> Option<Arc<Digest>> {
        let held = self.held_digest(key).await.filter(|held| !held.due)?;
        self.lookups.add_one(Lookup::Hit);
        Some(held.day)
    }

    /// The digest of these rows, made where it is not held.
    ///
    /// # Errors
    /// [`LoadError::Abandoned`] where making it panics.
    pub async fn digest(&self, day: &Arc<Partition>) -> Result<Arc<Digest>, LoadError> {
        let held = self.digests.get(day.key()).await;
        let same = held.filter(|digest| digest.fetched_at() == day.fetched_at() && digest.hash() == day.hash());
        if let Some(digest) = same {
            return Ok(digest);
        }
        let neighbour = self.neighbour(day.key()).await;
        let rows = Arc::clone(day);
        // A large day takes some ten milliseconds.
        let made = tokio::task::spawn_blocking(move || Arc::new(Digest::of(&rows, neighbour.as_deref()))).await;
        let digest = made.map_err(|_| LoadError::Abandoned)?;
        self.digests.insert(day.key().clone(), Arc::clone(&digest)).await;
        self.changes.fetch_add(1, Ordering::Release);
        Ok(digest)
    }

    /// Keeps a digest whose rows are elsewhere, unless a later one is held.
    pub async fn keep_digest(&self, digest: &Arc<Digest>) {
        self.lookups.add_one(Lookup::Miss);
        self.count_rows(digest.key(), digest.rows());
        let held = self.digests.get(digest.key()).await;
        if held.is_none_or(|held| held.fetched_at() <= digest.fetched_at()) {
            self.digests.insert(digest.key().clone(), Arc::clone(digest)).await;
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    async fn neighbour(&self, key: &DayKey) -> Option<Arc<Digest>> {
        let before = self.digests.get(&key.on(key.day.plus(-1))).await;
        if before.is_some() { before } else { self.digests.get(&key.on(key.day.next())).await }
    }

    fn judged<D: Origin>(&self, day: Arc<D>) -> Held<D> {
        let state = self.state(&*day);
        let due = self.is_due(&*day, state);
        Held { day, state, due }
    }

    /// The digest of the newest day of everyone in a geo that has rows and is in such a state.
    pub fn newest(&self, geo: Geo, wanted: impl Fn(State) -> bool) -> Option<Arc<Digest>> {
        let of_everyone = |key: &DayKey| key.geo == geo && key.scope == Scope::Everyone;
        let days = self.digests.iter().filter(|(key, day)| of_everyone(key) && day.rows() > 0);
        days.map(|(_, day)| day).filter(|day| wanted(self.state(&**day))).max_by_key(|day| day.key().day)
    }

    /// Whether a day in that state is to be fetched anew.
    #[must_use]
    pub fn is_due(&self, day: &impl Origin, state: State) -> bool {
        state == State::Provisional && self.policy.is_stale(day.fetched_at(), self.clock.now())
    }

    /// Whether the day was to be fetched anew, and that failed.
    #[must_use]
    pub fn failed_to_refresh(&self, day: &impl Origin) -> bool {
        self.refreshes.has_failed(day.key())
    }

    /// The refreshes of provisional days.
    pub(super) const fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    /// The present time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When a provisional day is due to be fetched anew.
    #[must_use]
    pub fn due_at(&self, day: &impl Origin) -> Timestamp {
        day.fetched_at() + self.policy.refresh
    }

    /// Which data answers are made of: another number whenever a day comes, changes or goes.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let number = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Generation { changes: number(&self.changes), forgotten: number(&self.forgotten) }
    }

    /// The state of a day, held or not, as of now.
    #[must_use]
    pub fn state(&self, day: &impl Origin) -> State {
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
        drop_those(&self.days, same).await;
        drop_those(&self.digests, same).await;
        self.months.forget(day).await;
        self.forgotten.fetch_add(1, Ordering::Release);
        let mut counts = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (_, rows) in counts.iter_mut().filter(|(series, _)| same(&series.on(day.day))) {
            rows.remove(&day.day);
        }
    }

    /// Every day that is held, with its state as of now.
    pub(super) fn states(&self) -> impl Iterator<Item = State> {
        self.days.iter().map(|(_, day)| self.state(&*day))
    }

    /// Bytes of the days that are held, and how many there may be.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.days.weighted_size(), self.days.policy().max_capacity().unwrap_or(u64::MAX))
    }

    /// Keeps a day and its digest. What is kept already gives way only to what was fetched later.
    async fn keep(&self, day: Arc<Partition>) {
        let key = day.key();
        self.count_rows(key, day.rows());
        let newer = |held: &Partition| held.fetched_at() > day.fetched_at();
        if self.days.get(key).await.is_some_and(|held| newer(&held)) {
            return;
        }
        let before = self.digests.get(key).await.filter(|before| before.hash() != day.hash());
        // One person's day is as small as its digest would be, and reports on him read it.
        if !matches!(key.scope, Scope::User(_))
            && let Err(error) = self.digest(&day).await
        {
            tracing::error!(%key, %error, "a day could not be digested; it is tried again when it is asked for");
        }
        if let Some(before) = before
            && let Some(after) = self.digests.get(key).await
        {
            tell_change(&before, &after);
        }
        self.days.insert(key.clone(), day).await;
        self.changes.fetch_add(1, Ordering::Release);
        // moka would weigh and evict at its leisure, and a burst of days exceed the bound meanwhile.
        self.days.run_pending_tasks().await;
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

/// Least recently used, not moka's usual frequency: a day that was just fetched at a cost must not be turned away
/// because older days were asked for more often.
///
/// Days that give way to others are counted by `evicted`.
pub(super) fn cache<D: Send + Sync + 'static>(
    bytes: u64,
    of: fn(&D) -> usize,
    evicted: Option<&Arc<Count>>,
) -> Cache<DayKey, Arc<D>> {
    let weigh = move |_: &DayKey, day: &Arc<D>| u32::try_from(of(day)).unwrap_or(u32::MAX);
    let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru());
    let Some(count) = evicted.map(Arc::clone) else { return cache.build() };
    let listen = move |_: Arc<DayKey>, _: Arc<D>, cause: RemovalCause| {
        if cause == RemovalCause::Size {
            count.add_one();
        }
    };
    cache.eviction_listener(listen).build()
}

/// Late data: what a day said before and says now, in counts. Whatever was made of the day is made anew.
fn tell_change(before: &Digest, after: &Digest) {
    let active = |digest: &Digest| digest.whole().sums.flag(Flag::Active);
    tracing::info!(
        key = %after.key(),
        rows_before = before.rows(),
        rows = after.rows(),
        active_before = active(before),
        active = active(after),
        "a day has changed since it was last fetched"
    );
}

pub(super) async fn drop_those<D: Send + Sync + 'static>(
    cache: &Cache<DayKey, Arc<D>>,
    which: impl Fn(&DayKey) -> bool,
) {
    let held: Vec<Arc<DayKey>> = cache.iter().map(|(key, _)| key).filter(|key| which(key)).collect();
    for key in held {
        cache.invalidate(&*key).await;
    }
}

/// All days of one series share this key.
fn series(key: &DayKey) -> DayKey {
    key.on(Day::from_date(jiff::civil::Date::ZERO))
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
        self.memory.add_up_behind(day.key());
        Ok(day)
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        self.inner.forecast(keys).await
    }
}
