//! Splits the requested days into date ranges, so that few calls are needed and enough ranges are fetched in parallel.
//!
//! Fetching a range takes one chain of pages: ⌈rows ÷ 60⌉ calls. Only its last page is partly filled, so a chain wastes
//! at most one call. A tenant of 20 people needs 11 calls for a month in one chain, and 31 calls in one chain per day.
//! A tenant of 20,000 people needs 334 calls per day, so one chain per day wastes less than 1 %, and 30 chains in
//! parallel use the full call rate.

use super::wire::PAGE_SIZE;
use crate::model::{Day, DayRange};

/// Longest date range of one chain, in days. Documented by Feishu.
const MAX_RANGE_DAYS: usize = 31;

/// Pages of a chain above which the one partly filled page wastes at most 2 % of the calls.
const MIN_EFFICIENT_PAGES: f64 = 50.0;

/// While the tenant size is unknown, share of the expected calls that additional chains may waste.
const MAX_WASTE_SHARE: f64 = 0.02;

/// Maximum number of rows per day while nothing is known about the tenant: more people than the largest tenant has.
const MAX_TENANT_ROWS: usize = 1_000_000;

/// A chain may have this many times the rows of the largest fetch so far, and [`MAX_ADDITIONAL_ROWS`] in addition: a tenant
/// can grow between two fetches.
const MAX_GROWTH: f64 = 4.0;
const MAX_ADDITIONAL_ROWS: usize = 100_000;

/// What is known about the number of rows per day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TenantSize {
    /// Rows per day, measured by a completed chain.
    Known(f64),
    /// Minimum pages per day: no chain has completed, and the longest one, for a single day, has received this many.
    AtLeast(usize),
}

impl TenantSize {
    /// Number of calls of a chain over this number of days. `None` if the size is unknown.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    #[must_use]
    pub fn pages(self, days: usize) -> Option<usize> {
        match self {
            Self::Known(rows) => Some(((rows * days as f64 / PAGE_SIZE as f64).ceil() as usize).max(1)),
            Self::AtLeast(_) => None,
        }
    }
}

/// The ranges to fetch next, those of the lowest `rank` first. `pending` holds the requested days, in ascending order
/// without duplicates; `in_flight` is the number of chains in flight, `max_chains` its limit.
#[must_use]
pub fn next_ranges(
    pending: &[Day],
    in_flight: usize,
    size: TenantSize,
    max_chains: usize,
    rank: impl Fn(DayRange) -> u64,
) -> Vec<DayRange> {
    let free_slots = max_chains.saturating_sub(in_flight);
    let (mut ranges, new_chains): (Vec<DayRange>, usize) = match size {
        TenantSize::Known(rows_per_day) => {
            (split_into_ranges(pending, max_range_days(rows_per_day)).collect(), free_slots)
        }
        TenantSize::AtLeast(pages) => {
            let allowed = 1 + extra_chains(pending.len() + in_flight, pages);
            let days = pending.iter().copied().map(DayRange::single);
            (days.collect(), free_slots.min(allowed.saturating_sub(in_flight)))
        }
    };
    ranges.sort_by_key(|range| rank(*range));
    ranges.truncate(new_chains);
    ranges
}

/// Maximum number of rows of a chain over this number of days, by the largest number of rows per day that was measured. A
/// chain that has more does not end by itself.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of rows")]
#[must_use]
pub fn max_rows(largest_rows_per_day: Option<f64>, days: usize) -> usize {
    match largest_rows_per_day {
        Some(rows) => (rows * days as f64 * MAX_GROWTH).ceil() as usize + MAX_ADDITIONAL_ROWS,
        None => MAX_TENANT_ROWS * days,
    }
}

/// The two halves of a range. `None` if it has one day.
#[must_use]
pub fn halves(range: DayRange) -> Option<[DayRange; 2]> {
    let days: Vec<Day> = range.days().collect();
    let (left, right) = days.split_at(days.len().div_ceil(2));
    let half = |days: &[Day]| DayRange::new(*days.first()?, *days.last()?);
    Some([half(left)?, half(right)?])
}

/// Number of days that fill [`MIN_EFFICIENT_PAGES`], at most [`MAX_RANGE_DAYS`].
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 31")]
fn max_range_days(rows_per_day: f64) -> usize {
    let days = (MIN_EFFICIENT_PAGES * PAGE_SIZE as f64 / rows_per_day.max(1.0)).ceil();
    days.clamp(1.0, MAX_RANGE_DAYS as f64) as usize
}

/// Number of chains that may start in addition to the first while the tenant size is unknown. All days need at least
/// `days × pages` calls, and each additional chain wastes at most one call.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
fn extra_chains(days: usize, pages: usize) -> usize {
    (MAX_WASTE_SHARE * days as f64 * pages as f64) as usize
}

/// Splits each sequence of consecutive days into the fewest ranges of at most `max_days` days, of about equal length.
fn split_into_ranges(days: &[Day], max_days: usize) -> impl Iterator<Item = DayRange> {
    days.chunk_by(|day, next| day.next() == *next).flat_map(move |consecutive| {
        let ranges = consecutive.len().div_ceil(max_days);
        let length = consecutive.len().div_ceil(ranges.max(1)).max(1);
        consecutive.chunks(length).filter_map(|range| DayRange::new(*range.first()?, *range.last()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn days(from: i32, count: i32) -> Vec<Day> {
        let first = Day::new(2026, 10, 1).unwrap();
        (from..from + count).map(|offset| first.plus(offset)).collect()
    }

    /// Number of calls for `count` days of `people` rows each: a first chain of one day, then the ranges of the rest.
    fn calls(people: usize, count: i32) -> usize {
        let all = days(0, count);
        let first = next_ranges(&all, 0, TenantSize::AtLeast(0), 16, |_| 0);
        assert_eq!(first.len(), 1, "one day is fetched first");
        let size = TenantSize::Known(people as f64);
        let rest = next_ranges(&all[1..], 0, size, usize::MAX, |_| 0);
        first.iter().chain(&rest).map(|range| (range.len() * people).div_ceil(PAGE_SIZE).max(1)).sum()
    }

    #[test]
    fn a_small_tenant_is_fetched_in_months_and_a_large_one_in_days() {
        assert_eq!(next_ranges(&days(0, 31), 0, TenantSize::Known(20.0), 16, |_| 0).len(), 1);
        assert_eq!(next_ranges(&days(0, 31), 0, TenantSize::Known(5000.0), 99, |_| 0).len(), 31);
        assert_eq!(next_ranges(&days(0, 365), 0, TenantSize::Known(1.0), 99, |_| 0).len(), 12);
    }

    #[test]
    fn days_that_were_not_requested_are_not_fetched() {
        let pending = [days(0, 3), days(5, 2)].concat();
        let ranges = next_ranges(&pending, 0, TenantSize::Known(1.0), 99, |_| 0);
        assert_eq!(ranges.iter().map(|range| range.len()).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_chain_may_have_four_times_the_known_rows_and_some_more() {
        assert_eq!(max_rows(Some(2000.0), 31), 348_000);
        assert_eq!(max_rows(Some(0.0), 1), 100_000);
        assert_eq!(max_rows(None, 2), 2_000_000);
    }

    #[test]
    fn more_chains_start_as_the_known_minimum_size_grows() {
        let pending = days(0, 30);
        assert_eq!(next_ranges(&pending, 1, TenantSize::AtLeast(1), 16, |_| 0).len(), 0);
        assert_eq!(next_ranges(&pending, 1, TenantSize::AtLeast(10), 16, |_| 0).len(), 6);
        assert_eq!(next_ranges(&pending, 1, TenantSize::AtLeast(500), 16, |_| 0).len(), 15);
    }

    proptest! {
        #[test]
        fn halves_have_all_days_of_the_range(from in 0_i32..100, count in 1_i32..32) {
            let days = days(from, count);
            let range = DayRange::new(days[0], days[days.len() - 1]).unwrap();
            if let Some(halves) = halves(range) {
                prop_assert_eq!(halves.iter().flat_map(|half| half.days()).collect::<Vec<_>>(), days);
                prop_assert!(halves[0].len() - halves[1].len() <= 1);
            } else {
                prop_assert_eq!(count, 1);
            }
        }

        #[test]
        fn calls_stay_within_two_percent_and_one_per_chain(people in 1_usize..200_000, count in 1_i32..370) {
            let ideal = (people * usize::try_from(count).unwrap()).div_ceil(PAGE_SIZE);
            let chains = 1 + next_ranges(&days(0, count), 0, TenantSize::Known(people as f64), usize::MAX, |_| 0).len();
            let spent = calls(people, count);
            prop_assert!(spent as f64 <= 1.02 * ideal as f64 + chains as f64, "{} calls for {}", spent, ideal);
            prop_assert!(spent as f64 <= 1.02 * ideal as f64 + 14.0, "{} calls for {}", spent, ideal);
        }

        #[test]
        fn every_pending_day_is_fetched_exactly_once(
            offsets in proptest::collection::btree_set(0_i32..400, 1..200), rows in 0.0..100_000.0_f64,
        ) {
            let pending: Vec<Day> = offsets.iter().flat_map(|offset| days(*offset, 1)).collect();
            let ranges = next_ranges(&pending, 0, TenantSize::Known(rows), usize::MAX, |_| 0);
            prop_assert!(ranges.iter().all(|range| range.len() <= MAX_RANGE_DAYS));
            prop_assert_eq!(ranges.iter().flat_map(|range| range.days()).collect::<Vec<_>>(), pending);
        }
    }
}
