//! The dates of a report whose people are known, and whether they cover a week or month.

use std::collections::BTreeSet;

use crate::model::{Day, DayRange};

/// The dates whose people are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownDates {
    /// The dates that count.
    pub counted: BTreeSet<Day>,
    /// The dates that are known to have no people.
    pub empty: BTreeSet<Day>,
}

impl KnownDates {
    /// Number of dates of the range that count.
    #[must_use]
    pub fn days_counted(&self, range: DayRange) -> usize {
        self.counted.range(range.first()..=range.last()).count()
    }

    /// Whether each date of the range counts or is known to have no people. Pending, late, missing and expired dates are
    /// neither.
    #[must_use]
    pub fn cover(&self, range: DayRange) -> bool {
        self.days_counted(range) + self.empty.range(range.first()..=range.last()).count() == range.len()
    }
}
