//! Arithmetic and strict parsing of calendar dates.

use std::{iter::successors, ops::RangeInclusive};

use jiff::{ToSpan as _, civil::Date};

/// `date` moved by `days` (negative: back). Saturates at the ends of the calendar.
pub(crate) fn add_days(date: Date, days: i32) -> Date {
    date.saturating_add(days.days())
}

/// Days from `earlier` to `later`; negative if `later` comes first.
pub(crate) fn days_between(earlier: Date, later: Date) -> i32 {
    later.since(earlier).map_or(0, |span| span.get_days())
}

/// The dates of a range, in ascending order.
pub(crate) fn dates(range: &RangeInclusive<Date>) -> impl Iterator<Item = Date> + use<> {
    let last = *range.end();
    let first = (*range.start() <= last).then_some(*range.start());
    successors(first, move |date| (*date < last).then(|| add_days(*date, 1)))
}

/// Parses exactly `YYYY-MM-DD`. Feishu rejects the other notations of ISO 8601.
pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let is_strict = bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if is_strict { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        parse_date(text).expect("a date")
    }

    #[test]
    fn only_the_documented_notation_is_accepted() {
        for wrong in
            ["2026-2-01", "20260201", "2026-02-30", "2026-13-01", "2026-02-01T00:00", " 2026-02-01", "", "2026/02/01"]
        {
            assert_eq!(parse_date(wrong), None, "{wrong:?}");
        }
        assert_eq!(add_days(date("2024-02-29"), 1), date("2024-03-01"));
    }

    #[test]
    fn a_range_contains_both_its_ends() {
        let range = date("2026-02-27")..=date("2026-03-02");

        let all: Vec<Date> = dates(&range).collect();

        assert_eq!(all.len(), 4);
        assert_eq!(days_between(*range.start(), *range.end()), 3);
        assert_eq!(dates(&(date("2026-03-02")..=date("2026-02-27"))).count(), 0);
    }
}
