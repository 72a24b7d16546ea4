//! Activity over time: who used what, in buckets of a day, a week or a month.

use std::collections::BTreeMap;

use super::digest::{Digest, People};
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

/// Days that the longest trailing figure looks back over, its own day included.
pub const LONGEST_TRAIL: u16 = 30;

const WEEK: u16 = 7;

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

/// The activity over `selected`, from the digests of the days that are there. These may reach back before it, for the
/// trailing figures. A bucket none of whose days is there is left out.
#[must_use]
pub fn activity(selected: DayRange, interval: Interval, days: &BTreeMap<Day, Digest>) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut next = Some(selected.first());
    while let Some(first) = next {
        let last = interval.around(first).last().min(selected.last());
        // Not simply the day after: the calendar has an end.
        next = (last < selected.last()).then(|| last.next());
        buckets.extend(DayRange::new(first, last).and_then(|range| bucket(range, days)));
    }
    buckets
}

fn bucket(range: DayRange, days: &BTreeMap<Day, Digest>) -> Option<Bucket> {
    let inside: Vec<(&Day, &Digest)> = days.range(range.first()..=range.last()).collect();
    let (last_day, last) = inside.last()?;
    let with_rows = inside.iter().rev().map(|(_, digest)| *digest).find(|digest| digest.users > 0).unwrap_or(last);
    let distinct = |flag: Flag| match &inside[..] {
        [(_, only)] => Some(only.people(flag).count()),
        several => united(several.iter().map(|(_, digest)| digest.people(flag))).distinct(),
    };
    let mau = trailing(**last_day, LONGEST_TRAIL, days);
    Some(Bucket {
        days: range,
        users: with_rows.users,
        activated: with_rows.people(Flag::Activated).count(),
        active: distinct(Flag::Active),
        features: Feature::ALL.map(|feature| distinct(Flag::Feature(feature))),
        counters: Counter::ALL.map(|counter| {
            inside.iter().fold(0, |sum, (_, digest)| digest.counters[counter.index()].saturating_add(sum))
        }),
        wau: trailing(**last_day, WEEK, days),
        mau,
        stickiness: share(last.people(Flag::Active).count(), mau),
    })
}

/// Different people active in the `length` days that end with `last`, if all of them are there.
fn trailing(last: Day, length: u16, days: &BTreeMap<Day, Digest>) -> Option<u64> {
    let range = DayRange::ending(last, length);
    let inside = days.range(range.first()..=range.last());
    let complete = inside.clone().count() == range.len();
    complete.then(|| united(inside.map(|(_, digest)| digest.people(Flag::Active))).distinct()).flatten()
}

fn united<'a>(sets: impl Iterator<Item = &'a People>) -> People {
    sets.fold(People::default(), |mut all, people| {
        all.unite(people);
        all
    })
}

/// A share of a whole; `None` where there is no whole.
#[must_use]
pub fn share(part: u64, whole: Option<u64>) -> Option<f64> {
    whole.filter(|whole| *whole > 0).map(|whole| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A small tenant, naively: who was active on which day, and how many messages they sent.
    type Naive = BTreeMap<Day, BTreeMap<usize, (bool, u64)>>;

    fn first() -> Day {
        Day::new(2026, 9, 25).unwrap()
    }

    fn digest(people: &BTreeMap<usize, (bool, u64)>) -> Digest {
        let mut digest = Digest { users: people.len() as u64, ..Digest::default() };
        for (person, (active, messages)) in people {
            digest.flags[Flag::Activated.index()].add(Some(*person));
            if *active {
                digest.flags[Flag::Active.index()].add(Some(*person));
            }
            digest.counters[Counter::SendMessengerNum.index()] += messages;
        }
        digest
    }

    fn active_in(tenant: &Naive, range: DayRange) -> u64 {
        let days = tenant.range(range.first()..=range.last());
        let people = days.flat_map(|(_, people)| people.iter().filter(|(_, (active, _))| *active));
        people.map(|(person, _)| person).collect::<HashSet<_>>().len() as u64
    }

    prop_compose! {
        fn tenant()(days in proptest::collection::vec(
            proptest::collection::btree_map(0_usize..40, (any::<bool>(), 0_u64..100), 0..20), 1..80,
        )) -> Naive {
            days.into_iter().enumerate().map(|(at, people)| (first().plus(i32::try_from(at).unwrap()), people)).collect()
        }
    }

    proptest! {
        #[test]
        fn every_figure_equals_the_naive_one(
            tenant in tenant(), interval in proptest::sample::select(vec![Interval::Day, Interval::Week, Interval::Month]),
        ) {
            let digests: BTreeMap<_, _> = tenant.iter().map(|(day, people)| (*day, digest(people))).collect();
            let selected = DayRange::new(first(), *tenant.keys().last().unwrap()).unwrap();

            let buckets = activity(selected, interval, &digests);

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
        let mut anonymous = Digest { users: 1, ..Digest::default() };
        anonymous.flags[Flag::Active.index()].add(None);
        let days: BTreeMap<_, _> = (0..2).map(|at| (first().plus(at), anonymous.clone())).collect();
        let range = DayRange::new(first(), first().next()).unwrap();

        let daily = activity(range, Interval::Day, &days);
        let monthly = activity(range, Interval::Month, &days);

        assert!(daily.iter().all(|bucket| bucket.active == Some(1)));
        assert_eq!(monthly[0].active, None);
    }

    #[test]
    fn a_bucket_none_of_whose_days_is_there_is_left_out() {
        let days = BTreeMap::from([(first(), digest(&BTreeMap::new()))]);
        let buckets = activity(DayRange::new(first(), first().next()).unwrap(), Interval::Day, &days);
        assert_eq!(buckets.len(), 1);
    }
}
