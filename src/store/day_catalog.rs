//! Day catalog: what is known about all days beside their contents. It decides the status of a day.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use jiff::Timestamp;

use super::{
    fetch_history::FetchHistory,
    freshness::{DayFetches, DayState, FreshnessPolicy},
    lru::ViewId,
    refresh_tracker::RefreshTracker,
};
use crate::{
    model::{Clock, DataScope, Day, DayKey, Geo},
    table::{DayMetadata, FetchQuality},
};

/// The id of the whole days, which no view filters.
const UNFILTERED: ViewId = 0;

/// The catalog of the whole days, or of the days of one view. Clones share the contents.
///
/// The status of a day depends on the row counts of the days around it, so it changes when these are loaded. Ask for it
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
    history: Arc<FetchHistory>,
    /// Refreshes of the whole days.
    refreshes: Arc<RefreshTracker>,
    changes: AtomicU64,
    revisions: AtomicU64,
    last_view: AtomicU32,
}

/// The status of a day at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayStatus {
    /// The state of the day.
    pub state: DayState,
    /// Whether the day can still change and is due for a refresh.
    pub refresh_due: bool,
    /// When a day that can still change is due for a refresh.
    pub refresh_due_at: Option<Timestamp>,
}

/// The latest recorded fetch of a day, with the present state of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedDay {
    /// The key of the day.
    pub key: DayKey,
    /// The state of the day.
    pub state: DayState,
    /// Number of rows.
    pub rows: usize,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// The faults of the fetch.
    pub quality: FetchQuality,
}

/// Changes whenever the cached data changes. A value never occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheGeneration {
    /// Number of days that were added or replaced so far.
    pub changes: u64,
    /// Number of times so far that a day was removed on request, or that the state of a recorded day changed because of
    /// the row counts around it. A settled day changes only by these.
    pub revisions: u64,
}

impl DayCatalog {
    /// An empty catalog of the whole days.
    #[must_use]
    pub fn new(policy: FreshnessPolicy, clock: Arc<dyn Clock>) -> Self {
        let refreshes = Arc::<RefreshTracker>::default();
        let shared = CatalogContents {
            policy,
            clock,
            history: Arc::default(),
            refreshes: Arc::clone(&refreshes),
            changes: AtomicU64::default(),
            revisions: AtomicU64::default(),
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
        let key = day.key();
        let (state, fetches) = self.state_and_fetches(day);
        let refresh_due_at = self.shared.policy.refresh_due_at(key.geo, key.day, state, &fetches);
        DayStatus { state, refresh_due: refresh_due_at.is_some_and(|due| due < self.now()), refresh_due_at }
    }

    /// The present state of a day. A filtered day has the state of the whole day.
    #[must_use]
    pub fn state(&self, day: &impl DayMetadata) -> DayState {
        self.state_and_fetches(day).0
    }

    /// The present state of a day, and the fetches that returned its rows.
    fn state_and_fetches(&self, day: &impl DayMetadata) -> (DayState, DayFetches) {
        let (key, now) = (day.key(), self.now());
        let (policy, history) = (&self.shared.policy, &self.shared.history);
        if !self.is_view() && key.scope == DataScope::Everyone {
            return history
                .judge_rows(day, |fetches, counts| (policy.state(key.geo, key.day, &fetches, counts, now), fetches));
        }
        let company =
            history.judge(key, |record, counts| policy.state(key.geo, key.day, &record.fetches(), counts, now));
        let fetches = history.fetches_of_part(day);
        let state = match company {
            Some(state) if self.is_view() => state,
            _ => {
                let has_rows = history.is_department_with_rows(key);
                policy.state_of_part(has_rows, key.geo, key.day, &fetches, company, now)
            }
        };
        (state, fetches)
    }

    /// The latest recorded fetch of a day of everyone; `None` if none is recorded.
    #[must_use]
    pub fn recorded_day(&self, key: &DayKey) -> Option<RecordedDay> {
        let now = self.now();
        self.shared.history.judge(key, |record, counts| {
            let fetches = record.fetches();
            let state = self.shared.policy.state(key.geo, key.day, &fetches, counts, now);
            RecordedDay {
                key: key.clone(),
                state,
                rows: fetches.rows,
                fetched_at: fetches.fetched_at,
                quality: record.quality(),
            }
        })
    }

    /// The earliest day of a geo that is kept; `None` if no day expires.
    #[must_use]
    pub fn oldest_kept(&self, geo: Geo) -> Option<Day> {
        self.shared.policy.oldest_kept(geo, self.now())
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
        CacheGeneration { changes: number(&self.shared.changes), revisions: number(&self.shared.revisions) }
    }

    /// Tracks the refreshes of days.
    pub(super) fn refreshes(&self) -> &RefreshTracker {
        &self.refreshes
    }

    /// Records that a day was cached or replaced.
    pub(super) fn record_change(&self) {
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    /// Records the removal of a day in all scopes.
    pub(super) fn record_removal(&self, day: &DayKey) {
        self.shared.revisions.fetch_add(1, Ordering::Release);
        self.shared.history.remove(day);
    }

    /// Records a fetch of a day. Days of views are ignored: they are parts of whole days.
    pub fn record_fetch(&self, day: &impl DayMetadata) {
        if !self.is_view() && self.shared.history.record(day) {
            self.shared.revisions.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether rows of this day were fetched before and this fetch has none. Such a fetch replaces nothing.
    pub(super) fn would_lose_rows(&self, day: &impl DayMetadata) -> bool {
        !self.is_view() && self.shared.history.would_lose_rows(day)
    }

    /// The fetches of all days.
    #[must_use]
    pub fn history(&self) -> &Arc<FetchHistory> {
        &self.shared.history
    }
}
