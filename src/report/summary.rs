//! The headline figures of a range.

use super::{activity::distinct, by_day::FiguresByDay, figures::Sums};
use crate::{
    model::DayRange,
    table::{Counter, Feature, Flag},
};

/// What is said of a range first.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// The range.
    pub days: DayRange,
    /// People that upstream knew on the last day that has rows.
    pub users: u64,
    /// Those of them whose account was activated.
    pub activated: u64,
    /// Different people who were active in the range; `None` where an id was withheld and there is more than a day.
    pub active: Option<u64>,
    /// Active people a day, on average over the days that are there.
    pub active_per_day: f64,
    /// Different people who used each feature, by [`Feature::index`]; `None` as above.
    pub features: [Option<u64>; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
}

/// The headline of a range, from the days that are there; `None` where none has rows.
#[must_use]
pub fn headline(range: DayRange, days: &FiguresByDay) -> Option<Headline> {
    let inside: Vec<&Sums> = days.range(range.first()..=range.last()).map(|(_, figures)| &figures.sums).collect();
    let at_the_end = inside.iter().rfind(|sums| sums.users > 0)?;
    let distinct = |flag| distinct(range, days, flag);
    let actives: u64 = inside.iter().map(|sums| sums.flag(Flag::Active)).sum();
    let mut sums = Sums::default();
    for day in &inside {
        sums.add_counters(day);
    }
    Some(Headline {
        days: range,
        users: at_the_end.users,
        activated: at_the_end.flag(Flag::Activated),
        active: distinct(Flag::Active),
        active_per_day: actives as f64 / inside.len() as f64,
        features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
        counters: sums.counters,
    })
}

/// By how much a figure has grown, as a share of what it was; `None` where either is not known, or it was nothing.
#[must_use]
pub fn change(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    let before = before.filter(|before| *before > 0.0)?;
    Some((now? - before) / before)
}
