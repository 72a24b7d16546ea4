//! Activity over time: who used what, in buckets of a day, a week or a month.

use std::ops::Deref;

use super::{
    by_day::FiguresByDay,
    figures::{Figures, People, Sums, share},
    trailing::Trailing,
};
use crate::{
    model::{Day, DayRange},
    table::{Counter, Feature, Flag},
};

/// How long a bucket is.
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
pub struct Bucket {
    /// The days of the bucket, as far as they are selected.
    pub days: DayRange,
    /// People that upstream knew on the last day that has rows.
    pub users: u64,
    /// Those of them whose account was activated.
    pub activated: u64,
    /// Different people who were active in the bucket; `None` where an id was withheld and there is more than a day.
    pub active: Option<u64>,
    /// Different people who used each feature, by [`Feature::index`]; `None` as above.
    pub features: [Option<u64>; Feature::COUNT],
    /// The sum of each counter, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
    /// Different people active in the 7 days that end with the bucket; `None` where one of the days is not there.
    pub wau: Option<u64>,
    /// The same over 30 days.
    pub mau: Option<u64>,
    /// The share of those 30 days' people who were active on the bucket's last day.
    pub stickiness: Option<f64>,
}

impl Interval {
    /// The bucket that `day` lies in, selected or not.
    #[must_use]
    pub fn around(self, day: Day) -> DayRange {
        let (first, last) = match self {
            Self::Day => (day, day),
            Self::Week => (day.monday(), day.monday().plus(6)),
            Self::Month => (day.month().days().first(), day.month().days().last()),
        };
        DayRange::new(first, last).unwrap_or(DayRange::single(day))
    }
}

/// The buckets of a range, in order; the first and the last are cut to it.
pub fn buckets(selected: DayRange, interval: Interval) -> impl Iterator<Item = DayRange> {
    let cut = move |first: Day| DayRange::new(first, interval.around(first).last().min(selected.last()));
    std::iter::successors(cut(selected.first()), move |bucket| {
        // Not simply the day after: the calendar has an end.
        (bucket.last() < selected.last()).then(|| bucket.last().next()).and_then(cut)
    })
}

/// The activity over `selected`, from the sums of the days that are there and the counts that trail to each of them. The
/// figures of the same days are looked at only where a bucket has several days. A bucket none of whose days is there is
/// left out.
#[must_use]
pub fn activity(
    selected: DayRange,
    interval: Interval,
    days: &[(Day, Sums)],
    figures: &impl Deref<Target = FiguresByDay>,
    trailing: &Trailing,
) -> Vec<Bucket> {
    let bucket = |range: DayRange| {
        let first = days.partition_point(|(day, _)| *day < range.first());
        let inside = &days[first..][..days[first..].partition_point(|(day, _)| *day <= range.last())];
        let (last, sums) = inside.last()?;
        let (wau, mau) = trailing.to(*last);
        let stickiness = share(sums.flag(Flag::Active), mau);
        let bucket = match inside {
            [_] => Bucket::of_a_day(range, sums),
            _ => Bucket::of_days(range, inside, figures),
        };
        Some(Bucket { wau, mau, stickiness, ..bucket })
    };
    buckets(selected, interval).filter_map(bucket).collect()
}

impl Bucket {
    /// All but what trails. On one day, whoever has a flag is somebody else.
    fn of_a_day(days: DayRange, sums: &Sums) -> Self {
        Self {
            days,
            users: sums.users,
            activated: sums.flag(Flag::Activated),
            active: Some(sums.flag(Flag::Active)),
            features: Feature::ALL.map(|feature| Some(sums.flag(Flag::Feature(feature)))),
            counters: sums.counters,
            wau: None,
            mau: None,
            stickiness: None,
        }
    }

    /// The same of several days.
    fn of_days(range: DayRange, days: &[(Day, Sums)], figures: &FiguresByDay) -> Self {
        let at_the_end = days.iter().rfind(|(_, sums)| sums.users > 0).map_or_else(Sums::default, |(_, sums)| *sums);
        let mut sums = Sums::default();
        for (_, day) in days {
            sums.add_counters(day);
        }
        let distinct = |flag: Flag| distinct(range, figures, flag);
        Self {
            active: distinct(Flag::Active),
            features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
            counters: sums.counters,
            ..Self::of_a_day(range, &at_the_end)
        }
    }
}

/// Different people who have the flag on any of these days.
pub(super) fn distinct(range: DayRange, days: &FiguresByDay, flag: Flag) -> Option<u64> {
    let inside: Vec<&Figures> = days.range(range.first()..=range.last()).map(|(_, figures)| &**figures).collect();
    if let [only] = inside[..] {
        return Some(only.sums.flag(flag));
    }
    People::united(inside.into_iter().map(|figures| figures.people(flag))).distinct()
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashSet},
        sync::Arc,
    };

    use proptest::prelude::*;

    use super::{super::by_day::SumsByDay, *};
    use crate::table::Flags;

    /// A small tenant, naively: who was active on which day, and how many messages they sent.
    type Naive = BTreeMap<Day, BTreeMap<u32, (bool, u64)>>;

    fn first() -> Day {
        Day::new(2026, 9, 25).unwrap()
    }

    fn figures(people: &BTreeMap<u32, (bool, u64)>) -> Arc<Figures> {
        let mut figures = Figures::default();
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
        fn every_figure_equals_the_naive_one(
            tenant in tenant(), interval in proptest::sample::select(vec![Interval::Day, Interval::Week, Interval::Month]),
        ) {
            let days: FiguresByDay = tenant.iter().map(|(day, people)| (*day, figures(people))).collect();
            let selected = DayRange::new(first(), *tenant.keys().last().unwrap()).unwrap();

            let buckets = activity(selected, interval, &sums(&days), &&days, &Trailing::over(&days));

            prop_assert_eq!(buckets.iter().flat_map(|bucket| bucket.days.days()).collect::<Vec<_>>(), selected.days().collect::<Vec<_>>());
            for bucket in buckets {
                let last = bucket.days.last();
                prop_assert_eq!(bucket.active, Some(active_in(&tenant, bucket.days)));
                let trail = |length| Some(DayRange::ending(last, length)).filter(|trail| selected.contains(trail.first()));
                prop_assert_eq!(bucket.wau, trail(7).map(|range| active_in(&tenant, range)));
                prop_assert_eq!(bucket.mau, trail(30).map(|range| active_in(&tenant, range)));
                let messages: u64 = bucket.days.days().flat_map(|day| tenant[&day].values()).map(|(_, count)| count).sum();
                prop_assert_eq!(bucket.counters[0], messages);
                let with_rows = bucket.days.days().rev().find(|day| !tenant[day].is_empty()).unwrap_or(last);
                prop_assert_eq!(bucket.users, tenant[&with_rows].len() as u64);
            }
        }
    }

    #[test]
    fn people_whose_id_is_withheld_count_on_one_day_and_not_over_several() {
        let active = Flags::default().with(Flag::Active, true);
        let mut anonymous = Figures::default();
        anonymous.add_person(None, active);
        anonymous.sums.add_row(active, |_| 0);
        let anonymous = Arc::new(anonymous);
        let days: FiguresByDay = (0..2).map(|at| (first().plus(at), Arc::clone(&anonymous))).collect();
        let range = DayRange::new(first(), first().next()).unwrap();

        let daily = activity(range, Interval::Day, &sums(&days), &&days, &Trailing::default());
        let monthly = activity(range, Interval::Month, &sums(&days), &&days, &Trailing::default());

        assert!(daily.iter().all(|bucket| bucket.active == Some(1)));
        assert_eq!(monthly[0].active, None);
    }

    #[test]
    fn a_bucket_none_of_whose_days_is_there_is_left_out() {
        let days = BTreeMap::from([(first(), figures(&BTreeMap::new()))]);
        let range = DayRange::new(first(), first().next()).unwrap();
        let buckets = activity(range, Interval::Day, &sums(&days), &&days, &Trailing::default());
        assert_eq!(buckets.len(), 1);
    }
}
