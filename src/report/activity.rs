//! Activity over time, in buckets of a day, a week or a month.

use std::ops::Deref;

use super::{
    day_figures::{DayFigures, PersonSet, RowSums, ratio},
    figures_by_day::FiguresByDay,
    trailing_counts::{TrailingActive, TrailingCounts},
};
use crate::{
    model::{Day, DayRange},
    table::{Counter, Feature, Flag},
};

/// The length of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// One day.
    #[default]
    Day,
    /// Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

/// The figures of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityBucket {
    /// The selected days of the bucket.
    pub days: DayRange,
    /// Number of rows on the last day of the bucket that has rows.
    pub users: u64,
    /// How many of these people have an activated account.
    pub activated: u64,
    /// Distinct people who were active in the bucket. `None` if the bucket has several days and a person's id is
    /// missing.
    pub active: Option<u64>,
    /// Distinct people who used each feature, by [`Feature::index`]. `None` under the same condition as `active`.
    pub features: [Option<u64>; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
    /// Distinct people active in the 7 days that end with the bucket's last day. `None` if one of these days is missing
    /// or a person's id is missing.
    pub wau: Option<u64>,
    /// The same over 30 days.
    pub mau: Option<u64>,
    /// People active on the bucket's last day, divided by `mau`.
    pub stickiness: Option<f64>,
}

impl Interval {
    /// The whole bucket that contains `day`. It may extend beyond the selected range.
    #[must_use]
    pub fn containing(self, day: Day) -> DayRange {
        let (first, last) = match self {
            Self::Day => (day, day),
            Self::Week => (day.monday(), day.monday().plus(6)),
            Self::Month => (day.month().days().first(), day.month().days().last()),
        };
        DayRange::new(first, last).unwrap_or(DayRange::single(day))
    }
}

/// The buckets of a range, in order. The first and the last bucket are cut to the range.
pub fn buckets(selected: DayRange, interval: Interval) -> impl Iterator<Item = DayRange> {
    let bucket_from = move |first: Day| DayRange::new(first, interval.containing(first).last().min(selected.last()));
    std::iter::successors(bucket_from(selected.first()), move |bucket| {
        // The calendar has a last day, so the next day exists only inside the range.
        (bucket.last() < selected.last()).then(|| bucket.last().next()).and_then(bucket_from)
    })
}

/// The activity over `selected`.
///
/// `days` holds the sums of each available day. `trailing` holds the trailing counts of these days. `figures` is
/// dereferenced only if a bucket has several days. A bucket without available days is omitted.
#[must_use]
pub fn activity(
    selected: DayRange,
    interval: Interval,
    days: &[(Day, RowSums)],
    figures: &impl Deref<Target = FiguresByDay>,
    trailing: &TrailingCounts,
) -> Vec<ActivityBucket> {
    let bucket = |range: DayRange| {
        let first = days.partition_point(|(day, _)| *day < range.first());
        let inside = &days[first..][..days[first..].partition_point(|(day, _)| *day <= range.last())];
        let (last, sums) = inside.last()?;
        let TrailingActive { wau, mau } = trailing.ending_on(*last);
        let stickiness = ratio(sums.rows_with(Flag::Active), mau);
        let bucket = match inside {
            [_] => ActivityBucket::from_one_day(range, sums),
            _ => ActivityBucket::from_several_days(range, inside, figures),
        };
        Some(ActivityBucket { wau, mau, stickiness, ..bucket })
    };
    buckets(selected, interval).filter_map(bucket).collect()
}

impl ActivityBucket {
    /// A bucket of one day, without trailing counts. Each person has one row a day, so counting rows counts people.
    fn from_one_day(days: DayRange, sums: &RowSums) -> Self {
        Self {
            days,
            users: sums.users,
            activated: sums.rows_with(Flag::Activated),
            active: Some(sums.rows_with(Flag::Active)),
            features: Feature::ALL.map(|feature| Some(sums.rows_with(Flag::Feature(feature)))),
            counters: sums.counters,
            wau: None,
            mau: None,
            stickiness: None,
        }
    }

    /// A bucket of several days, without trailing counts.
    fn from_several_days(range: DayRange, days: &[(Day, RowSums)], figures: &FiguresByDay) -> Self {
        let last_with_rows =
            days.iter().rfind(|(_, sums)| sums.users > 0).map_or_else(RowSums::default, |(_, sums)| *sums);
        let mut sums = RowSums::default();
        for (_, day) in days {
            sums.add_counters(day);
        }
        let distinct = |flag: Flag| distinct_people(range, figures, flag);
        Self {
            active: distinct(Flag::Active),
            features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
            counters: sums.counters,
            ..Self::from_one_day(range, &last_with_rows)
        }
    }
}

/// Distinct people who have the flag on any day of the range.
pub(super) fn distinct_people(range: DayRange, days: &FiguresByDay, flag: Flag) -> Option<u64> {
    let inside: Vec<&DayFigures> = days.range(range.first()..=range.last()).map(|(_, figures)| &**figures).collect();
    if let [only] = inside[..] {
        return Some(only.sums.rows_with(flag));
    }
    PersonSet::union_of(inside.into_iter().map(|figures| figures.people_with(flag))).distinct_count()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashSet},
        sync::Arc,
    };

    use proptest::prelude::*;

    use super::{super::figures_by_day::SumsByDay, *};
    use crate::table::Flags;

    /// A small tenant as plain maps: for each day and person, whether they were active and how many messages they sent.
    type Naive = BTreeMap<Day, BTreeMap<u32, (bool, u64)>>;

    fn first() -> Day {
        Day::new(2026, 9, 25).unwrap()
    }

    fn figures(people: &BTreeMap<u32, (bool, u64)>) -> Arc<DayFigures> {
        let mut figures = DayFigures::default();
        for (person, (active, messages)) in people {
            let flags = Flags::default().with(Flag::Activated, true).with(Flag::Active, *active);
            figures.add_person(Some(*person), flags);
            let counter = |counter| if counter == Counter::SendMessengerNum { *messages } else { 0 };
            figures.sums.add_row(flags, counter);
        }
        Arc::new(figures)
    }

    fn sums(days: &FiguresByDay) -> SumsByDay {
        days.iter().map(|(day, figures)| (*day, figures.sums)).collect()
    }

    fn active_in(tenant: &Naive, range: DayRange) -> u64 {
        let days = tenant.range(range.first()..=range.last());
        let people = days.flat_map(|(_, people)| people.iter().filter(|(_, (active, _))| *active));
        people.map(|(person, _)| person).collect::<HashSet<_>>().len() as u64
    }

    prop_compose! {
        fn tenant()(days in proptest::collection::vec(
            proptest::collection::btree_map(0_u32..40, (any::<bool>(), 0_u64..100), 0..20), 1..80,
        )) -> Naive {
            days.into_iter().enumerate().map(|(at, people)| (first().plus(i32::try_from(at).unwrap()), people)).collect()
        }
    }

    proptest! {
        #[test]
        fn every_figure_equals_a_naive_computation(
            tenant in tenant(), interval in proptest::sample::select(vec![Interval::Day, Interval::Week, Interval::Month]),
        ) {
            let days: FiguresByDay = tenant.iter().map(|(day, people)| (*day, figures(people))).collect();
            let selected = DayRange::new(first(), *tenant.keys().last().unwrap()).unwrap();

            let buckets = activity(selected, interval, &sums(&days), &&days, &TrailingCounts::new(&days));

            prop_assert_eq!(buckets.iter().flat_map(|bucket| bucket.days.days()).collect::<Vec<_>>(), selected.days().collect::<Vec<_>>());
            for bucket in buckets {
                let last = bucket.days.last();
                prop_assert_eq!(bucket.active, Some(active_in(&tenant, bucket.days)));
                let window = |length| Some(DayRange::ending(last, length)).filter(|window| selected.contains(window.first()));
                prop_assert_eq!(bucket.wau, window(7).map(|range| active_in(&tenant, range)));
                prop_assert_eq!(bucket.mau, window(30).map(|range| active_in(&tenant, range)));
                let messages: u64 = bucket.days.days().flat_map(|day| tenant[&day].values()).map(|(_, count)| count).sum();
                prop_assert_eq!(bucket.counters[0], messages);
                let with_rows = bucket.days.days().rev().find(|day| !tenant[day].is_empty()).unwrap_or(last);
                prop_assert_eq!(bucket.users, tenant[&with_rows].len() as u64);
            }
        }
    }

    #[test]
    fn people_without_an_id_are_counted_on_one_day_but_not_over_several_days() {
        let active = Flags::default().with(Flag::Active, true);
        let mut anonymous = DayFigures::default();
        anonymous.add_person(None, active);
        anonymous.sums.add_row(active, |_| 0);
        let anonymous = Arc::new(anonymous);
        let days: FiguresByDay = (0..2).map(|at| (first().plus(at), Arc::clone(&anonymous))).collect();
        let range = DayRange::new(first(), first().next()).unwrap();

        let daily = activity(range, Interval::Day, &sums(&days), &&days, &TrailingCounts::default());
        let monthly = activity(range, Interval::Month, &sums(&days), &&days, &TrailingCounts::default());

        assert!(daily.iter().all(|bucket| bucket.active == Some(1)));
        assert_eq!(monthly[0].active, None);
    }

    #[test]
    fn a_bucket_without_available_days_is_omitted() {
        let days = BTreeMap::from([(first(), figures(&BTreeMap::new()))]);
        let range = DayRange::new(first(), first().next()).unwrap();
        let buckets = activity(range, Interval::Day, &sums(&days), &&days, &TrailingCounts::default());
        assert_eq!(buckets.len(), 1);
    }
}
