//! Calendar days, inclusive ranges of days, and months.

use std::{fmt, str::FromStr};

use jiff::{
    ToSpan as _,
    civil::{Date, Weekday},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A calendar day without a time zone, written `YYYY-MM-DD`.
///
/// [`Geo`](super::Geo) has the offset that is needed to convert a day to an instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// An inclusive range of days. It has at least one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DayRange {
    first: Day,
    last: Day,
}

/// A calendar month, written `YYYY-MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(Day);

/// The error of parsing a text that is not a calendar day (`YYYY-MM-DD`) or month (`YYYY-MM`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a calendar {expected}")]
pub struct ParseDayError {
    expected: &'static str,
}

impl Day {
    /// The day of a civil date.
    #[must_use]
    pub const fn from_date(date: Date) -> Self {
        Self(date)
    }

    /// The day with this year, month and day of the month. `None` if the calendar has no such day.
    #[must_use]
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        Date::new(year, month, day).ok().map(Self)
    }

    /// This day as a civil date.
    #[must_use]
    pub const fn date(self) -> Date {
        self.0
    }

    /// The next day. Saturates at the end of the calendar (9999-12-31).
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The day that is `days` days later, or earlier if `days` is negative. Saturates at both ends of the calendar.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days.days()))
    }

    /// The number of days from `earlier` to this day. Negative if this day is before `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0.since(earlier.0).map_or(0, |span| span.get_days())
    }

    /// The Monday of this day's week (ISO 8601).
    #[must_use]
    pub fn monday(self) -> Self {
        self.plus(-i32::from(self.0.weekday().to_monday_zero_offset()))
    }

    /// Whether the day is a Saturday or a Sunday.
    #[must_use]
    pub fn is_weekend(self) -> bool {
        matches!(self.0.weekday(), Weekday::Saturday | Weekday::Sunday)
    }

    /// The number of days since 0000-01-01.
    #[must_use]
    pub fn days_since_year_zero(self) -> i32 {
        self.since(Self(Date::ZERO))
    }

    /// The month that contains this day.
    #[must_use]
    pub fn month(self) -> Month {
        Month(Self(self.0.first_of_month()))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    /// Accepts only `YYYY-MM-DD`. Other ISO 8601 notations are rejected, because they are usually mistakes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ParseDayError { expected: "day written YYYY-MM-DD" };
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(error);
        }
        let parsed = (|| Some((parse_digits(&bytes[..4])?, parse_digits(&bytes[5..7])?, parse_digits(&bytes[8..])?)))();
        let (year, month, day) = parsed.ok_or_else(|| error.clone())?;
        let to_i8 = |number: i16| i8::try_from(number).unwrap_or(0);
        Self::new(year, to_i8(month), to_i8(day)).ok_or(error)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl DayRange {
    /// All days of the calendar.
    pub const ALL: Self = Self { first: Day(Date::MIN), last: Day(Date::MAX) };

    /// The range from `first` to `last`, both included. `None` if `last` is before `first`.
    #[must_use]
    pub fn new(first: Day, last: Day) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The range of one day.
    #[must_use]
    pub const fn single(day: Day) -> Self {
        Self { first: day, last: day }
    }

    /// The range of `days` days that ends with `last`. A length of 0 is treated as 1.
    #[must_use]
    pub fn ending(last: Day, days: u16) -> Self {
        Self { first: last.plus(1 - i32::from(days.max(1))), last }
    }

    /// The first day.
    #[must_use]
    pub const fn first(self) -> Day {
        self.first
    }

    /// The last day.
    #[must_use]
    pub const fn last(self) -> Day {
        self.last
    }

    /// The number of days, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub fn len(self) -> usize {
        usize::try_from(self.last.since(self.first)).unwrap_or(0) + 1
    }

    /// Whether the range contains `day`.
    #[must_use]
    pub fn contains(self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }

    /// The days of the range, earliest first.
    #[must_use = "the days are yielded lazily"]
    pub fn days(self) -> impl DoubleEndedIterator<Item = Day> + Clone {
        let count = i32::try_from(self.len()).unwrap_or(i32::MAX);
        (0..count).map(move |offset| self.first.plus(offset))
    }
}

impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl Month {
    /// The first day of the month.
    #[must_use]
    pub const fn first(self) -> Day {
        self.0
    }

    /// All days of the month.
    #[must_use]
    pub fn days(self) -> DayRange {
        DayRange { first: self.0, last: Day(self.0.0.last_of_month()) }
    }
}

impl FromStr for Month {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        format!("{text}-01").parse().map(Self).map_err(|_| ParseDayError { expected: "month written YYYY-MM" })
    }
}

fn parse_digits(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a day")
    }

    #[test]
    fn only_the_notation_with_hyphens_is_parsed_as_a_day() {
        for text in
            ["2026-2-01", "20260201", "2026-02-30", "2026-13-01", "2026-02-01T00:00", " 2026-02-01", "", "2026/02/01"]
        {
            assert!(text.parse::<Day>().is_err(), "{text:?} was parsed as a day");
        }
        assert_eq!(day("2024-02-29").next(), day("2024-03-01"));
    }

    #[test]
    fn a_month_has_all_days_of_the_calendar() {
        let month: Month = "2026-02".parse().expect("a month");
        assert_eq!(month.days().len(), 28);
        assert!("2026-2".parse::<Month>().is_err());
    }

    #[test]
    fn a_week_starts_on_monday() {
        assert_eq!(day("2026-11-22").monday(), day("2026-11-16"));
        assert_eq!(day("2026-11-16").monday(), day("2026-11-16"));
    }

    proptest! {
        #[test]
        fn a_written_day_parses_to_the_same_day(offset in -300_000_i32..300_000) {
            let later = day("2026-01-01").plus(offset);
            prop_assert_eq!(later.to_string().parse::<Day>(), Ok(later));
            prop_assert_eq!(later.since(day("2026-01-01")), offset);
        }

        #[test]
        fn the_length_of_a_range_is_the_number_of_its_days(length in 1_u16..800) {
            let range = DayRange::ending(day("2026-01-01"), length);
            prop_assert_eq!(range.len(), usize::from(length));
            prop_assert_eq!(range.days().count(), usize::from(length));
            prop_assert!(range.days().all(|day| range.contains(day)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,12}") {
            let _ = text.parse::<Day>();
            let _ = text.parse::<Month>();
        }
    }
}
