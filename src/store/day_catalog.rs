//! Day catalog: what is known about all days beside their contents. It decides the status of a day.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use parking_lot::RwLock;

use super::{
    freshness::{DayState, FetchInfo, FreshnessPolicy},
    lru::ViewId,
    refresh_tracker::RefreshTracker,
};
use crate::{
    model::{Clock, DataScope, Day, DayKey, DayRange},
    table::DayMetadata,
};

/// The row count of a day is compared with those of this many days before and after it.
const NEIGHBOUR_DAYS: i32 = 7;

/// The id of the whole days, which no view filters.
const UNFILTERED: ViewId = 0;

/// The catalog of the whole days, or of the days of one view. Clones share the contents.
///
/// The status of a day depends on the row counts of its neighbours, so it changes when these are loaded. Ask for it
/// when all days of a query are loaded.
#[derive(Clone, Debug)]
pub struct DayCatalog {
    shared: Arc<CatalogContents>,
    view: ViewId,
    /// The refreshes of this view.
    refreshes: Arc<RefreshTracker>,
}

/// What the catalogs of the whole days and of all views share.
#[derive(Debug)]
struct CatalogContents {
    policy: FreshnessPolicy,
    clock: Arc<dyn Clock>,
    /// Row counts of whole days by series, including days that have been evicted. Single people's days are not counted.
    row_counts: RwLock<HashMap<DayKey, BTreeMap<Day, usize>>>,
    /// Refreshes of the whole days.
    refreshes: Arc<RefreshTracker>,
    changes: AtomicU64,
    removals: AtomicU64,
    last_view: AtomicU32,
}

/// The status of a day at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayStatus {
    /// Whether the day can still change.
    pub state: DayState,
    /// Whether the day is provisional and due for a refresh.
    pub refresh_due: bool,
    /// When a day that can still change is due for a refresh.
    pub refresh_due_at: Option<Timestamp>,
}

/// Changes whenever the cached data changes. A value never occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheGeneration {
    /// Number of days that were added or replaced so far.
    pub changes: u64,
    /// Number of days that were removed on request so far. A final day changes only after a removal.
    pub removals: u64,
}

impl DayCatalog {
    /// An empty catalog of the whole days.
    #[must_use]
    pub fn new(policy: FreshnessPolicy, clock: Arc<dyn Clock>) -> Self {
        let refreshes = Arc::<RefreshTracker>::default();
        let shared = CatalogContents {
            policy,
            clock,
            row_counts: RwLock::default(),
            refreshes: Arc::clone(&refreshes),
            changes: AtomicU64::default(),
            removals: AtomicU64::default(),
            last_view: AtomicU32::new(UNFILTERED),
        };
        Self { shared: Arc::new(shared), view: UNFILTERED, refreshes }
    }

    /// The catalog of a new view of the same days.
    #[must_use]
    pub fn for_new_view(&self) -> Self {
        let view = self.shared.last_view.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared: Arc::clone(&self.shared), view, refreshes: Arc::default() }
    }

    /// The id of the view, for cache keys.
    #[must_use]
    pub const fn view(&self) -> ViewId {
        self.view
    }

    /// Whether these are the days of a view.
    #[must_use]
    pub const fn is_view(&self) -> bool {
        self.view != UNFILTERED
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The present status of a day.
    #[must_use]
    pub fn status(&self, day: &impl DayMetadata) -> DayStatus {
        let (state, policy) = (self.state(day), &self.shared.policy);
        let refresh_due = state == DayState::Provisional && policy.is_stale(day.fetched_at(), self.now());
        let refresh_due_at = (state != DayState::Final).then(|| day.fetched_at() + policy.refresh_interval);
        DayStatus { state, refresh_due, refresh_due_at }
    }

    /// The present state of a day. A filtered day has the state of the whole day.
    #[must_use]
    pub fn state(&self, day: &impl DayMetadata) -> DayState {
        let (key, policy) = (day.key(), &self.shared.policy);
        let matter = policy.depends_on_rows(key.geo, key.day, day.fetched_at());
        let whole = (self.is_view() && matter).then(|| self.row_count(key)).flatten();
        let fetched = FetchInfo {
            at: day.fetched_at(),
            rows: whole.unwrap_or(day.row_count()),
            doubtful: day.is_doubtful(),
            usual_rows: matter.then(|| self.median_neighbour_rows(key)).flatten(),
        };
        policy.state(key.geo, key.day, &fetched, self.now())
    }

    /// Whether the last refresh of the day failed. A view has the refreshes of its whole days.
    #[must_use]
    pub fn refresh_failed(&self, key: &DayKey) -> bool {
        self.shared.refreshes.has_failed(key)
    }

    /// The generation of the cached data. It changes whenever a day is added, replaced or removed.
    #[must_use]
    pub fn generation(&self) -> CacheGeneration {
        let number = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        CacheGeneration { changes: number(&self.shared.changes), removals: number(&self.shared.removals) }
    }

    /// Tracks the refreshes of provisional days.
    pub(super) fn refreshes(&self) -> &RefreshTracker {
        &self.refreshes
    }

    /// Records that a day was cached or replaced.
    pub(super) fn record_change(&self) {
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    /// Records the removal of a day in all scopes.
    pub(super) fn record_removal(&self, day: &DayKey) {
        self.shared.removals.fetch_add(1, Ordering::Release);
        let mut counts = self.shared.row_counts.write();
        for (_, rows) in counts.iter_mut().filter(|(series, _)| series.with_day(day.day).everyone() == day.everyone()) {
            rows.remove(&day.day);
        }
    }

    /// Records the row count of a whole day. Days of views and of single people are ignored.
    pub(super) fn record_row_count(&self, day: &impl DayMetadata) {
        let key = day.key();
        if matches!(key.scope, DataScope::User(_)) || self.is_view() {
            return;
        }
        let mut counts = self.shared.row_counts.write();
        counts.entry(series_key(key)).or_default().insert(key.day, day.row_count());
    }

    /// The row count of a whole day, cached or not.
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

/// The key that all days of one series share.
fn series_key(key: &DayKey) -> DayKey {
    key.with_day(Day::from_date(jiff::civil::Date::ZERO))
}
