//! Days in memory: bounded by bytes, judged by their freshness at the moment they are asked for.
//!
//! Each is held as rows and as a digest of a tenth of their size, with bounds of their own: a year of digests stays
//! when the rows do not, and most reports need no more. Months that were added up person by person are kept as well.
//!
//! Views of the days ([`Viewed`](super::Viewed)) are held beside the whole days, within the same bounds.
//!
//! The memory stands at two places of the read path. [`Recall`](super::Recall) answers from it before anything else happens;
//! [`Keep`](super::Keep) fills it below the single-flight, on the task that fetched, so that a day is kept even when everyone
//! who asked for it has left.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use moka::future::Cache;
use tokio::sync::Semaphore;

use super::figures::Lookup;
use super::freshness::{Fetched, Policy, State};
use super::lru::{Place, ViewNo, cache, drop_those};
use super::refresh::Refreshes;
use crate::{
    meter::{Count, Tally},
    model::{Clock, Day, DayKey, DayRange, Geo, Scope},
    report::{Digest, month::Month},
    source::LoadError,
    table::{Flag, Origin, Partition},
};

/// The share of the bytes that is kept for digests: one in so many.
const DIGESTS: u64 = 5;

/// The share of the bytes that is kept for months: one in so many.
const MONTHS: u64 = 20;

/// Days on either side of a day that its number of rows is compared with.
const NEIGHBOURHOOD: i32 = 7;

/// The days that are held in memory: the whole ones, or those of one view.
#[derive(Debug)]
pub struct Memory {
    pub(super) held: Arc<Everything>,
    view: ViewNo,
    refreshes: Arc<Refreshes>,
}

/// The number of what is no view: the whole days.
const WHOLE: ViewNo = 0;

/// Whole days and views of them, within one set of bounds.
#[derive(Debug)]
pub(super) struct Everything {
    pub(super) days: Cache<Place, Arc<Partition>>,
    digests: Cache<Place, Arc<Digest>>,
    /// By the first day.
    pub(super) months: Cache<Place, Arc<Month>>,
    /// What adds up months, one at a time: it takes a processor and the memory of a day or two.
    pub(super) hand: Semaphore,
    /// Rows by whole day of every series but those of single people, also of days that were evicted since.
    rows: RwLock<HashMap<DayKey, BTreeMap<Day, usize>>>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    /// Those of whole days.
    refreshes: Arc<Refreshes>,
    changes: AtomicU64,
    forgotten: AtomicU64,
    views: AtomicU32,
    lookups: Tally<Lookup>,
    evicted: Arc<Count>,
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
        let refreshes = Arc::<Refreshes>::default();
        let held = Everything {
            days: cache(bytes - digests - months, Partition::bytes, Some(&evicted)),
            digests: cache(digests, Digest::bytes, None),
            months: cache(months, Month::bytes, None),
            hand: Semaphore::new(1),
            rows: RwLock::default(),
            policy,
            clock,
            refreshes: Arc::clone(&refreshes),
            changes: AtomicU64::default(),
            forgotten: AtomicU64::default(),
            views: AtomicU32::new(WHOLE),
            lookups: Tally::default(),
            evicted,
        };
        Self { held: Arc::new(held), view: WHOLE, refreshes }
    }

    /// The memory of a view that is new: within the same bounds, and forgetful of a day when the whole day is forgotten.
    #[must_use]
    pub fn of_a_view(&self) -> Self {
        let view = self.held.views.fetch_add(1, Ordering::Relaxed) + 1;
        Self { held: Arc::clone(&self.held), view, refreshes: Arc::default() }
    }

    pub(super) fn place(&self, key: &DayKey) -> Place {
        (self.view, key.clone())
    }

    pub(super) const fn is_of_a_view(&self) -> bool {
        self.view != WHOLE
    }

    /// The day, where its rows are held.
    pub async fn held(&self, key: &DayKey) -> Option<Held> {
        self.held.days.get(&self.place(key)).await.map(|day| self.judged(day))
    }

    /// The day's digest, where it is held.
    pub async fn held_digest(&self, key: &DayKey) -> Option<Held<Digest>> {
        self.held.digests.get(&self.place(key)).await.map(|digest| self.judged(digest))
    }

    /// The day's digest and state, where it answers a question without anything being fetched.
    pub async fn fresh_digest(&self, key: &DayKey) -> Option<(Arc<Digest>, State)> {
        let held = self.held_digest(key).await.filter(|held| !held.due)?;
        self.held.lookups.add_one(Lookup::Hit);
        Some((held.day, held.state))
    }

    /// The digest of these rows, made where it is not held.
    ///
    /// # Errors
    /// [`LoadError::Abandoned`] where making it panics.
    pub async fn digest(&self, day: &Arc<Partition>) -> Result<Arc<Digest>, LoadError> {
        let held = self.held.digests.get(&self.place(day.key())).await;
        let same = held.filter(|digest| digest.fetched_at() == day.fetched_at() && digest.hash() == day.hash());
        if let Some(digest) = same {
            return Ok(digest);
        }
        let neighbour = self.neighbour(day.key()).await;
        let rows = Arc::clone(day);
        // A large day takes some ten milliseconds.
        let made = tokio::task::spawn_blocking(move || Arc::new(Digest::of(&rows, neighbour.as_deref()))).await;
        let digest = made.map_err(|_| LoadError::Abandoned)?;
        self.held.digests.insert(self.place(day.key()), Arc::clone(&digest)).await;
        self.held.changes.fetch_add(1, Ordering::Release);
        Ok(digest)
    }

    /// Keeps a digest whose rows are elsewhere, unless a later one is held.
    pub async fn keep_digest(&self, digest: &Arc<Digest>) {
        self.looked_up(None);
        self.count_rows(digest.key(), digest.rows());
        let held = self.held.digests.get(&self.place(digest.key())).await;
        if held.is_none_or(|held| held.fetched_at() <= digest.fetched_at()) {
            self.held.digests.insert(self.place(digest.key()), Arc::clone(digest)).await;
            self.held.changes.fetch_add(1, Ordering::Release);
        }
    }

    async fn neighbour(&self, key: &DayKey) -> Option<Arc<Digest>> {
        let digests = &self.held.digests;
        let before = digests.get(&self.place(&key.on(key.day.plus(-1)))).await;
        if before.is_some() { before } else { digests.get(&self.place(&key.on(key.day.next()))).await }
    }

    fn judged<D: Origin>(&self, day: Arc<D>) -> Held<D> {
        let state = self.state(&*day);
        let due = self.is_due(&*day, state);
        Held { day, state, due }
    }

    /// The digest of the newest day of everyone in a geo that has rows and is in such a state.
    pub fn newest(&self, geo: Geo, wanted: impl Fn(State) -> bool) -> Option<Arc<Digest>> {
        let of_everyone = |key: &DayKey| key.geo == geo && key.scope == Scope::Everyone;
        let days = self
            .held
            .digests
            .iter()
            .filter(|(place, day)| place.0 == self.view && of_everyone(&place.1) && day.rows() > 0);
        days.map(|(_, day)| day).filter(|day| wanted(self.state(&**day))).max_by_key(|day| day.key().day)
    }

    /// Whether a day in that state is to be fetched anew.
    #[must_use]
    pub fn is_due(&self, day: &impl Origin, state: State) -> bool {
        state == State::Provisional && self.held.policy.is_stale(day.fetched_at(), self.now())
    }

    /// Whether the day was to be fetched anew, and that failed; for a view too it is the whole day that is fetched.
    #[must_use]
    pub fn failed_to_refresh(&self, day: &impl Origin) -> bool {
        self.held.refreshes.has_failed(day.key())
    }

    /// The refreshes of provisional days.
    pub(super) fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    /// The present time.
    pub(super) fn now(&self) -> Timestamp {
        self.held.clock.now()
    }

    /// When a provisional day is due to be fetched anew.
    #[must_use]
    pub fn due_at(&self, day: &impl Origin) -> Timestamp {
        day.fetched_at() + self.held.policy.refresh
    }

    /// Which data answers are made of: another number whenever a day comes, changes or goes.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let number = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Generation { changes: number(&self.held.changes), forgotten: number(&self.held.forgotten) }
    }

    /// The state of a day, held or not, as of now. That of a view is the state of the whole day.
    #[must_use]
    pub fn state(&self, day: &impl Origin) -> State {
        let (key, policy) = (day.key(), &self.held.policy);
        let matter = policy.rows_matter(key.geo, key.day, day.fetched_at());
        let whole = (self.is_of_a_view() && matter).then(|| self.rows_of(key)).flatten();
        let fetched = Fetched {
            at: day.fetched_at(),
            rows: whole.unwrap_or(day.rows()),
            doubtful: day.is_doubtful(),
            neighbours: matter.then(|| self.usual_rows(key)).flatten(),
        };
        policy.state(key.geo, key.day, &fetched, self.now())
    }

    /// Drops a day of one geo and kind of id, whomever it is about, and all views of it.
    pub async fn forget(&self, day: &DayKey) {
        let same = |key: &DayKey| key.everyone() == day.everyone();
        let same_month =
            |key: &DayKey| key.on(day.day).everyone() == day.everyone() && key.day.month() == day.day.month();
        drop_those(&self.held.days, same).await;
        drop_those(&self.held.digests, same).await;
        drop_those(&self.held.months, same_month).await;
        self.held.forgotten.fetch_add(1, Ordering::Release);
        let mut counts = self.held.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (_, rows) in counts.iter_mut().filter(|(series, _)| same(&series.on(day.day))) {
            rows.remove(&day.day);
        }
    }

    /// The state as of now of every day of this memory.
    pub(super) fn states(&self) -> impl Iterator<Item = State> {
        let own = self.held.days.iter().filter(|(place, _)| place.0 == self.view);
        own.map(|(_, day)| self.state(&*day))
    }

    /// Counts a look into memory. What a view lacks is looked for in the whole day, and counted there.
    pub(super) fn looked_up(&self, found: Option<&Held>) {
        if found.is_some() || !self.is_of_a_view() {
            self.held.lookups.add_one(Lookup::of(found));
        }
    }

    /// What looks into memory found.
    pub(super) fn lookups(&self) -> &Tally<Lookup> {
        &self.held.lookups
    }

    /// How many days had to leave for others.
    pub(super) fn evicted(&self) -> u64 {
        self.held.evicted.get()
    }

    /// Bytes of the days that are held, as rows, as digests and added up by month, and how many there may be.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let Everything { days, digests, months, .. } = &*self.held;
        let held = days.weighted_size() + digests.weighted_size() + months.weighted_size();
        let policies = [days.policy(), digests.policy(), months.policy()];
        (held, policies.iter().filter_map(moka::Policy::max_capacity).sum())
    }

    /// Keeps a day and its digest. What is kept already gives way only to what was fetched later.
    pub(super) async fn keep(&self, day: Arc<Partition>) {
        let key = day.key();
        self.count_rows(key, day.rows());
        let newer = |held: &Partition| held.fetched_at() > day.fetched_at();
        if self.held.days.get(&self.place(key)).await.is_some_and(|held| newer(&held)) {
            return;
        }
        let before = self.held.digests.get(&self.place(key)).await;
        // Of a view nobody need be told: it is the whole day that has changed.
        let before = before.filter(|before| before.hash() != day.hash() && !self.is_of_a_view());
        // One person's day is as small as its digest would be, and reports on him read it.
        if !matches!(key.scope, Scope::User(_))
            && let Err(error) = self.digest(&day).await
        {
            tracing::error!(%key, %error, "a day could not be digested; it is tried again when it is asked for");
        }
        if let Some(before) = before
            && let Some(after) = self.held.digests.get(&self.place(key)).await
        {
            tell_change(&before, &after);
        }
        self.held.days.insert(self.place(key), Arc::clone(&day)).await;
        self.held.changes.fetch_add(1, Ordering::Release);
        // moka would weigh and evict at its leisure, and a burst of days exceed the bound meanwhile.
        self.held.days.run_pending_tasks().await;
    }

    /// The day, no longer doubtful where what is held says the same. Two views of one doubtful day prove nothing.
    pub(super) async fn confirmed(&self, day: Arc<Partition>) -> Arc<Partition> {
        if !day.is_doubtful() || self.is_of_a_view() {
            return day;
        }
        let held = self.held.days.get(&self.place(day.key())).await;
        if held.is_some_and(|held| held.hash() == day.hash()) { Arc::new(day.without_doubt()) } else { day }
    }

    fn count_rows(&self, key: &DayKey, rows: usize) {
        if matches!(key.scope, Scope::User(_)) || self.is_of_a_view() {
            return;
        }
        let mut counts = self.held.rows.write().unwrap_or_else(PoisonError::into_inner);
        counts.entry(series(key)).or_default().insert(key.day, rows);
    }

    /// The rows of a whole day, held or not.
    fn rows_of(&self, key: &DayKey) -> Option<usize> {
        let counts = self.held.rows.read().unwrap_or_else(PoisonError::into_inner);
        counts.get(&series(key))?.get(&key.day).copied()
    }

    /// The median of the rows of the days around a day.
    fn usual_rows(&self, key: &DayKey) -> Option<usize> {
        let around = DayRange::new(key.day.plus(-NEIGHBOURHOOD), key.day.plus(NEIGHBOURHOOD))?;
        let counts = self.held.rows.read().unwrap_or_else(PoisonError::into_inner);
        let near = counts.get(&series(key))?.range(around.first()..=around.last());
        let mut rows: Vec<usize> = near.filter(|(day, _)| **day != key.day).map(|(_, rows)| *rows).collect();
        rows.sort_unstable();
        rows.get(rows.len() / 2).copied()
    }
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

/// All days of one series share this key.
fn series(key: &DayKey) -> DayKey {
    key.on(Day::from_date(jiff::civil::Date::ZERO))
}
