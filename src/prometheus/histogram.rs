//! A histogram of durations with fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::MetricCounter;

/// A histogram of durations. Its size in memory is constant.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// The count of each bucket: one for each bound, and one for longer durations.
    buckets: Box<[MetricCounter]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds in seconds, which are in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| MetricCounter::default()).collect();
        Self { bounds, buckets, nanoseconds: AtomicU64::new(0) }
    }

    /// Adds a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.buckets[self.bounds.partition_point(|bound| *bound < seconds)].increment();
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Each upper bound in seconds with the number of durations up to it. The last bound is infinity, so its number
    /// includes all durations.
    pub fn cumulative_buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter()).scan(0, |sum, (bound, count)| {
            *sum += count.get();
            Some((bound, *sum))
        })
    }

    /// The sum of all durations in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_every_bucket_with_a_larger_bound() {
        let histogram = Histogram::new(&[0.1, 1.0]);

        for milliseconds in [50, 100, 101, 2_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }

        let counts: Vec<_> = histogram.cumulative_buckets().collect();
        assert_eq!(counts, [(0.1, 2), (1.0, 3), (f64::INFINITY, 4)]);
        assert!((histogram.sum_seconds() - 2.251).abs() < 1e-9);
    }
}
