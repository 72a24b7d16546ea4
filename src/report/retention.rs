//! Retention: how many people who activated their accounts in a week or month were active in each later one.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;
use jiff::Timestamp;

use super::{
    activity::{Interval, buckets},
    day_counts::in_any,
    day_figures::ratio,
    department_members::MembershipChanges,
    digest::DayDigest,
    known_dates::KnownDates,
    people_by_date::{PeopleByDate, PeopleOfDate},
};
use crate::{
    model::{Day, DayRange, Geo},
    table::{DayMetadata as _, Flag},
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

/// When each person activated their account: the earliest `register_time` in some days, in the calendar of its geo.
#[derive(Debug, Default)]
pub struct Activations {
    by_person: Vec<Option<Day>>,
}

/// Marks people without an activated account.
const NEVER: i64 = i64::MAX;

impl Activations {
    /// The activations in these days. Rows of other days are not used, so the result depends only on the selected days.
    #[must_use]
    pub fn from_days(days: &[Arc<DayDigest>]) -> Self {
        // By geo: equal members of two geos can share memory, but the calendars differ.
        let mut by_geo: BTreeMap<Geo, (MembershipChanges<'_>, Vec<i64>)> = BTreeMap::new();
        for digest in days {
            let (changes, earliest) = by_geo.entry(digest.key().geo).or_default();
            for department in digest.departments() {
                changes.for_each_new_activation(department.department, &department.members, |person, seconds| {
                    let person = person as usize;
                    if earliest.len() <= person {
                        earliest.resize(person + 1, NEVER);
                    }
                    earliest[person] = seconds.min(earliest[person]);
                });
            }
        }
        let mut by_person: Vec<Option<Day>> = Vec::new();
        for (geo, (_, earliest)) in by_geo {
            by_person.resize(by_person.len().max(earliest.len()), None);
            for (day, seconds) in by_person.iter_mut().zip(earliest) {
                *day = [*day, day_of(geo, seconds)].into_iter().flatten().min();
            }
        }
        Self { by_person }
    }

    /// The day on which the person activated their account.
    #[must_use]
    pub fn day(&self, person: usize) -> Option<Day> {
        self.by_person.get(person).copied().flatten()
    }
}

/// The day of a time in seconds since the Unix epoch; `None` for [`NEVER`].
fn day_of(geo: Geo, seconds: i64) -> Option<Day> {
    Some(geo.today(Timestamp::from_second(seconds).ok()?))
}

/// The cohorts of `selected`, earliest first. `dates` are the dates of `people`, and those without people. Periods without
/// a date that counts are omitted.
#[must_use]
pub fn retention(
    selected: DayRange,
    interval: Interval,
    activations: &Activations,
    people: &PeopleByDate,
    dates: &KnownDates,
) -> Vec<Cohort> {
    // Each with its position among all buckets.
    let periods: Vec<(usize, DayRange, FixedBitSet)> = buckets(selected, interval)
        .enumerate()
        .filter_map(|(position, range)| Some((position, range, active_in(range, people)?)))
        .collect();
    let is_complete = |days: DayRange| days == interval.containing(days.first()) && dates.cover(days);
    let cohorts = cohorts(periods.iter().map(|(_, range, _)| *range), activations, people);
    let cohort = |first_period: usize, (first_position, range): (usize, DayRange), people: &FixedBitSet| {
        let count = people.count_ones(..) as u64;
        let period = |(position, days, active): &(usize, DayRange, FixedBitSet)| {
            let active = active.intersection_count(people) as u64;
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
    let with_people = periods.iter().zip(&cohorts).enumerate();
    with_people.map(|(index, ((position, range, _), people))| cohort(index, (*position, *range), people)).collect()
}

/// The people with a row who activated their accounts in each of these periods, which are in order.
fn cohorts(
    periods: impl Iterator<Item = DayRange>,
    activations: &Activations,
    people: &PeopleByDate,
) -> Vec<FixedBitSet> {
    let periods: Vec<DayRange> = periods.collect();
    let with_row = in_any(&people.dates().iter().map(PeopleOfDate::with_row).collect::<Vec<_>>());
    let mut cohorts = vec![FixedBitSet::with_capacity(with_row.len()); periods.len()];
    for person in with_row.ones() {
        let Some(day) = activations.day(person) else { continue };
        let position = periods.partition_point(|period| period.last() < day);
        if periods.get(position).is_some_and(|period| period.contains(day)) {
            cohorts[position].insert(person);
        }
    }
    cohorts
}

/// People active on any day of the range; `None` if none of the days is available.
fn active_in(range: DayRange, people: &PeopleByDate) -> Option<FixedBitSet> {
    let active: Vec<_> = people.within(range).iter().map(|date| date.with_flag(Flag::Active)).collect();
    (!active.is_empty()).then(|| in_any(&active))
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
            let activated = Activations::from_days(&days).day(0);
            assert_eq!(activated, Day::new(2026, 10, 1), "shared: {}", previous.is_some());
        }
    }
}
