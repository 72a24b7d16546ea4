//! When calls were sent, to be counted by window.

use std::collections::VecDeque;

/// Times in seconds since the epoch, in order; the oldest are forgotten.
#[derive(Clone, Debug)]
pub(super) struct Log {
    times: VecDeque<f64>,
    keep: f64,
}

impl Log {
    /// A log that remembers the last `keep` seconds.
    pub(super) fn new(keep: f64) -> Self {
        Self { times: VecDeque::new(), keep }
    }

    /// Adds a time, which need not be the newest.
    pub(super) fn add(&mut self, at: f64) {
        let place = self.times.partition_point(|time| *time <= at);
        self.times.insert(place, at);
        while self.times.front().is_some_and(|oldest| oldest + self.keep < at) {
            self.times.pop_front();
        }
    }

    /// Takes a time back.
    pub(super) fn remove(&mut self, at: f64) {
        let place = self.times.partition_point(|time| *time < at);
        if self.times.get(place).is_some_and(|time| *time <= at) {
            self.times.remove(place);
        }
    }

    /// How many times lie after `from` and not after `to`.
    #[expect(clippy::cast_precision_loss, reason = "a count of calls in minutes")]
    pub(super) fn between(&self, from: f64, to: f64) -> f64 {
        let until = |end: f64| self.times.partition_point(|time| *time <= end);
        until(to).saturating_sub(until(from)) as f64
    }

    /// The newest time.
    pub(super) fn newest(&self) -> Option<f64> {
        self.times.back().copied()
    }

    /// The `nth` newest time, counted from 1.
    pub(super) fn nth_newest(&self, nth: usize) -> Option<f64> {
        self.times.len().checked_sub(nth).and_then(|index| self.times.get(index)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(times: &[f64]) -> Log {
        let mut log = Log::new(60.0);
        for time in times {
            log.add(*time);
        }
        log
    }

    #[test]
    fn times_are_counted_in_whatever_order_they_came() {
        let log = log(&[3.0, 1.0, 2.0]);
        assert!((log.between(1.0, 3.0) - 2.0).abs() < f64::EPSILON);
        assert_eq!(log.nth_newest(3), Some(1.0));
        assert_eq!(log.nth_newest(4), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        assert_eq!(log(&[1.0, 2.0, 61.5]).nth_newest(2), Some(2.0));
    }

    #[test]
    fn a_time_can_be_taken_back() {
        let mut log = log(&[1.0, 2.0]);
        log.remove(2.0);
        log.remove(5.0);
        assert_eq!(log.newest(), Some(1.0));
    }
}
