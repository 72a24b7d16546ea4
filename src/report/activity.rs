//! Activity over time, in buckets of a day, a week or a month.

use std::ops::Deref;

use super::{
    day_figures::{RowSums, ratio},
    people_by_date::PeopleByDate,
    range_figures::{DistinctPeople, RangeFigures, RangeSums, default_regular_days},
    trailing_counts::{MONTH_DAYS, TrailingActive, TrailingCounts},
};
use crate::{
    model::{Day, DayRange},
    table::Flag,
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
    /// The figures; `None` if no date of the bucket counts.
    pub figures: Option<ActivityFigures>,
}

/// The figures of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityFigures {
    /// The figures of the dates that count.
    pub range: RangeFigures,
    /// The trailing counts of the last date that counts.
    pub trailing: TrailingActive,
    /// Mean number of active people over the dates of the bucket that are in the window of `mau`, divided by `mau`.
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
/// `regular_days` is the number of dates on which a person must be active, or use a feature, to count as regular; `None`:
/// that of [`default_regular_days`]. `days` holds the sums of each date that counts. `trailing` holds the trailing counts of
/// these dates. `people` are the people of these dates; it is dereferenced only if a bucket has several dates.
#[must_use]
pub fn activity(
    selected: DayRange,
    interval: Interval,
    regular_days: Option<usize>,
    days: &[(Day, RowSums)],
    people: &impl Deref<Target = PeopleByDate>,
    trailing: &TrailingCounts,
) -> Vec<ActivityBucket> {
    let bucket = |range: DayRange| {
        let inside = days_within(range, days);
        let figures = inside.last().map(|(last, _)| {
            let trailing = trailing.ending_on(*last);
            let stickiness = ratio_of_mean(inside, *last, trailing.mau);
            ActivityFigures { range: figures_of_range(inside, regular_days, people), trailing, stickiness }
        });
        ActivityBucket { days: range, figures }
    };
    buckets(selected, interval).map(bucket).collect()
}

/// The figures of several dates that count, or of one.
#[must_use]
pub fn figures_of_range(
    days: &[(Day, RowSums)],
    regular_days: Option<usize>,
    people: &impl Deref<Target = PeopleByDate>,
) -> RangeFigures {
    let regular_days = regular_days.unwrap_or(default_regular_days(days.len()));
    let mut sums = RangeSums::default();
    for (_, day) in days {
        sums.add_day(day);
    }
    let distinct = match days {
        [(_, day)] => DistinctPeople::of_one_day(day, regular_days),
        [] => DistinctPeople::of_dates(&[], regular_days),
        [(first, _), .., (last, _)] => {
            let range = DayRange::new(*first, *last);
            DistinctPeople::of_dates(range.map_or(&[], |range| people.within(range)), regular_days)
        }
    };
    RangeFigures::new(&sums, &distinct, regular_days)
}

/// The sums of those of the `days` that are in the range.
#[must_use]
pub fn days_within(range: DayRange, days: &[(Day, RowSums)]) -> &[(Day, RowSums)] {
    let first = days.partition_point(|(day, _)| *day < range.first());
    &days[first..][..days[first..].partition_point(|(day, _)| *day <= range.last())]
}

/// The mean number of active people over those of the `days` that are in the 30 days ending with `last`, divided by `mau`.
fn ratio_of_mean(days: &[(Day, RowSums)], last: Day, mau: Option<u64>) -> Option<f64> {
    let in_window = days_within(DayRange::ending(last, MONTH_DAYS), days);
    let active: u64 = in_window.iter().map(|(_, sums)| sums.rows_with(Flag::Active)).sum();
    mean_ratio(active, in_window.len(), mau)
}

/// `sum / (days × whole)`; `None` if the whole is unknown or zero, or if there are no days. One division is rounded once, so a ratio
/// that lies in the middle between two thousandths is always rounded up.
#[must_use]
pub fn mean_ratio(sum: u64, days: usize, whole: Option<u64>) -> Option<f64> {
    ratio(sum, whole.map(|whole| whole * days as u64))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet, HashSet},
        sync::Arc,
    };

    use proptest::prelude::*;

    use super::{super::sums_by_day::SumsByDay, *};
    use crate::{
        report::DayFigures,
        table::{Counter, Flags},
    };

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

    type FiguresByDay = BTreeMap<Day, Arc<DayFigures>>;

    fn sums(days: &FiguresByDay) -> SumsByDay {
        days.iter().map(|(day, figures)| (*day, figures.sums)).collect()
    }

    fn people(days: &FiguresByDay) -> PeopleByDate {
        days.iter().map(|(day, figures)| (*day, Arc::clone(figures))).collect()
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

            let buckets = activity(selected, interval, None, &sums(&days), &&people(&days), &TrailingCounts::new(&people(&days), &BTreeSet::new()));

            prop_assert_eq!(buckets.iter().flat_map(|bucket| bucket.days.days()).collect::<Vec<_>>(), selected.days().collect::<Vec<_>>());
            for ActivityBucket { days: range, figures, .. } in buckets {
                let (last, figures) = (range.last(), figures.unwrap());
                let bucket = &figures.range;
                prop_assert_eq!(bucket.suite.active, Some(active_in(&tenant, range)));
                let window = |length| Some(DayRange::ending(last, length)).filter(|window| selected.contains(window.first()));
                prop_assert_eq!(figures.trailing.wau, window(7).map(|range| active_in(&tenant, range)));
                prop_assert_eq!(figures.trailing.mau, window(30).map(|range| active_in(&tenant, range)));
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

        let daily = activity(range, Interval::Day, None, &sums(&days), &&people(&days), &TrailingCounts::default());
        let monthly = activity(range, Interval::Month, None, &sums(&days), &&people(&days), &TrailingCounts::default());

        let active = |bucket: &ActivityBucket| bucket.figures.as_ref().unwrap().range.suite.active;
        assert!(daily.iter().all(|bucket| active(bucket) == Some(1)));
        assert_eq!(active(&monthly[0]), None);
    }

    #[test]
    fn a_bucket_without_counted_dates_has_no_figures() {
        let days = BTreeMap::from([(first(), figures(&BTreeMap::new()))]);
        let range = DayRange::new(first(), first().next()).unwrap();
        let buckets = activity(range, Interval::Day, None, &sums(&days), &&people(&days), &TrailingCounts::default());
        assert_eq!(buckets[0].figures.as_ref().map(|figures| figures.range.days_counted), Some(1));
        assert_eq!(buckets[1].figures, None);
    }
}
