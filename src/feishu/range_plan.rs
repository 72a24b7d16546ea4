//! Which days to ask for together: as few calls as possible, and enough chains side by side.
//!
//! A chain costs ⌈rows ÷ 60⌉ calls, so each chain wastes at most one call on its last, partly filled page. A
//! 20-person tenant needs 11 calls for a month in one chain and 31 in a chain a day; a tenant of 20,000 people wastes
//! nothing worth mentioning in a chain a day, and thirty chains side by side are as fast as the rate allows.

use super::transport::PAGE_SIZE;
use crate::model::{Day, DayRange};

/// Upstream's longest span, in days.
const LONGEST: usize = 31;

/// A chain of at least this many pages wastes at most 2 % of its calls.
const THRIFTY_PAGES: f64 = 50.0;

/// While the size is unknown, chains are begun on the chance that they waste a call; this share of all calls may.
const WASTE: f64 = 0.02;

/// What is known of the rows that a series has each day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// So many rows a day, from chains that ended.
    Known(f64),
    /// The first chains are still running; the longest of them has brought so many pages, of one day.
    AtLeast(usize),
}

impl Size {
    /// Calls that a chain over so many days costs, where that can be told.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    #[must_use]
    pub fn pages(self, days: usize) -> Option<usize> {
        match self {
            Self::Known(rows) => Some(((rows * days as f64 / PAGE_SIZE as f64).ceil() as usize).max(1)),
            Self::AtLeast(_) => None,
        }
    }
}

/// The spans to begin now, out of the days that wait (in order, no day twice), while `running` chains are under way
/// and no more than `most` shall be.
#[must_use]
pub fn next_spans(waiting: &[Day], running: usize, size: Size, most: usize) -> Vec<DayRange> {
    let room = most.saturating_sub(running);
    match size {
        Size::Known(rows_a_day) => spans(waiting, longest_span(rows_a_day)).take(room).collect(),
        Size::AtLeast(pages) => {
            let allowed = 1 + extra_probes(waiting.len() + running, pages);
            let begin = room.min(allowed.saturating_sub(running));
            waiting.iter().take(begin).copied().map(DayRange::single).collect()
        }
    }
}

/// The days of a span that is long enough to be thrifty.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 31")]
fn longest_span(rows_a_day: f64) -> usize {
    let days = (THRIFTY_PAGES * PAGE_SIZE as f64 / rows_a_day.max(1.0)).ceil();
    days.clamp(1.0, LONGEST as f64) as usize
}

/// A day of at least `pages` pages makes all `days` cost at least their product; a wrong guess costs one call.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
fn extra_probes(days: usize, pages: usize) -> usize {
    (WASTE * days as f64 * pages as f64) as usize
}

/// Cuts each unbroken run of days into the fewest spans of at most `longest` days, of about equal length.
fn spans(days: &[Day], longest: usize) -> impl Iterator<Item = DayRange> {
    days.chunk_by(|one, next| one.next() == *next).flat_map(move |run| {
        let pieces = run.len().div_ceil(longest);
        let length = run.len().div_ceil(pieces.max(1)).max(1);
        run.chunks(length).filter_map(|piece| DayRange::new(*piece.first()?, *piece.last()?))
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

    /// Calls for `count` days of `people` rows each, where the plan is followed to its end.
    fn calls(people: usize, count: i32) -> usize {
        let all = days(0, count);
        let probe = next_spans(&all, 0, Size::AtLeast(0), 16);
        assert_eq!(probe.len(), 1, "one day is asked for first");
        let known = Size::Known(people as f64);
        let rest = next_spans(&all[1..], 0, known, usize::MAX);
        probe.iter().chain(&rest).map(|span| (span.len() * people).div_ceil(PAGE_SIZE).max(1)).sum()
    }

    #[test]
    fn small_tenants_are_asked_for_a_month_at_once_and_large_ones_day_by_day() {
        assert_eq!(next_spans(&days(0, 31), 0, Size::Known(20.0), 16).len(), 1);
        assert_eq!(next_spans(&days(0, 31), 0, Size::Known(5000.0), 99).len(), 31);
        assert_eq!(next_spans(&days(0, 365), 0, Size::Known(1.0), 99).len(), 12);
    }

    #[test]
    fn a_gap_is_not_asked_for() {
        let waiting = [days(0, 3), days(5, 2)].concat();
        let spans = next_spans(&waiting, 0, Size::Known(1.0), 99);
        assert_eq!(spans.iter().map(|span| span.len()).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn chains_are_added_as_a_large_tenant_shows_its_size() {
        let waiting = days(0, 30);
        assert_eq!(next_spans(&waiting, 1, Size::AtLeast(1), 16).len(), 0);
        assert_eq!(next_spans(&waiting, 1, Size::AtLeast(10), 16).len(), 6);
        assert_eq!(next_spans(&waiting, 1, Size::AtLeast(500), 16).len(), 15);
    }

    proptest! {
        #[test]
        fn calls_stay_within_two_percent_and_one_a_chain(people in 1_usize..200_000, count in 1_i32..370) {
            let ideal = (people * usize::try_from(count).unwrap()).div_ceil(PAGE_SIZE);
            let chains = 1 + next_spans(&days(0, count), 0, Size::Known(people as f64), usize::MAX).len();
            let spent = calls(people, count);
            prop_assert!(spent as f64 <= 1.02 * ideal as f64 + chains as f64, "{} calls for {}", spent, ideal);
            prop_assert!(spent as f64 <= 1.02 * ideal as f64 + 14.0, "{} calls for {}", spent, ideal);
        }

        #[test]
        fn every_waiting_day_is_asked_for_exactly_once(
            wanted in proptest::collection::btree_set(0_i32..400, 1..200), rows in 0.0..100_000.0_f64,
        ) {
            let waiting: Vec<Day> = wanted.iter().flat_map(|offset| days(*offset, 1)).collect();
            let spans = next_spans(&waiting, 0, Size::Known(rows), usize::MAX);
            prop_assert!(spans.iter().all(|span| span.len() <= LONGEST));
            prop_assert_eq!(spans.iter().flat_map(|span| span.days()).collect::<Vec<_>>(), waiting);
        }
    }
}
