//! The cap on calls in flight near a published limit per minute that has not been ruled out.
//!
//! A limit per minute gives no sign before it is reached, and then every call in flight is refused. So while the calls
//! of the last minute are at or above such a level, only a few calls may be in flight.

use super::limit_window::LimitWindow;

/// Calls in flight at an open level. More would be refused at once if the level is the limit; fewer would slow the
/// search further.
const CAP: usize = 4;
/// Calls in flight once a level has been open for [`RELAX_AFTER_SECONDS`].
const RELAXED_CAP: usize = 3 * CAP;
/// Seconds at an open level after which the cap is relaxed. With slow replies, [`CAP`] calls in flight can be fewer
/// than the level's rate, and the level would never be ruled out.
const RELAX_AFTER_SECONDS: f64 = 150.0;
/// Seconds after reaching an open level after which it is ruled out: as the limit, it would have caused a refusal in
/// one of these five minutes.
const RULE_OUT_AFTER_SECONDS: f64 = 300.0;
/// Accepted calls in 60 s that rule a level out, in multiples of the level. Any 60 s overlap two fixed windows at
/// most, so a limit at this level cannot accept more.
const RULE_OUT_MULTIPLE: f64 = 2.0;

/// Records which published levels per minute have been ruled out.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlightCap {
    /// The highest level that is ruled out, in calls per minute.
    ruled_out: f64,
    /// When the lowest open level was first reached, in seconds since the epoch.
    reached_at: Option<f64>,
}

impl InFlightCap {
    /// Records that `accepted` calls were accepted in the 60 s before `now`.
    pub(super) fn observe(&mut self, now: f64, accepted: f64) {
        let Some(level) = self.lowest_open_level() else { return };
        if accepted < level {
            return;
        }
        let reached_at = *self.reached_at.get_or_insert(now);
        if accepted > RULE_OUT_MULTIPLE * level || now - reached_at > RULE_OUT_AFTER_SECONDS {
            self.rule_out(level);
        }
    }

    /// Rules out all levels up to `calls` per minute.
    pub(super) fn rule_out(&mut self, calls: f64) {
        self.ruled_out = self.ruled_out.max(calls);
        self.reached_at = None;
    }

    /// The calls that may be in flight if `calls` calls of the last 60 s are accepted or in flight. `None`: no cap.
    pub(super) fn cap(&self, now: f64, calls: f64) -> Option<usize> {
        self.lowest_open_level().filter(|level| calls >= *level)?;
        let relaxed = self.reached_at.is_some_and(|reached_at| now - reached_at > RELAX_AFTER_SECONDS);
        Some(if relaxed { RELAXED_CAP } else { CAP })
    }

    fn lowest_open_level(&self) -> Option<f64> {
        LimitWindow::Minute.published_levels().iter().copied().find(|level| *level > self.ruled_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_calls_are_in_flight_near_a_level() {
        let mut in_flight_cap = InFlightCap::default();
        assert_eq!(in_flight_cap.cap(0.0, 9.0), None);
        assert_eq!(in_flight_cap.cap(0.0, 10.0), Some(CAP));

        in_flight_cap.observe(1.0, 21.0);

        assert_eq!(in_flight_cap.cap(1.0, 19.0), None);
        assert_eq!(in_flight_cap.cap(1.0, 20.0), Some(CAP));
    }

    #[test]
    fn a_level_is_ruled_out_after_a_while_even_if_replies_are_slow() {
        let mut in_flight_cap = InFlightCap::default();
        in_flight_cap.observe(0.0, 10.0);
        assert_eq!(in_flight_cap.cap(160.0, 10.0), Some(RELAXED_CAP));

        in_flight_cap.observe(301.0, 10.0);

        assert_eq!(in_flight_cap.cap(301.0, 10.0), None);
    }
}
