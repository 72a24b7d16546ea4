//! Retention: of the people who began in a week or month, how many were active in each later one.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    activity::{Interval, buckets},
    by_day::FiguresByDay,
    crew::Changes,
    digest::Digest,
    figures::{People, share},
};
use crate::{
    model::{Day, DayRange},
    table::{Flag, Origin as _, PersonNo},
};

/// People who began in the same week or month.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// When they began.
    pub days: DayRange,
    /// How many they are.
    pub people: u64,
    /// How many were active, from the period in which they began on.
    pub periods: Vec<Period>,
}

/// A cohort in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// The period.
    pub days: DayRange,
    /// How many of the cohort were active in it.
    pub active: u64,
    /// Their share of the cohort; `None` where the cohort is empty.
    pub share: Option<f64>,
}

/// The day on which each person of these days activated their account: the earliest that any of their rows tells, in the
/// calendar of its geo. Rows of other days say nothing, so that the answer depends on the selected ones alone.
#[must_use]
pub fn activations(days: &[Arc<Digest>]) -> BTreeMap<PersonNo, Day> {
    let mut activations = BTreeMap::new();
    let mut crews = Changes::default();
    for digest in days {
        let geo = digest.key().geo;
        for part in digest.departments() {
            if !crews.note(part.department, &part.crew) {
                continue;
            }
            for (person, time) in part.crew.activations() {
                let day = geo.today(time);
                activations.entry(person).and_modify(|known: &mut Day| *known = day.min(*known)).or_insert(day);
            }
        }
    }
    activations
}

/// The cohorts of `selected`, the earliest first. `began` are the people who began on each day, by the numbers that
/// `days` knows them by. Periods none of whose days is there are left out.
#[must_use]
pub fn retention(
    selected: DayRange,
    interval: Interval,
    began: &BTreeMap<Day, FixedBitSet>,
    days: &FiguresByDay,
) -> Vec<Cohort> {
    let periods: Vec<(DayRange, FixedBitSet)> =
        buckets(selected, interval).filter_map(|range| Some((range, active_in(range, days)?))).collect();
    let cohort = |at: usize, range: DayRange| {
        let mut people = FixedBitSet::new();
        for (_, set) in began.range(range.first()..=range.last()) {
            people.union_with(set);
        }
        let count = people.count_ones(..) as u64;
        let period = |(days, active): &(DayRange, FixedBitSet)| {
            let active = active.intersection_count(&people) as u64;
            Period { days: *days, active, share: share(active, Some(count)) }
        };
        Cohort { days: range, people: count, periods: periods[at..].iter().map(period).collect() }
    };
    periods.iter().enumerate().map(|(at, (range, _))| cohort(at, *range)).collect()
}

/// Everyone who was active on any of these days; `None` where none of them is there.
fn active_in(range: DayRange, days: &FiguresByDay) -> Option<FixedBitSet> {
    let mut inside = days.range(range.first()..=range.last()).peekable();
    inside.peek()?;
    Some(People::united(inside.map(|(_, figures)| figures.people(Flag::Active))).known)
}
