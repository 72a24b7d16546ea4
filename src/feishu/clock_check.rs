//! [`ClockCheck`]: compares the clock of this machine with the `Date` of upstream's replies.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::model::Clock;

/// Difference up to which the clock counts as correct.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// Minimum time between two warnings.
const WARNING_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Detects that the clock of this machine is ahead. Then a day can be requested before upstream has produced it.
#[derive(Debug)]
pub struct ClockCheck {
    clock: Arc<dyn Clock>,
    last_warning: Mutex<Option<Timestamp>>,
}

impl ClockCheck {
    /// Checks this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, last_warning: Mutex::default() }
    }

    /// The present time of this machine.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the clock was ahead when a request was sent at `sent_at`, whose reply has this date. The time of sending
    /// is compared, because the reply can take long. Logs it at most once an hour.
    pub fn is_ahead(&self, sent_at: Timestamp, reply_date: Option<Timestamp>) -> bool {
        let ahead = reply_date.map(|date| sent_at.duration_since(date)).filter(|ahead| *ahead > TOLERANCE);
        if let Some(ahead) = ahead {
            let mut last_warning = self.last_warning.lock();
            if last_warning.is_none_or(|last| sent_at.duration_since(last) >= WARNING_INTERVAL) {
                *last_warning = Some(sent_at);
                tracing::warn!(
                    ahead_seconds = ahead.as_secs(),
                    "the clock of this machine is ahead of upstream's; days that are fetched now are fetched again"
                );
            }
        }
        ahead.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::ManualClock;

    #[rstest]
    #[case::no_date(None, false)]
    #[case::equal(Some("2026-11-22T04:00:00Z"), false)]
    #[case::behind(Some("2026-11-22T09:00:00Z"), false)]
    #[case::within_the_tolerance(Some("2026-11-22T03:59:00Z"), false)]
    #[case::ahead(Some("2026-11-22T03:58:59Z"), true)]
    fn the_clock_is_ahead_beyond_the_tolerance(#[case] date: Option<&str>, #[case] ahead: bool) {
        let check = ClockCheck::new(Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().unwrap())));
        assert_eq!(check.is_ahead(check.now(), date.map(|date| date.parse().unwrap())), ahead);
    }
}
