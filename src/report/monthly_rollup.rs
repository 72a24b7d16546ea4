//! A month, added up person by person.

use std::sync::Arc;

use crate::{
    model::Day,
    table::{Counter, Feature, Flag, Partition, ProfileNo, column::CounterColumn, partition::ContentHash},
};

/// What people did in some days of one geo that follow each other: a thirtieth of the bytes of these days.
///
/// A row is of a profile and not of a person, so that the days before and after a change of department stay apart. Of two
/// rows of one person the later is the more recent.
#[derive(Debug)]
pub struct Month {
    versions: Box<[ContentHash]>,
    pub(super) last: Day,
    pub(super) profiles: Box<[ProfileNo]>,
    /// The row of each profile, by number; [`NO_ROW`] where there is none.
    rows: Box<[u32]>,
    pub(super) active_days: CounterColumn,
    /// How many days before the last day the person was active last; 0 where never.
    pub(super) idle_days: CounterColumn,
    pub(super) feature_days: [CounterColumn; Feature::COUNT],
    pub(super) counters: [CounterColumn; Counter::COUNT],
}

/// Stands for "no row".
const NO_ROW: u32 = u32::MAX;

/// The columns of a month while days are added to them, by place: in the order in which profiles are met.
#[derive(Default)]
struct Adding {
    places: Vec<u32>,
    profiles: Vec<ProfileNo>,
    /// How many days before the last day the profile was seen, and was active, last.
    absent: Vec<u64>,
    idle: Vec<u64>,
    active_days: Vec<u64>,
    feature_days: [Vec<u64>; Feature::COUNT],
    counters: [Vec<u64>; Counter::COUNT],
}

impl Month {
    /// Adds up days, at least one, in order.
    #[must_use]
    pub fn of(days: &[Arc<Partition>]) -> Option<Self> {
        let last = days.last()?.key().day;
        let mut adding = Adding::default();
        for day in days {
            adding.add(day, u64::try_from(last.since(day.key().day)).unwrap_or(0));
        }
        Some(adding.finish(last, days.iter().map(|day| *day.hash()).collect()))
    }

    /// The content hashes of the days it was made of: where a day has changed, the month has too.
    #[must_use]
    pub const fn versions(&self) -> &[ContentHash] {
        &self.versions
    }

    /// The row of a profile, where it has one.
    #[must_use]
    pub fn row(&self, profile: ProfileNo) -> Option<usize> {
        self.rows.get(profile as usize).filter(|row| **row != NO_ROW).map(|row| *row as usize)
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let columns = self.feature_days.iter().chain(&self.counters).chain([&self.active_days, &self.idle_days]);
        size_of::<Self>()
            + size_of_val(&*self.versions)
            + size_of_val(&*self.profiles)
            + size_of_val(&*self.rows)
            + columns.map(CounterColumn::bytes).sum::<usize>()
    }
}

impl Adding {
    /// Adds a day that lies so many days before the last.
    fn add(&mut self, day: &Partition, before: u64) {
        let places: Vec<usize> = day.profiles().iter().map(|profile| self.place(*profile)).collect();
        for (place, flags) in places.iter().zip(day.flags()) {
            self.absent[*place] = before;
            if flags.has(Flag::Active) {
                self.active_days[*place] += 1;
                self.idle[*place] = before;
            }
        }
        for feature in Feature::ALL {
            let sums = &mut self.feature_days[feature.index()];
            for (place, flags) in places.iter().zip(day.flags()) {
                sums[*place] += u64::from(flags.has(Flag::Feature(feature)));
            }
        }
        for counter in Counter::ALL {
            let sums = &mut self.counters[counter.index()];
            day.counter(counter).for_each(|row, value| {
                let sum = &mut sums[places[row]];
                *sum = sum.saturating_add(value);
            });
        }
    }

    /// The place of a profile, a new one where it has not been met.
    fn place(&mut self, profile: ProfileNo) -> usize {
        let at = profile as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NO_ROW);
        }
        if self.places[at] == NO_ROW {
            self.places[at] = u32::try_from(self.profiles.len()).unwrap_or(NO_ROW);
            self.profiles.push(profile);
            let others = [&mut self.absent, &mut self.idle, &mut self.active_days];
            for column in others.into_iter().chain(&mut self.feature_days).chain(&mut self.counters) {
                column.push(0);
            }
        }
        self.places[at] as usize
    }

    /// Puts those who were seen later behind the others.
    fn finish(self, last: Day, versions: Box<[ContentHash]>) -> Month {
        let mut order: Vec<usize> = (0..self.profiles.len()).collect();
        order.sort_unstable_by_key(|place| (std::cmp::Reverse(self.absent[*place]), self.profiles[*place]));
        let column =
            |values: &Vec<u64>| CounterColumn::pack(&order.iter().map(|place| values[*place]).collect::<Vec<_>>());
        let profiles: Box<[ProfileNo]> = order.iter().map(|place| self.profiles[*place]).collect();
        let mut rows = vec![NO_ROW; self.places.len()];
        for (row, profile) in (0..).zip(&profiles) {
            rows[*profile as usize] = row;
        }
        Month {
            versions,
            last,
            profiles,
            rows: rows.into(),
            active_days: column(&self.active_days),
            idle_days: column(&self.idle),
            feature_days: self.feature_days.each_ref().map(column),
            counters: self.counters.each_ref().map(column),
        }
    }
}
