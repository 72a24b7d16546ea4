//! Which provisional days are being fetched anew, and for which of them that failed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::model::DayKey;

/// How long after one refresh of a day has begun the next one may.
const RETRY: SignedDuration = SignedDuration::from_secs(60);

/// The latest refresh of each day that has one under way or failed.
#[derive(Debug, Default)]
pub(super) struct Refreshes {
    latest: Mutex<HashMap<DayKey, Refresh>>,
}

#[derive(Clone, Copy, Debug)]
struct Refresh {
    begun_at: Timestamp,
    failed: bool,
}

impl Refreshes {
    /// Whether a refresh of the day may begin now; it is then taken to have begun.
    pub(super) fn begin(&self, key: &DayKey, now: Timestamp) -> bool {
        let mut latest = self.latest();
        let before = latest.get(key).copied();
        if before.is_some_and(|refresh| now.duration_since(refresh.begun_at) < RETRY) {
            return false;
        }
        // A day whose last refresh failed stays in trouble until one succeeds.
        let failed = before.is_some_and(|refresh| refresh.failed);
        latest.insert(key.clone(), Refresh { begun_at: now, failed });
        true
    }

    /// The refresh of the day is over.
    pub(super) fn ended(&self, key: &DayKey, succeeded: bool) {
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
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
