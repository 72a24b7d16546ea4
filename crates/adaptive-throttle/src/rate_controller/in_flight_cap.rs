//! How many calls may run into a limit that is not known yet.
//!
//! A minute's limit gives no sign before it closes, and whatever is in flight then is refused. So where the calls of
//! the last minute come to a published level that has never been passed, only a handful may be in flight.

use super::window::Window;

/// Calls in flight that may be lost at once.
const HANDFUL: usize = 4;
/// How long a level is approached with a handful, then with three, before it is taken for passed. With replies so
/// slow that a handful in flight is less than the level's rate, the handful alone would never find out.
const PATIENCE: [f64; 2] = [150.0, 300.0];

/// Remembers which of a minute's published levels were passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Caution {
    passed: f64,
    since: Option<f64>,
}

impl Caution {
    /// Takes note of the calls accepted in the last minute. Twice a level in one minute's length proves that it is
    /// none: at most two windows lie in it.
    pub(super) fn observe(&mut self, now: f64, accepted: f64) {
        let Some(level) = self.next() else { return };
        if accepted < level {
            return;
        }
        let since = *self.since.get_or_insert(now);
        if accepted > 2.0 * level || now - since > PATIENCE[1] {
            self.pass(level);
        }
    }

    /// Takes the levels up to `calls` a minute for passed.
    pub(super) fn pass(&mut self, calls: f64) {
        self.passed = self.passed.max(calls);
        self.since = None;
    }

    /// How many calls may be in flight when `ahead` calls of this minute are accepted or on their way.
    pub(super) fn bound(&self, now: f64, ahead: f64) -> Option<usize> {
        self.next().filter(|level| ahead >= *level)?;
        let long = self.since.is_some_and(|since| now - since > PATIENCE[0]);
        Some(if long { 3 * HANDFUL } else { HANDFUL })
    }

    fn next(&self) -> Option<f64> {
        Window::Minute.levels().iter().copied().find(|level| *level > self.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_approached_with_a_handful_in_flight() {
        let mut caution = Caution::default();
        assert_eq!(caution.bound(0.0, 9.0), None);
        assert_eq!(caution.bound(0.0, 10.0), Some(HANDFUL));

        caution.observe(1.0, 21.0);

        assert_eq!(caution.bound(1.0, 19.0), None);
        assert_eq!(caution.bound(1.0, 20.0), Some(HANDFUL));
    }

    #[test]
    fn a_level_that_slow_replies_keep_out_of_reach_is_passed_in_time() {
        let mut caution = Caution::default();
        caution.observe(0.0, 10.0);
        assert_eq!(caution.bound(160.0, 10.0), Some(3 * HANDFUL));

        caution.observe(301.0, 10.0);

        assert_eq!(caution.bound(301.0, 10.0), None);
    }
}
