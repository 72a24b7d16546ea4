//! How long things take, counted in buckets that are fixed from the start.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::Count;

/// Durations by size. What it takes in memory never changes, whether anybody reads it or not.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for whatever is longer than all of them.
    buckets: Box<[Count]>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds in seconds, in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Count::default()).collect();
        Self { bounds, buckets, nanoseconds: AtomicU64::new(0) }
    }

    /// Something has taken so long.
    pub fn record(&self, taken: Duration) {
        let seconds = taken.as_secs_f64();
        self.buckets[self.bounds.partition_point(|bound| *bound < seconds)].add_one();
        let nanoseconds = u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// For each bound, how many took at most that long; infinity comes last and counts all of them.
    pub fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.buckets.iter()).scan(0, |sum, (bound, count)| {
            *sum += count.get();
            Some((bound, *sum))
        })
    }

    /// How many seconds they took all together.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_every_bucket_that_holds_it() {
        let histogram = Histogram::new(&[0.1, 1.0]);

        for milliseconds in [50, 100, 101, 2_000] {
            histogram.record(Duration::from_millis(milliseconds));
        }

        let counts: Vec<_> = histogram.cumulated().collect();
        assert_eq!(counts, [(0.1, 2), (1.0, 3), (f64::INFINITY, 4)]);
        assert!((histogram.seconds() - 2.251).abs() < 1e-9);
    }
}
