//! Retention: how many people who activated their accounts in a week or month were active in each later one.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;
use jiff::Timestamp;

use super::{
    activity::{Interval, buckets},
    day_figures::{PersonSet, ratio},
    department_members::MembershipChanges,
    digest::DayDigest,
    figures_by_day::FiguresByDay,
    known_dates::KnownDates,
};
use crate::{
    model::{Day, DayRange, Geo},
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
    /// Number of weeks or months since that of the activation, also of those that are omitted.
    pub offset: usize,
    /// The days of the period.
    pub days: DayRange,
    /// Number of dates of the period that count.
    pub days_counted: usize,
    /// Whether the whole week or month is selected, and each of its dates counts or is known to have no people.
    pub is_complete: bool,
    /// Number of people of the cohort who were active in the period; `None` if it is withheld.
    pub active: Option<u64>,
    /// `active` divided by the size of the cohort; `None` if the cohort is empty.
    pub share: Option<f64>,
}

/// When the people of one geo activated their accounts.
#[derive(Default)]
struct EarliestActivations<'a> {
    /// By person index, because a department whose members change is read again as a whole.
    times: Vec<Option<Timestamp>>,
    changes: MembershipChanges<'a>,
}

/// The day on which each person activated their account: the earliest `register_time` in the given days, in the
/// calendar of its geo. Rows of other days are not used, so the result depends only on the selected days.
#[must_use]
pub fn activation_days(days: &[Arc<DayDigest>]) -> BTreeMap<PersonIndex, Day> {
    // By geo: equal members of two geos can share memory, but the calendars differ.
    let mut geos: BTreeMap<Geo, EarliestActivations<'_>> = BTreeMap::new();
    for digest in days {
        geos.entry(digest.key().geo).or_default().add(digest);
    }
    let mut activations = BTreeMap::new();
    for (geo, earliest) in geos {
        let days = (0..).zip(earliest.times).filter_map(|(person, time)| Some((person, geo.today(time?))));
        if activations.is_empty() {
            activations = days.collect();
            continue;
        }
        for (person, day) in days {
            activations.entry(person).and_modify(|earliest: &mut Day| *earliest = day.min(*earliest)).or_insert(day);
        }
    }
    activations
}

/// The cohorts of `selected`, earliest first. `activated` holds the people who activated on each day, by the same
/// person indices as `days`. `dates` are the dates of `days`, and those without people. Periods without a date that
/// counts are omitted.
#[must_use]
pub fn retention(
    selected: DayRange,
    interval: Interval,
    activated: &BTreeMap<Day, FixedBitSet>,
    days: &FiguresByDay,
    dates: &KnownDates,
) -> Vec<Cohort> {
    // Each with its position among all buckets.
    let periods: Vec<(usize, DayRange, FixedBitSet)> = buckets(selected, interval)
        .enumerate()
        .filter_map(|(position, range)| Some((position, range, active_in(range, days)?)))
        .collect();
    let is_complete = |days: DayRange| days == interval.containing(days.first()) && dates.cover(days);
    let cohort = |first_period: usize, (first_position, range): (usize, DayRange)| {
        let mut people = FixedBitSet::new();
        for (_, set) in activated.range(range.first()..=range.last()) {
            people.union_with(set);
        }
        let count = people.count_ones(..) as u64;
        let period = |(position, days, active): &(usize, DayRange, FixedBitSet)| {
            let active = active.intersection_count(&people) as u64;
            CohortPeriod {
                offset: position - first_position,
                days: *days,
                days_counted: dates.days_counted(*days),
                is_complete: is_complete(*days),
                active: Some(active),
                share: ratio(active, Some(count)),
            }
        };
        Cohort { days: range, people: count, periods: periods[first_period..].iter().map(period).collect() }
    };
    periods.iter().enumerate().map(|(index, (position, range, _))| cohort(index, (*position, *range))).collect()
}

impl<'a> EarliestActivations<'a> {
    fn add(&mut self, digest: &'a DayDigest) {
        for department in digest.departments() {
            if !self.changes.update(department.department, &department.members) {
                continue;
            }
            for (person, time) in department.members.activations() {
                let person = person as usize;
                if self.times.len() <= person {
                    self.times.resize(person + 1, None);
                }
                self.times[person] = Some(self.times[person].map_or(time, |earliest| earliest.min(time)));
            }
        }
    }
}

/// People active on any day of the range; `None` if none of the days is available.
fn active_in(range: DayRange, days: &FiguresByDay) -> Option<FixedBitSet> {
    let mut inside = days.range(range.first()..=range.last()).peekable();
    inside.peek()?;
    Some(PersonSet::union_of(inside.map(|(_, figures)| figures.people_with(Flag::Active))).identified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{DataScope, DayKey, UserIdType},
        table::{DayTableBuilder, Dictionary, Row},
    };

    #[test]
    fn the_activation_day_does_not_depend_on_whether_geos_share_members() {
        let dictionary = Arc::<Dictionary>::default();
        // In China the account was activated a day later than in Singapore.
        let row = Row {
            user_id: Some("ou_1".to_owned()),
            register_time: Some("2026-10-01T20:00:00Z".parse().unwrap()),
            ..Row::default()
        };
        let digest = |geo, previous: Option<&DayDigest>| {
            let day = Day::new(2026, 11, 1).unwrap();
            let key = DayKey { geo, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
            let mut builder = DayTableBuilder::new(key, Arc::clone(&dictionary));
            builder.push(&row);
            Arc::new(DayDigest::from_day(&builder.finish(Timestamp::UNIX_EPOCH), previous))
        };
        let cn = digest(Geo::Cn, None);
        for previous in [None, Some(&*cn)] {
            let days = [Arc::clone(&cn), digest(Geo::Sg, previous)];
            let activated: Vec<Day> = activation_days(&days).into_values().collect();
            assert_eq!(activated, [Day::new(2026, 10, 1).unwrap()], "shared: {}", previous.is_some());
        }
    }
}
