//! Distinct active people in the 7 and 30 days that end with a day.

use std::collections::{BTreeMap, BTreeSet};

use super::{day_figures::PersonSet, figures_by_day::FiguresByDay, sliding_window::distinct_in_windows};
use crate::{
    model::{Day, DayRange},
    table::Flag,
};

/// Length of the shorter window in days, the last day included.
pub const WEEK_DAYS: u16 = 7;

/// Length of the longer window in days, the last day included.
pub const MONTH_DAYS: u16 = 30;

/// Distinct people active in the 7 and in the 30 days that end with each day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailingCounts {
    week: BTreeMap<Day, u64>,
    month: BTreeMap<Day, u64>,
}

/// Distinct people active in the windows that end with one day. A count is `None` if a day of its window is missing or
/// a person's id is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrailingActive {
    /// Active in 7 days.
    pub wau: Option<u64>,
    /// Active in 30 days.
    pub mau: Option<u64>,
}

impl TrailingCounts {
    /// The counts of each day that enough consecutive days precede. `empty` are the dates that are known to have no
    /// people; they are not in `days`.
    #[must_use]
    pub fn new(days: &FiguresByDay, empty: &BTreeSet<Day>) -> Self {
        Self { week: counts(days, empty, WEEK_DAYS), month: counts(days, empty, MONTH_DAYS) }
    }

    /// The counts of those windows that contain none of these days.
    #[must_use]
    pub fn without(&self, hidden: &BTreeSet<Day>) -> Self {
        let visible = |counts: &BTreeMap<Day, u64>, length| {
            let is_visible = |day: Day| hidden.range(DayRange::ending(day, length).first()..=day).next().is_none();
            counts.iter().filter(|(day, _)| is_visible(**day)).map(|(day, count)| (*day, *count)).collect()
        };
        Self { week: visible(&self.week, WEEK_DAYS), month: visible(&self.month, MONTH_DAYS) }
    }

    /// The counts of the windows that end with `day`.
    #[must_use]
    pub fn ending_on(&self, day: Day) -> TrailingActive {
        TrailingActive { wau: self.week.get(&day).copied(), mau: self.month.get(&day).copied() }
    }
}

fn counts(days: &FiguresByDay, empty: &BTreeSet<Day>, length: u16) -> BTreeMap<Day, u64> {
    let mut counts = BTreeMap::new();
    let nobody = PersonSet::default();
    let mut known: BTreeMap<Day, &PersonSet> = empty.iter().map(|day| (*day, &nobody)).collect();
    known.extend(days.iter().map(|(day, figures)| (*day, figures.people_with(Flag::Active))));
    let known: Vec<(Day, &PersonSet)> = known.into_iter().collect();
    for consecutive in known.chunk_by(|(day, _), (next, _)| day.next() == *next) {
        let sets: Vec<&PersonSet> = consecutive.iter().map(|(_, people)| *people).collect();
        let windows = consecutive.iter().zip(distinct_in_windows(&sets, length.into()));
        counts.extend(windows.filter_map(|((day, _), count)| Some((*day, count?))));
    }
    counts
}
