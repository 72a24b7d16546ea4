//! Memory cache of days, bounded by bytes. The freshness of a day is computed at each lookup.
//!
//! A day is cached as rows and as a digest, which is about a tenth as large. Each has a limit of its own, so a year of
//! digests stays cached when the rows do not fit; most reports need only digests. Monthly roll-ups are cached as well.
//!
//! Filtered days ([`FilteredView`](super::FilteredView)) share the limits with the unfiltered days.
//!
//! Two layers of the read path use this cache: [`ReadCache`](super::ReadCache) reads from it, and
//! [`FillCache`](super::FillCache) writes to it below the single-flight layer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use moka::future::Cache;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::cached_day::{CacheGeneration, CacheLookup, CachedDay};
use super::freshness::{DayState, FetchInfo, FreshnessPolicy};
use super::lru::{CacheKey, ViewId, lru_cache, remove_matching};
use super::refresh_tracker::RefreshTracker;
use crate::{
    model::{Clock, DataScope, Day, DayKey, DayRange, Geo},
    prometheus::{CounterVec, MetricCounter},
    report::{DayDigest, monthly_rollup::MonthlyRollup},
    source::LoadError,
    table::{DayMetadata, DayTable, Flag},
};

/// Digests get one fifth of the memory.
const DIGEST_SHARE_DIVISOR: u64 = 5;

/// Monthly roll-ups get one twentieth of the memory.
const MONTHLY_ROLLUP_SHARE_DIVISOR: u64 = 20;

/// The row count of a day is compared with those of this many days before and after it.
const NEIGHBOUR_DAYS: i32 = 7;

/// The cached days: the unfiltered ones, or those of one view.
#[derive(Debug)]
pub struct Memory {
    pub(super) shared: Arc<SharedCaches>,
    view: ViewId,
    refreshes: Arc<RefreshTracker>,
}

/// Bytes in use and the limit of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemorySize {
    pub(super) used_bytes: u64,
    pub(super) max_bytes: u64,
}

/// The id of the unfiltered days.
const UNFILTERED: ViewId = 0;

/// The caches that the unfiltered days and all views share.
#[derive(Debug)]
pub(super) struct SharedCaches {
    pub(super) days: Cache<CacheKey, Arc<DayTable>>,
    digests: Cache<CacheKey, Arc<DayDigest>>,
    /// By the first day of the month.
    pub(super) monthly_rollups: Cache<CacheKey, Arc<MonthlyRollup>>,
    /// Lets one monthly roll-up be computed at a time. Each uses one CPU and the memory of one or two days.
    pub(super) rollup_permit: Semaphore,
    /// Row counts of whole days by series, including days that have been evicted. Single people's days are not counted.
    row_counts: RwLock<HashMap<DayKey, BTreeMap<Day, usize>>>,
    policy: FreshnessPolicy,
    clock: Arc<dyn Clock>,
    /// Refreshes of the unfiltered days.
    refreshes: Arc<RefreshTracker>,
    changes: AtomicU64,
    removals: AtomicU64,
    last_view: AtomicU32,
    lookups: CounterVec<CacheLookup>,
    evictions: Arc<MetricCounter>,
}

impl Memory {
    /// A cache of at most about `bytes` bytes.
    #[must_use]
    pub fn new(bytes: u64, policy: FreshnessPolicy, clock: Arc<dyn Clock>) -> Self {
        let evicted = Arc::<MetricCounter>::default();
        let (digests, months) = (bytes / DIGEST_SHARE_DIVISOR, bytes / MONTHLY_ROLLUP_SHARE_DIVISOR);
        let refreshes = Arc::<RefreshTracker>::default();
        let shared = SharedCaches {
            days: lru_cache(bytes - digests - months, DayTable::memory_bytes, Some(&evicted)),
            digests: lru_cache(digests, DayDigest::memory_bytes, None),
            monthly_rollups: lru_cache(months, MonthlyRollup::memory_bytes, None),
            rollup_permit: Semaphore::new(1),
            row_counts: RwLock::default(),
            policy,
            clock,
            refreshes: Arc::clone(&refreshes),
            changes: AtomicU64::default(),
            removals: AtomicU64::default(),
            last_view: AtomicU32::new(UNFILTERED),
            lookups: CounterVec::default(),
            evictions: evicted,
        };
        Self { shared: Arc::new(shared), view: UNFILTERED, refreshes }
    }

    /// The cache of a new view. It shares the limits, and removing an unfiltered day removes the filtered day too.
    #[must_use]
    pub fn for_new_view(&self) -> Self {
        let view = self.shared.last_view.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared: Arc::clone(&self.shared), view, refreshes: Arc::default() }
    }

    pub(super) fn cache_key(&self, key: &DayKey) -> CacheKey {
        CacheKey { view: self.view, day: key.clone() }
    }

    pub(super) const fn is_view(&self) -> bool {
        self.view != UNFILTERED
    }

    /// The rows of a day, if they are cached.
    pub async fn get(&self, key: &DayKey) -> Option<CachedDay> {
        self.shared.days.get(&self.cache_key(key)).await.map(|day| self.with_state(day))
    }

    /// The digest of a day, if it is cached.
    pub async fn get_digest(&self, key: &DayKey) -> Option<CachedDay<DayDigest>> {
        self.shared.digests.get(&self.cache_key(key)).await.map(|digest| self.with_state(digest))
    }

    /// The digest and state of a day, if the digest is cached and not due for a refresh.
    pub async fn get_fresh_digest(&self, key: &DayKey) -> Option<(Arc<DayDigest>, DayState)> {
        let cached = self.get_digest(key).await.filter(|cached| !cached.refresh_due)?;
        self.shared.lookups.increment(CacheLookup::Hit);
        Some((cached.day, cached.state))
    }

    /// The digest of these rows, computed if it is not cached.
    ///
    /// # Errors
    /// [`LoadError::Abandoned`] if the computation panics.
    pub async fn get_or_compute_digest(&self, day: &Arc<DayTable>) -> Result<Arc<DayDigest>, LoadError> {
        let cached = self.shared.digests.get(&self.cache_key(day.key())).await;
        let same = cached.filter(|digest| digest.fetched_at() == day.fetched_at() && digest.hash() == day.hash());
        if let Some(digest) = same {
            return Ok(digest);
        }
        let neighbour = self.neighbour_digest(day.key()).await;
        let rows = Arc::clone(day);
        // A large day takes about 10 ms.
        let computed =
            tokio::task::spawn_blocking(move || Arc::new(DayDigest::from_day(&rows, neighbour.as_deref()))).await;
        let digest = computed.map_err(|_| LoadError::Abandoned)?;
        self.shared.digests.insert(self.cache_key(day.key()), Arc::clone(&digest)).await;
        self.shared.changes.fetch_add(1, Ordering::Release);
        Ok(digest)
    }

    /// Stores a digest whose rows are not in memory, unless a later one is cached.
    pub async fn insert_digest(&self, digest: &Arc<DayDigest>) {
        self.record_lookup(None);
        self.record_row_count(digest.key(), digest.row_count());
        let cached = self.shared.digests.get(&self.cache_key(digest.key())).await;
        if cached.is_none_or(|cached| cached.fetched_at() <= digest.fetched_at()) {
            self.shared.digests.insert(self.cache_key(digest.key()), Arc::clone(digest)).await;
            self.shared.changes.fetch_add(1, Ordering::Release);
        }
    }

    async fn neighbour_digest(&self, key: &DayKey) -> Option<Arc<DayDigest>> {
        let digests = &self.shared.digests;
        let before = digests.get(&self.cache_key(&key.with_day(key.day.plus(-1)))).await;
        if before.is_some() { before } else { digests.get(&self.cache_key(&key.with_day(key.day.next()))).await }
    }

    fn with_state<D: DayMetadata>(&self, day: Arc<D>) -> CachedDay<D> {
        let state = self.state(&*day);
        let refresh_due = self.is_refresh_due(&*day, state);
        CachedDay { day, state, refresh_due }
    }

    /// The digest of the newest day of everyone in a geo that has rows and whose state satisfies `wanted`.
    pub fn newest_day(&self, geo: Geo, wanted: impl Fn(DayState) -> bool) -> Option<Arc<DayDigest>> {
        let of_everyone = |key: &DayKey| key.geo == geo && key.scope == DataScope::Everyone;
        let days = self
            .shared
            .digests
            .iter()
            .filter(|(key, day)| key.view == self.view && of_everyone(&key.day) && day.row_count() > 0);
        days.map(|(_, day)| day).filter(|day| wanted(self.state(&**day))).max_by_key(|day| day.key().day)
    }

    /// Whether a day with that state is due for a refresh.
    #[must_use]
    pub fn is_refresh_due(&self, day: &impl DayMetadata, state: DayState) -> bool {
        state == DayState::Provisional && self.shared.policy.is_stale(day.fetched_at(), self.now())
    }

    /// Whether the last refresh of the day failed. For a filtered day, the refresh of the unfiltered day counts.
    #[must_use]
    pub fn refresh_failed(&self, day: &impl DayMetadata) -> bool {
        self.shared.refreshes.has_failed(day.key())
    }

    /// Tracks the refreshes of provisional days.
    pub(super) fn refreshes(&self) -> &RefreshTracker {
        &self.refreshes
    }

    /// The present time.
    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// When a provisional day is due for a refresh.
    #[must_use]
    pub fn refresh_due_at(&self, day: &impl DayMetadata) -> Timestamp {
        day.fetched_at() + self.shared.policy.refresh_interval
    }

    /// The generation of the cached data. It changes whenever a day is added, replaced or removed.
    #[must_use]
    pub fn generation(&self) -> CacheGeneration {
        let number = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        CacheGeneration { changes: number(&self.shared.changes), removals: number(&self.shared.removals) }
    }

    /// The present state of a day, cached or not. A filtered day has the state of the unfiltered day.
    #[must_use]
    pub fn state(&self, day: &impl DayMetadata) -> DayState {
        let (key, policy) = (day.key(), &self.shared.policy);
        let depends_on_rows = policy.depends_on_rows(key.geo, key.day, day.fetched_at());
        let unfiltered_rows = (self.is_view() && depends_on_rows).then(|| self.row_count(key)).flatten();
        let fetched = FetchInfo {
            at: day.fetched_at(),
            rows: unfiltered_rows.unwrap_or(day.row_count()),
            doubtful: day.is_doubtful(),
            usual_rows: depends_on_rows.then(|| self.median_neighbour_rows(key)).flatten(),
        };
        policy.state(key.geo, key.day, &fetched, self.now())
    }

    /// Removes a day of one geo and id type in all scopes and views.
    pub async fn remove(&self, day: &DayKey) {
        let same = |key: &DayKey| key.everyone() == day.everyone();
        let same_month =
            |key: &DayKey| key.with_day(day.day).everyone() == day.everyone() && key.day.month() == day.day.month();
        remove_matching(&self.shared.days, same).await;
        remove_matching(&self.shared.digests, same).await;
        remove_matching(&self.shared.monthly_rollups, same_month).await;
        self.shared.removals.fetch_add(1, Ordering::Release);
        let mut counts = self.shared.row_counts.write();
        for (_, rows) in counts.iter_mut().filter(|(series, _)| same(&series.with_day(day.day))) {
            rows.remove(&day.day);
        }
    }

    /// The present state of every day that is cached for this view.
    pub(super) fn states(&self) -> impl Iterator<Item = DayState> {
        let own = self.shared.days.iter().filter(|(key, _)| key.view == self.view);
        own.map(|(_, day)| self.state(&*day))
    }

    /// Counts a lookup. A miss of a view is not counted, because the lookup of the unfiltered day that follows counts.
    pub(super) fn record_lookup(&self, found: Option<&CachedDay>) {
        if found.is_some() || !self.is_view() {
            self.shared.lookups.increment(CacheLookup::of(found));
        }
    }

    /// Numbers of lookups by outcome.
    pub(super) fn lookups(&self) -> &CounterVec<CacheLookup> {
        &self.shared.lookups
    }

    /// Number of days that were evicted to make room.
    pub(super) fn evictions(&self) -> u64 {
        self.shared.evictions.get()
    }

    /// Bytes in use and the limit, over rows, digests and monthly roll-ups.
    pub(super) fn size(&self) -> MemorySize {
        let SharedCaches { days, digests, monthly_rollups: months, .. } = &*self.shared;
        let used_bytes = days.weighted_size() + digests.weighted_size() + months.weighted_size();
        let policies = [days.policy(), digests.policy(), months.policy()];
        MemorySize { used_bytes, max_bytes: policies.iter().filter_map(moka::Policy::max_capacity).sum() }
    }

    /// Stores a day and its digest. An older fetch never replaces a newer one.
    pub(super) async fn insert(&self, day: Arc<DayTable>) {
        let key = day.key();
        self.record_row_count(key, day.row_count());
        let newer = |cached: &DayTable| cached.fetched_at() > day.fetched_at();
        if self.shared.days.get(&self.cache_key(key)).await.is_some_and(|cached| newer(&cached)) {
            return;
        }
        let before = self.shared.digests.get(&self.cache_key(key)).await;
        // A change of a filtered day is not logged: the change of the unfiltered day is logged.
        let before = before.filter(|before| before.hash() != day.hash() && !self.is_view());
        // The day of one person gets no digest: its rows are as small, and reports on one person read rows.
        if !matches!(key.scope, DataScope::User(_))
            && let Err(error) = self.get_or_compute_digest(&day).await
        {
            tracing::error!(%key, %error, "the digest of a day could not be computed; the next request tries again");
        }
        if let Some(before) = before
            && let Some(after) = self.shared.digests.get(&self.cache_key(key)).await
        {
            log_change(&before, &after);
        }
        self.shared.days.insert(self.cache_key(key), Arc::clone(&day)).await;
        self.shared.changes.fetch_add(1, Ordering::Release);
        // moka evicts later, so a burst of days could exceed the limit until then.
        self.shared.days.run_pending_tasks().await;
    }

    /// Clears the truncation mark of a day if the cached fetch has the same rows. Filtered days are left as they are:
    /// two views of one fetch are not two fetches.
    pub(super) async fn confirm(&self, day: Arc<DayTable>) -> Arc<DayTable> {
        if !day.is_doubtful() || self.is_view() {
            return day;
        }
        let cached = self.shared.days.get(&self.cache_key(day.key())).await;
        if cached.is_some_and(|cached| cached.hash() == day.hash()) { Arc::new(day.marked_complete()) } else { day }
    }

    fn record_row_count(&self, key: &DayKey, rows: usize) {
        if matches!(key.scope, DataScope::User(_)) || self.is_view() {
            return;
        }
        let mut counts = self.shared.row_counts.write();
        counts.entry(series_key(key)).or_default().insert(key.day, rows);
    }

    /// The row count of an unfiltered day, cached or not.
    fn row_count(&self, key: &DayKey) -> Option<usize> {
        let counts = self.shared.row_counts.read();
        counts.get(&series_key(key))?.get(&key.day).copied()
    }

    /// The median row count of the days around a day.
    fn median_neighbour_rows(&self, key: &DayKey) -> Option<usize> {
        let around = DayRange::new(key.day.plus(-NEIGHBOUR_DAYS), key.day.plus(NEIGHBOUR_DAYS))?;
        let counts = self.shared.row_counts.read();
        let near = counts.get(&series_key(key))?.range(around.first()..=around.last());
        let mut rows: Vec<usize> = near.filter(|(day, _)| **day != key.day).map(|(_, rows)| *rows).collect();
        rows.sort_unstable();
        rows.get(rows.len() / 2).copied()
    }
}

/// Logs that a day changed between two fetches, as counts before and after.
fn log_change(before: &DayDigest, after: &DayDigest) {
    let active = |digest: &DayDigest| digest.figures().sums.rows_with(Flag::Active);
    tracing::info!(
        key = %after.key(),
        rows_before = before.row_count(),
        rows = after.row_count(),
        active_before = active(before),
        active = active(after),
        "a day has changed since its last fetch"
    );
}

/// The key that all days of one series share.
fn series_key(key: &DayKey) -> DayKey {
    key.with_day(Day::from_date(jiff::civil::Date::ZERO))
}
