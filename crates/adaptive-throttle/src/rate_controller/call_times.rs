//! The send times of recent calls, to be counted per window.

use std::collections::VecDeque;

/// Times in seconds since the epoch, in ascending order. Times older than the retention are removed.
#[derive(Clone, Debug)]
pub(super) struct CallTimes {
    times: VecDeque<f64>,
    retention_seconds: f64,
}

impl CallTimes {
    /// An empty record that retains the last `retention_seconds`.
    pub(super) fn new(retention_seconds: f64) -> Self {
        Self { times: VecDeque::new(), retention_seconds }
    }

    /// Inserts a time, which need not be the newest.
    pub(super) fn insert(&mut self, at: f64) {
        let index = self.times.partition_point(|time| *time <= at);
        self.times.insert(index, at);
        while self.times.front().is_some_and(|oldest| oldest + self.retention_seconds < at) {
            self.times.pop_front();
        }
    }

    /// Removes one entry of this exact time, if there is one.
    pub(super) fn remove(&mut self, at: f64) {
        let index = self.times.partition_point(|time| *time < at);
        if self.times.get(index).is_some_and(|time| *time <= at) {
            self.times.remove(index);
        }
    }

    /// The number of times in the half-open interval `(from, to]`.
    #[expect(clippy::cast_precision_loss, reason = "the calls of some minutes are far fewer than 2^52")]
    pub(super) fn count_between(&self, from: f64, to: f64) -> f64 {
        let count_until = |end: f64| self.times.partition_point(|time| *time <= end);
        count_until(to).saturating_sub(count_until(from)) as f64
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

    fn call_times(times: &[f64]) -> CallTimes {
        let mut call_times = CallTimes::new(60.0);
        for time in times {
            call_times.insert(*time);
        }
        call_times
    }

    #[test]
    fn times_are_counted_in_order_even_if_inserted_out_of_order() {
        let call_times = call_times(&[3.0, 1.0, 2.0]);
        assert!((call_times.count_between(1.0, 3.0) - 2.0).abs() < f64::EPSILON);
        assert_eq!(call_times.nth_newest(3), Some(1.0));
        assert_eq!(call_times.nth_newest(4), None);
    }

    #[test]
    fn times_older_than_the_retention_are_removed() {
        assert_eq!(call_times(&[1.0, 2.0, 61.5]).nth_newest(2), Some(2.0));
    }

    #[test]
    fn a_time_can_be_removed() {
        let mut call_times = call_times(&[1.0, 2.0]);
        call_times.remove(2.0);
        call_times.remove(5.0);
        assert_eq!(call_times.newest(), Some(1.0));
    }
}
