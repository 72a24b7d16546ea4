//! The cap on calls in flight near a published limit per minute that has not been ruled out.
//!
//! A limit per minute gives no sign before it is reached, and then every call in flight is refused. So beyond such a
//! level, only a few calls may be in flight until more calls are accepted than the level allows.

use super::limit_window::LimitWindow;

/// Calls in flight at an open level, as a share of the level. They are refused if the level is the limit, and are then
/// 0.7 % of the calls of ten minutes; the goal is 1 %.
const CAP_SHARE: f64 = 0.07;
/// The most calls in flight while a level is open. All of them can be refused at once; fewer would not suffice for 100
/// calls per second at a latency of 0.2 s.
const MAX_CAP: f64 = 24.0;
/// Accepted calls in 60 s that rule a level out, in multiples of the level. The search accepts them in much less than a
/// minute, so that they are probably the calls of one fixed window. The rest is for token buckets, which gain tokens
/// meanwhile.
const RULE_OUT_MULTIPLE: f64 = 1.2;
/// The same for the highest level. Any 60 s overlap two fixed windows at most, so a limit at this level cannot accept
/// more. It takes long enough to reach this level for two windows to be likely.
const RULE_OUT_HIGHEST_MULTIPLE: f64 = 2.0;
/// Seconds after reaching an open level after which it is ruled out: as the limit, it would have caused a refusal in
/// one of these five minutes.
const RULE_OUT_AFTER_SECONDS: f64 = 300.0;

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
        let is_highest = LimitWindow::Minute.published_levels().last() == Some(&level);
        let multiple = if is_highest { RULE_OUT_HIGHEST_MULTIPLE } else { RULE_OUT_MULTIPLE };
        let reached_at = *self.reached_at.get_or_insert(now);
        if accepted > multiple * level || now - reached_at > RULE_OUT_AFTER_SECONDS {
            self.rule_out(level);
        }
    }

    /// Rules out all levels up to `calls` per minute.
    pub(super) fn rule_out(&mut self, calls: f64) {
        self.ruled_out = self.ruled_out.max(calls);
        self.reached_at = None;
    }

    /// Whether a limit of `calls` per minute has not been ruled out.
    pub(super) fn is_open(&self, calls: f64) -> bool {
        calls > self.ruled_out
    }

    /// The calls that may be in flight if `accepted` calls of the last 60 s are accepted: those up to the lowest open
    /// level, and a few more. `None`: no cap.
    pub(super) fn cap(&self, accepted: f64) -> Option<f64> {
        let level = self.lowest_open_level()?;
        let beyond = (CAP_SHARE * level).floor().max(1.0);
        Some(((level - accepted).max(0.0) + beyond).min(MAX_CAP))
    }

    fn lowest_open_level(&self) -> Option<f64> {
        LimitWindow::Minute.published_levels().iter().copied().find(|level| *level > self.ruled_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_calls_are_in_flight_at_a_level() {
        let mut in_flight_cap = InFlightCap::default();
        assert_eq!(in_flight_cap.cap(4.0), Some(7.0));
        assert_eq!(in_flight_cap.cap(10.0), Some(1.0));

        in_flight_cap.rule_out(20.0);

        assert_eq!(in_flight_cap.cap(20.0), Some(MAX_CAP));
        assert_eq!(in_flight_cap.cap(100.0), Some(7.0));
    }

    #[test]
    fn accepted_calls_rule_a_level_out() {
        let mut in_flight_cap = InFlightCap::default();
        in_flight_cap.observe(1.0, 13.0);
        assert_eq!(in_flight_cap.cap(20.0), Some(1.0));
        in_flight_cap.rule_out(100.0);

        in_flight_cap.observe(40.0, 2000.0);
        assert_eq!(in_flight_cap.cap(2000.0), Some(MAX_CAP));
        in_flight_cap.observe(40.0, 2001.0);

        assert_eq!(in_flight_cap.cap(2001.0), None);
    }

    #[test]
    fn a_level_is_ruled_out_after_a_while_even_if_replies_are_slow() {
        let mut in_flight_cap = InFlightCap::default();
        in_flight_cap.rule_out(100.0);
        in_flight_cap.observe(0.0, 1000.0);
        in_flight_cap.observe(301.0, 1000.0);

        assert_eq!(in_flight_cap.cap(1000.0), None);
    }
}
