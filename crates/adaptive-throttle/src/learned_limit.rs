//! The limit that a throttle has found, in a form that can be stored across restarts.

use std::{ops::RangeInclusive, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The age from which a stored limit is ignored. A day bounds the time that a changed limit can mislead a restart, and
/// covers the usual restart.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// The calls per window that a stored limit may have. Other values come from a damaged file.
const CALLS_RANGE: RangeInclusive<f64> = 0.001..=1e6;
/// The window in seconds that a stored limit may have. Other values come from a damaged file.
const WINDOW_SECONDS_RANGE: RangeInclusive<f64> = 0.1..=3600.0;

/// A limit that a throttle has found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnedLimit {
    /// Calls that the server accepts per window; positive.
    pub calls: f64,
    /// The length of the window in seconds; positive.
    pub window_seconds: f64,
    /// When the throttle last relied on it.
    pub learned_at: Timestamp,
}

impl LearnedLimit {
    /// The limit in calls per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.calls / self.window_seconds
    }

    /// The length of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.window_seconds)
    }

    /// Whether the values are plausible and less than a day old at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        let is_plausible = CALLS_RANGE.contains(&self.calls) && WINDOW_SECONDS_RANGE.contains(&self.window_seconds);
        let age = now.duration_since(self.learned_at);
        is_plausible && !age.is_negative() && age < MAX_AGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned_limit() -> LearnedLimit {
        LearnedLimit { calls: 50.0, window_seconds: 1.0, learned_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_stored_limit_is_valid_for_a_day() {
        let day = SignedDuration::from_hours(24);
        assert!(learned_limit().is_valid_at(Timestamp::UNIX_EPOCH));
        assert!(!learned_limit().is_valid_at(Timestamp::UNIX_EPOCH + day));
        assert!(!learned_limit().is_valid_at(Timestamp::UNIX_EPOCH - SignedDuration::from_secs(1)));
    }

    #[test]
    fn implausible_values_are_never_valid() {
        for (calls, window_seconds) in [(0.0, 1.0), (f64::NAN, 1.0), (50.0, 0.0), (50.0, f64::INFINITY)] {
            let damaged = LearnedLimit { calls, window_seconds, ..learned_limit() };
            assert!(!damaged.is_valid_at(Timestamp::UNIX_EPOCH), "{damaged:?}");
        }
    }
}
