//! Summary figures of a range.

use super::{activity::distinct_people, day_figures::RowSums, figures_by_day::FiguresByDay};
use crate::{
    model::DayRange,
    table::{Counter, Feature, Flag},
};

/// The figures of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSummary {
    /// The range.
    pub days: DayRange,
    /// Number of dates of the range that count.
    pub days_counted: usize,
    /// Number of people on the last date that counts.
    pub users: u64,
    /// How many of these people have an activated account.
    pub activated: u64,
    /// Distinct people who were active in the range. `None` if there are several days and a person's id is missing.
    pub active: Option<u64>,
    /// Average number of active people a day, over the dates that count.
    pub active_per_day: f64,
    /// Distinct people who used each feature, by [`Feature::index`]. `None` under the same condition as `active`.
    pub features: [Option<u64>; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
}

/// The summary of a range, from the figures of the dates that count; `None` if there is none.
#[must_use]
pub fn summarize(range: DayRange, days: &FiguresByDay) -> Option<RangeSummary> {
    let inside: Vec<&RowSums> = days.range(range.first()..=range.last()).map(|(_, figures)| &figures.sums).collect();
    let last = inside.last()?;
    let distinct = |flag| distinct_people(range, days, flag);
    let active_days: u64 = inside.iter().map(|sums| sums.rows_with(Flag::Active)).sum();
    let mut sums = RowSums::default();
    for day in &inside {
        sums.add_counters(day);
    }
    Some(RangeSummary {
        days: range,
        days_counted: inside.len(),
        users: last.users,
        activated: last.rows_with(Flag::Activated),
        active: distinct(Flag::Active),
        active_per_day: active_days as f64 / inside.len() as f64,
        features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
        counters: sums.counters,
    })
}

/// The relative change from `before` to `now`; `None` if either is unknown or `before` is not positive.
#[must_use]
pub fn relative_change(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    let before = before.filter(|before| *before > 0.0)?;
    Some((now? - before) / before)
}
