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

/// One bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityBucket {
    /// The selected days of the bucket.
    pub days: DayRange,
    /// Number of dates of the bucket that count.
    pub days_counted: usize,
    /// The figures; `None` if no date of the bucket counts.
    pub figures: Option<ActivityFigures>,
}

/// The figures of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityFigures {
    /// Number of people on the last date that counts.
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
    /// The trailing counts of the last date that counts.
    pub trailing: TrailingActive,
    /// People active on that date, divided by `mau`.
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

/// The activity over `selected`, by bucket.
///
/// `days` holds the sums of each date that counts. `trailing` holds the trailing counts of these dates. `figures` is
/// dereferenced only if a bucket has several dates.
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
        let figures = inside.last().map(|(last, sums)| {
            let trailing = trailing.ending_on(*last);
            let stickiness = ratio(sums.rows_with(Flag::Active), trailing.mau);
            let figures = match inside {
                [_] => ActivityFigures::of_one_day(sums),
                _ => ActivityFigures::of_several_days(range, inside, figures),
            };
            ActivityFigures { trailing, stickiness, ..figures }
        });
        ActivityBucket { days: range, days_counted: inside.len(), figures }
    };
    buckets(selected, interval).map(bucket).collect()
}

impl ActivityFigures {
    /// The figures of one day, without trailing counts. Each person has one row a day, so counting rows counts people.
    fn of_one_day(sums: &RowSums) -> Self {
        Self {
            users: sums.users,
            activated: sums.rows_with(Flag::Activated),
            active: Some(sums.rows_with(Flag::Active)),
            features: Feature::ALL.map(|feature| Some(sums.rows_with(Flag::Feature(feature)))),
            counters: sums.counters,
            trailing: TrailingActive::default(),
            stickiness: None,
        }
    }

    /// The figures of several days, without trailing counts.
    fn of_several_days(range: DayRange, days: &[(Day, RowSums)], figures: &FiguresByDay) -> Self {
        let last = days.last().map_or_else(RowSums::default, |(_, sums)| *sums);
        let mut sums = RowSums::default();
        for (_, day) in days {
            sums.add_counters(day);
        }
        let distinct = |flag: Flag| distinct_people(range, figures, flag);
        Self {
            active: distinct(Flag::Active),
            features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
            counters: sums.counters,
            ..Self::of_one_day(&last)
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
        collections::{BTreeMap, BTreeSet, HashSet},
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

            let buckets = activity(selected, interval, &sums(&days), &&days, &TrailingCounts::new(&days, &BTreeSet::new()));

            prop_assert_eq!(buckets.iter().flat_map(|bucket| bucket.days.days()).collect::<Vec<_>>(), selected.days().collect::<Vec<_>>());
            for ActivityBucket { days: range, figures, .. } in buckets {
                let (last, bucket) = (range.last(), figures.unwrap());
                prop_assert_eq!(bucket.active, Some(active_in(&tenant, range)));
                let window = |length| Some(DayRange::ending(last, length)).filter(|window| selected.contains(window.first()));
                prop_assert_eq!(bucket.trailing.wau, window(7).map(|range| active_in(&tenant, range)));
                prop_assert_eq!(bucket.trailing.mau, window(30).map(|range| active_in(&tenant, range)));
                let messages: u64 = range.days().flat_map(|day| tenant[&day].values()).map(|(_, count)| count).sum();
                prop_assert_eq!(bucket.counters[0], messages);
                prop_assert_eq!(bucket.users, tenant[&last].len() as u64);
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

        let active = |bucket: &ActivityBucket| bucket.figures.as_ref().unwrap().active;
        assert!(daily.iter().all(|bucket| active(bucket) == Some(1)));
        assert_eq!(active(&monthly[0]), None);
    }

    #[test]
    fn a_bucket_without_counted_dates_has_no_figures() {
        let days = BTreeMap::from([(first(), figures(&BTreeMap::new()))]);
        let range = DayRange::new(first(), first().next()).unwrap();
        let buckets = activity(range, Interval::Day, &sums(&days), &&days, &TrailingCounts::default());
        assert_eq!(buckets.iter().map(|bucket| bucket.days_counted).collect::<Vec<_>>(), [1, 0]);
        assert!(buckets[0].figures.is_some() && buckets[1].figures.is_none());
    }
}
