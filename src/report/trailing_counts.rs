//! People active in the days up to a day: a week of them and a month.

use std::collections::BTreeMap;

use super::{by_day::FiguresByDay, figures::People, sliding::distinct_in_windows};
use crate::{model::Day, table::Flag};

/// Days of the shorter figure, its own day included.
pub const WEEK: u16 = 7;

/// Days of the longer one.
pub const MONTH: u16 = 30;

/// Different people active in the 7 and in the 30 days that end with each day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailing {
    week: BTreeMap<Day, u64>,
    month: BTreeMap<Day, u64>,
}

impl Trailing {
    /// For each of these days before which enough others are there.
    #[must_use]
    pub fn over(days: &FiguresByDay) -> Self {
        Self { week: counts(days, WEEK), month: counts(days, MONTH) }
    }

    /// The two counts that end with a day; `None` where one of their days is not there, or where an id is withheld.
    #[must_use]
    pub fn to(&self, day: Day) -> (Option<u64>, Option<u64>) {
        (self.week.get(&day).copied(), self.month.get(&day).copied())
    }
}

fn counts(days: &FiguresByDay, length: u16) -> BTreeMap<Day, u64> {
    let mut counts = BTreeMap::new();
    let days: Vec<(Day, &People)> = days.iter().map(|(day, figures)| (*day, figures.people(Flag::Active))).collect();
    for run in days.chunk_by(|(day, _), (next, _)| day.next() == *next) {
        let sets: Vec<&People> = run.iter().map(|(_, people)| *people).collect();
        let windows = run.iter().zip(distinct_in_windows(&sets, length.into()));
        counts.extend(windows.filter_map(|((day, _), count)| Some((*day, count?))));
    }
    counts
}
