//! The calls of the last minute, in a form that another process can continue with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The length of a bucket: short compared with a window of a minute, so that calls are at most this much misplaced.
const BUCKET: Duration = Duration::from_secs(5);
/// Buckets of the longest window, one minute.
const BUCKETS: usize = 12;
/// The most calls of a bucket that are used: 200 calls per second, twice the highest published limit. A larger number
/// comes from a damaged record.
const MAX_CALLS: u32 = 1000;

/// The numbers of calls in each 5 s of the last minute, the newest first, without the zeros at the end. It contains no
/// time of a clock, so processes on different machines can exchange it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecentCalls(Vec<u32>);

/// The calls of one bucket. Ages are counted from the time at which the calls were counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CallBucket {
    /// The age of the newest calls, in seconds.
    pub(crate) min_age: f64,
    /// The age of the oldest calls, in seconds.
    pub(crate) max_age: f64,
    pub(crate) calls: u32,
}

impl RecentCalls {
    /// Counts calls: `count` gives the number of calls between two ages in seconds.
    pub(crate) fn count(count: impl Fn(f64, f64) -> u32) -> Self {
        let mut calls: Vec<u32> = buckets().map(|(min_age, max_age)| count(min_age, max_age)).collect();
        calls.truncate(calls.iter().rposition(|calls| *calls > 0).map_or(0, |last| last + 1));
        Self(calls)
    }

    /// The buckets, the newest first.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = CallBucket> {
        let calls = self.0.iter().map(|calls| (*calls).min(MAX_CALLS));
        buckets().zip(calls).map(|((min_age, max_age), calls)| CallBucket { min_age, max_age, calls })
    }
}

/// The ages in seconds between which each bucket lies.
fn buckets() -> impl Iterator<Item = (f64, f64)> {
    let mut min_age = 0.0;
    (0..BUCKETS).map(move |_| {
        let max_age = min_age + BUCKET.as_secs_f64();
        (std::mem::replace(&mut min_age, max_age), max_age)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_in_parts_of_a_minute_and_the_idle_ones_at_the_end_are_left_out() {
        let recent = RecentCalls::count(|min_age, _| u32::from((10.0..20.0).contains(&min_age)) * 3);
        assert_eq!(recent.0, [0, 0, 3, 3]);
        let ages: Vec<_> = recent.buckets().filter(|bucket| bucket.calls > 0).map(|bucket| bucket.max_age).collect();
        assert_eq!(ages, [15.0, 20.0]);
    }

    #[test]
    fn a_damaged_record_has_few_calls() {
        let damaged = RecentCalls(vec![u32::MAX; 100_000]);
        assert_eq!(damaged.buckets().map(|bucket| bucket.calls).sum::<u32>(), 12 * MAX_CALLS);
    }
}
