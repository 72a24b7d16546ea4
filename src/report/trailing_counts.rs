//! Distinct active people in the 7 and 30 days that end with a day.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    day_figures::PersonSet, people_by_date::PeopleByDate, people_view::PeopleView, sliding_window::distinct_in_windows,
};
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
    /// The counts of each date that enough consecutive dates precede. `empty` are the dates that are known to have no
    /// people; they are not in `people`.
    #[must_use]
    pub fn new(people: &PeopleByDate, empty: &BTreeSet<Day>) -> Self {
        let nobody = PersonSet::default();
        let mut known: BTreeMap<Day, PeopleView<'_>> =
            empty.iter().map(|day| (*day, PeopleView::from(&nobody))).collect();
        known.extend(people.dates().iter().map(|date| (date.day, date.with_flag(Flag::Active))));
        let (dates, active): (Vec<Day>, Vec<PeopleView<'_>>) = known.into_iter().unzip();
        let mut counts = Self::default();
        let mut first = 0;
        for consecutive in dates.chunk_by(|day, next| day.next() == *next) {
            let active = &active[first..][..consecutive.len()];
            first += consecutive.len();
            let [week, month] = distinct_in_windows(active, [WEEK_DAYS, MONTH_DAYS].map(usize::from));
            let of_days = |counts: Vec<Option<u64>>| {
                consecutive.iter().zip(counts).filter_map(|(day, count)| Some((*day, count?)))
            };
            counts.week.extend(of_days(week));
            counts.month.extend(of_days(month));
        }
        counts
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
