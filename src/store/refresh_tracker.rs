//! Refresh tracker: records which days are being refreshed and which refreshes failed.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::model::DayKey;

/// Minimum time between the starts of two refreshes of the same day.
const MIN_REFRESH_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// That time doubles with each refresh in a row that had no effect, at most this many times: up to 32 minutes. Otherwise
/// a day that upstream no longer has would cost a call a minute.
const MAX_DOUBLINGS: u32 = 5;

/// Number of entries from which those of days that may be refreshed again are removed.
const ENTRIES_BEFORE_PRUNING: usize = 10_000;

/// The latest refresh of each day, if it is in progress or failed.
#[derive(Debug, Default)]
pub(super) struct RefreshTracker {
    latest: Mutex<HashMap<DayKey, Refresh>>,
}

#[derive(Clone, Copy, Debug)]
struct Refresh {
    begun_at: Timestamp,
    failed: bool,
    /// Number of refreshes in a row that failed or after which the day was still due.
    without_effect: u32,
}

/// The result of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshResult {
    /// The day is no longer due.
    Refreshed,
    /// The fetch was successful, but what it returned could not replace the stored day.
    NoEffect,
    /// The fetch failed.
    Failed,
}

impl Refresh {
    fn may_start(self, now: Timestamp) -> bool {
        now.duration_since(self.begun_at) >= MIN_REFRESH_INTERVAL * (1 << self.without_effect.min(MAX_DOUBLINGS))
    }
}

impl RefreshTracker {
    /// Records the start of a refresh and returns true, unless the day's last refresh began too recently.
    pub(super) fn try_begin(&self, key: &DayKey, now: Timestamp) -> bool {
        let mut latest = self.latest();
        let before = latest.get(key).copied();
        if before.is_some_and(|refresh| !refresh.may_start(now)) {
            return false;
        }
        if latest.len() >= ENTRIES_BEFORE_PRUNING {
            latest.retain(|_, refresh| !refresh.may_start(now));
        }
        // A failed refresh counts as failed until a later one succeeds.
        let refresh = before.unwrap_or(Refresh { begun_at: now, failed: false, without_effect: 0 });
        latest.insert(key.clone(), Refresh { begun_at: now, ..refresh });
        true
    }

    /// Records the end of the day's refresh.
    pub(super) fn finish(&self, key: &DayKey, result: RefreshResult) {
        let mut latest = self.latest();
        if result == RefreshResult::Refreshed {
            latest.remove(key);
        } else if let Some(refresh) = latest.get_mut(key) {
            refresh.failed = result == RefreshResult::Failed;
            refresh.without_effect += 1;
        }
    }

    /// Whether the last refresh of the day failed.
    pub(super) fn has_failed(&self, key: &DayKey) -> bool {
        self.latest().get(key).is_some_and(|refresh| refresh.failed)
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<DayKey, Refresh>> {
        self.latest.lock()
    }
}
