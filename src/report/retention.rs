//! Retention: how many people who activated their accounts in a week or month were active in each later one.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    activity::{Interval, buckets},
    day_figures::{PersonSet, ratio},
    department_members::MembershipChanges,
    digest::DayDigest,
    figures_by_day::FiguresByDay,
};
use crate::{
    model::{Day, DayRange},
    table::{DayMetadata as _, Flag, PersonIndex},
};

/// People who activated their accounts in the same week or month.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// The week or month of activation.
    pub days: DayRange,
    /// Number of people in the cohort.
    pub people: u64,
    /// Their activity in each period, beginning with the period of activation.
    pub periods: Vec<CohortPeriod>,
}

/// The activity of a cohort in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct CohortPeriod {
    /// The days of the period.
    pub days: DayRange,
    /// Number of people of the cohort who were active in the period.
    pub active: u64,
    /// `active` divided by the size of the cohort; `None` if the cohort is empty.
    pub share: Option<f64>,
}

/// The day on which each person activated their account: the earliest `register_time` in the given days, in the
/// calendar of its geo. Rows of other days are not used, so the result depends only on the selected days.
#[must_use]
pub fn activation_days(days: &[Arc<DayDigest>]) -> BTreeMap<PersonIndex, Day> {
    let mut activations = BTreeMap::new();
    let mut changes = MembershipChanges::default();
    for digest in days {
        let geo = digest.key().geo;
        for department in digest.departments() {
            if !changes.update(department.department, &department.members) {
                continue;
            }
            for (person, time) in department.members.activations() {
                let day = geo.today(time);
                activations
                    .entry(person)
                    .and_modify(|earliest: &mut Day| *earliest = day.min(*earliest))
                    .or_insert(day);
            }
        }
    }
    activations
}

/// The cohorts of `selected`, earliest first. `activated` holds the people who activated on each day, by the same
/// person indices as `days`. Periods without available days are omitted.
#[must_use]
pub fn retention(
    selected: DayRange,
    interval: Interval,
    activated: &BTreeMap<Day, FixedBitSet>,
    days: &FiguresByDay,
) -> Vec<Cohort> {
    let periods: Vec<(DayRange, FixedBitSet)> =
        buckets(selected, interval).filter_map(|range| Some((range, active_in(range, days)?))).collect();
    let cohort = |first_period: usize, range: DayRange| {
        let mut people = FixedBitSet::new();
        for (_, set) in activated.range(range.first()..=range.last()) {
            people.union_with(set);
        }
        let count = people.count_ones(..) as u64;
        let period = |(days, active): &(DayRange, FixedBitSet)| {
            let active = active.intersection_count(&people) as u64;
            CohortPeriod { days: *days, active, share: ratio(active, Some(count)) }
        };
        Cohort { days: range, people: count, periods: periods[first_period..].iter().map(period).collect() }
    };
    periods.iter().enumerate().map(|(index, (range, _))| cohort(index, *range)).collect()
}

/// People active on any day of the range; `None` if none of the days is available.
fn active_in(range: DayRange, days: &FiguresByDay) -> Option<FixedBitSet> {
    let mut inside = days.range(range.first()..=range.last()).peekable();
    inside.peek()?;
    Some(PersonSet::union_of(inside.map(|(_, figures)| figures.people_with(Flag::Active))).identified)
}
