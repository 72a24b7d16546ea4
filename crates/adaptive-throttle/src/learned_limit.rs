//! What was found out about the limit, in a form that survives a restart.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// After so long nobody should rely on a limit without looking again.
const DOUBTED_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The limit as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Calls that upstream takes per window; positive.
    pub calls: f64,
    /// The length of the window in seconds; positive.
    pub window_seconds: f64,
    /// When this was last seen to hold.
    pub learned_at: Timestamp,
}

impl Learned {
    /// Calls per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.calls / self.window_seconds
    }

    /// The length of the window.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.window_seconds)
    }

    /// Whether this is fit to begin with: it makes sense, and is less than a day old at `now`.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        let sound = (0.001..=1e6).contains(&self.calls) && (0.1..=3600.0).contains(&self.window_seconds);
        let age = now.duration_since(self.learned_at);
        sound && !age.is_negative() && age < DOUBTED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Learned {
        Learned { calls: 50.0, window_seconds: 1.0, learned_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn what_was_learned_is_doubted_after_a_day() {
        let day = SignedDuration::from_hours(24);
        assert!(learned().holds_at(Timestamp::UNIX_EPOCH));
        assert!(!learned().holds_at(Timestamp::UNIX_EPOCH + day));
        assert!(!learned().holds_at(Timestamp::UNIX_EPOCH - SignedDuration::from_secs(1)));
    }

    #[test]
    fn what_makes_no_sense_is_never_believed() {
        for (calls, window_seconds) in [(0.0, 1.0), (f64::NAN, 1.0), (50.0, 0.0), (50.0, f64::INFINITY)] {
            let broken = Learned { calls, window_seconds, ..learned() };
            assert!(!broken.holds_at(Timestamp::UNIX_EPOCH), "{broken:?}");
        }
    }
}
