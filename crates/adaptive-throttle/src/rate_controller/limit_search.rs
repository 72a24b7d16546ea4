//! The rate while no limit is known. It climbs from one published limit per second to the next.
//!
//! At a rate above the limit, a fixed window refuses calls within its length. So a rate that was used for most of a
//! second without a refusal is at most the limit, and the next published level follows.

use super::{call_times::CallTimes, limit_window::LimitWindow};

/// Seconds for which a rate must have been used before it rises. Shorter would raise it before a window that began at
/// the rate before has refused calls; longer would find high limits later.
const LEVEL_SECONDS: f64 = 0.6;
/// The share of these seconds' calls that must have been accepted. Below 1, because calls are not sent exactly evenly;
/// a client that sends less says nothing about the limit.
const MIN_USED_SHARE: f64 = 0.7;
/// The factor by which the rate rises above the highest published level.
const GROWTH_FACTOR: f64 = 1.25;

/// The present rate of the search.
#[derive(Clone, Debug)]
pub(super) struct LimitSearch {
    /// Calls per second.
    rate: f64,
    /// When the rate last rose, in seconds since the epoch.
    since: f64,
}

impl LimitSearch {
    /// Begins at `rate` calls per second.
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, since: 0.0 }
    }

    /// Continues at `rate` calls per second, which were accepted before, if that is more than the present rate.
    pub(super) fn resume_at(&mut self, rate: f64) {
        self.rate = self.rate.max(rate);
    }

    /// Calls per second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Lowers the rate to `limit` calls per second, the estimate from a refused call.
    pub(super) fn on_refused(&mut self, limit: f64) {
        self.rate = self.rate.min(limit);
    }

    /// Records at `now` that the call sent at `sent` was accepted.
    pub(super) fn on_accepted(&mut self, sent: f64, now: f64, accepted: &CallTimes) {
        let used = accepted.count_between(sent - LEVEL_SECONDS, sent);
        if sent - self.since >= LEVEL_SECONDS && used >= MIN_USED_SHARE * self.rate * LEVEL_SECONDS {
            let levels = LimitWindow::Second.published_levels();
            let next = levels.iter().copied().find(|level| *level > self.rate);
            self.rate = next.unwrap_or(GROWTH_FACTOR * self.rate);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after `rate` calls per second were accepted for `seconds`, each a tenth of a second after it was sent.
    fn search_at(rate: f64, seconds: f64) -> f64 {
        let (mut search, mut accepted) = (LimitSearch::new(5.0), CallTimes::new(60.0));
        let mut sent = 0.0;
        while sent < seconds {
            accepted.insert(sent);
            search.on_accepted(sent, sent + 0.1, &accepted);
            sent += 1.0 / rate;
        }
        search.rate()
    }

    #[test]
    fn the_rate_climbs_to_the_next_published_level() {
        assert!((search_at(5.0, 0.5) - 5.0).abs() < f64::EPSILON);
        assert!((search_at(5.0, 0.9) - 10.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_rate_that_is_not_used_does_not_rise() {
        assert!((search_at(3.0, 60.0) - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn above_the_highest_level_the_rate_rises_slowly() {
        let (mut search, mut accepted) = (LimitSearch::new(100.0), CallTimes::new(60.0));
        (0..70).map(|call| f64::from(call) / 100.0).for_each(|sent| {
            accepted.insert(sent);
            search.on_accepted(sent, sent, &accepted);
        });
        assert!((search.rate() - 125.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_refusal_lowers_the_rate_to_the_estimate() {
        let mut search = LimitSearch::new(50.0);
        search.on_refused(20.0);
        assert!((search.rate() - 20.0).abs() < f64::EPSILON);
        search.on_refused(100.0);
        assert!((search.rate() - 20.0).abs() < f64::EPSILON);
    }
}
