//! The figures of a range of days: of a bucket of activity, of a summary, of a department.

use super::{
    day_counts::{DistinctCounts, count_distinct},
    day_figures::{RowSums, ratio},
    people_by_date::PeopleOfDate,
    people_view::PeopleView,
};
use crate::table::{Counter, Feature, Flag};

/// The figures of a range. All are over the dates that count.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeFigures {
    /// Number of dates that count.
    pub days_counted: usize,
    /// Number of people with a row on the last date that counts.
    pub users: u64,
    /// Distinct people with a row on any date. This and all other distinct counts are `None` if there are several dates
    /// and a person's id is missing, or if distinct people were not counted.
    pub people: Option<u64>,
    /// Distinct people whose account was activated on any date.
    pub activated: Option<u64>,
    /// Use of any feature.
    pub suite: Use,
    /// Mean over the dates of the active people divided by the activated people of the date. Dates without activated people
    /// are left out; `None` if there is no other.
    pub active_rate_per_day: Option<f64>,
    /// On how many dates a person must be active, or use a feature, to be counted in [`Use::regular`].
    pub regular_days: usize,
    /// Use of each feature, by [`Feature::index`].
    pub features: [Use; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// How many people used something in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// Distinct people who used it on at least one date.
    pub active: Option<u64>,
    /// People who used it on a date, on average over the dates.
    pub active_per_day: f64,
    /// Distinct people who used it on at least [`RangeFigures::regular_days`] dates. `None` also if the range has fewer
    /// dates that count.
    pub regular: Option<u64>,
}

/// Sums over the dates of a range, added date by date.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RangeSums {
    /// Number of dates.
    pub days: usize,
    /// The sums of the last date.
    pub last: RowSums,
    /// The sums of all dates. People count once for each date.
    pub all: RowSums,
    /// Sum of the daily shares of active people among the activated.
    pub active_rates: f64,
    /// Number of dates that have such a share.
    pub days_with_rate: usize,
}

/// Numbers of distinct people over a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DistinctPeople {
    /// People with a row.
    pub people: Option<u64>,
    /// People who have each flag on at least one date, by [`Flag::index`].
    pub with_flag: [Option<u64>; Flag::COUNT],
    /// People who have each flag on at least the `regular_days`, by [`Flag::index`].
    pub regular: [Option<u64>; Flag::COUNT],
}

/// On how many dates a person must be active, or use a feature, to count as regular, if nothing else is requested: a quarter
/// of the dates that count, rounded up, such as 1 of 3, 2 of 7 and 8 of 30.
#[must_use]
pub fn default_regular_days(days_counted: usize) -> usize {
    days_counted.div_ceil(4).max(1)
}

impl RangeSums {
    /// Adds the sums of the next date.
    pub fn add_day(&mut self, day: &RowSums) {
        self.days += 1;
        self.last = *day;
        self.all.add(day);
        self.add_active_rate(day.rows_with(Flag::Active), day.rows_with(Flag::Activated));
    }

    /// Adds the share of active people of one date, if it has one.
    pub fn add_active_rate(&mut self, active: u64, activated: u64) {
        if let Some(rate) = ratio(active, Some(activated)) {
            self.active_rates += rate;
            self.days_with_rate += 1;
        }
    }
}

impl DistinctPeople {
    /// The people of one date. In one geo each person has one row a day, so counting rows counts people.
    #[must_use]
    pub fn of_one_day(sums: &RowSums, regular_days: usize) -> Self {
        let with_flag = sums.flags.map(Some);
        let regular = if regular_days > 1 { [None; Flag::COUNT] } else { with_flag };
        Self { people: Some(sums.users), with_flag, regular }
    }

    /// The people of several dates.
    #[must_use]
    pub fn of_dates(dates: &[PeopleOfDate], regular_days: usize) -> Self {
        let with_row: Vec<PeopleView<'_>> = dates.iter().map(PeopleOfDate::with_row).collect();
        let counts = Flag::ALL.map(|flag| {
            let people: Vec<PeopleView<'_>> = dates.iter().map(|date| date.with_flag(flag)).collect();
            // An account stays activated, so nobody counts its days.
            count_distinct(&people, if flag == Flag::Activated { 1 } else { regular_days })
        });
        let is_counted = |flag: Flag| flag != Flag::Activated && regular_days <= dates.len();
        let regular = |flag: Flag| counts[flag.index()].filter(|_| is_counted(flag)).map(|counts| counts.in_at_least);
        Self {
            people: count_distinct(&with_row, 1).map(|counts| counts.in_any),
            with_flag: counts.map(|counts| counts.map(|DistinctCounts { in_any, .. }| in_any)),
            regular: Flag::ALL.map(regular),
        }
    }
}

impl RangeFigures {
    /// The figures of the dates that count.
    #[must_use]
    pub fn new(sums: &RangeSums, distinct: &DistinctPeople, regular_days: usize) -> Self {
        let per_day = |sum: u64| if sums.days == 0 { 0.0 } else { sum as f64 / sums.days as f64 };
        let of = |flag: Flag| Use {
            active: distinct.with_flag[flag.index()],
            active_per_day: per_day(sums.all.rows_with(flag)),
            regular: distinct.regular[flag.index()],
        };
        Self {
            days_counted: sums.days,
            users: sums.last.users,
            people: distinct.people,
            activated: distinct.with_flag[Flag::Activated.index()],
            suite: of(Flag::Active),
            active_rate_per_day: (sums.days_with_rate > 0).then(|| sums.active_rates / sums.days_with_rate as f64),
            regular_days,
            features: Feature::ALL.map(|feature| of(Flag::Feature(feature))),
            counters: sums.all.counters,
        }
    }
}
