//! Refresh tracker: records which provisional days are being refreshed and which refreshes failed.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::model::DayKey;

/// Minimum time between the starts of two refreshes of the same day.
const MIN_REFRESH_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// The latest refresh of each day, if it is in progress or failed.
#[derive(Debug, Default)]
pub(super) struct RefreshTracker {
    latest: Mutex<HashMap<DayKey, Refresh>>,
}

#[derive(Clone, Copy, Debug)]
struct Refresh {
    begun_at: Timestamp,
    failed: bool,
}

impl RefreshTracker {
    /// Records the start of a refresh and returns true, unless the day's last refresh began too recently.
    pub(super) fn try_begin(&self, key: &DayKey, now: Timestamp) -> bool {
        let mut latest = self.latest();
        let before = latest.get(key).copied();
        if before.is_some_and(|refresh| now.duration_since(refresh.begun_at) < MIN_REFRESH_INTERVAL) {
            return false;
        }
        // A failed refresh counts as failed until a later one succeeds.
        let failed = before.is_some_and(|refresh| refresh.failed);
        latest.insert(key.clone(), Refresh { begun_at: now, failed });
        true
    }

    /// Records the end of the day's refresh.
    pub(super) fn finish(&self, key: &DayKey, succeeded: bool) {
        let mut latest = self.latest();
        if succeeded {
            latest.remove(key);
        } else if let Some(refresh) = latest.get_mut(key) {
            refresh.failed = true;
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
