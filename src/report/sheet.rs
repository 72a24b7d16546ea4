//! What people did, a row a person: on one day, or in a whole month once it can no longer change.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::Day,
    table::{Counter, Feature, Flag, Flags, Partition, ProfileNo, column::CounterColumn, partition::ContentHash},
};

/// Rows that add up to what people did. Sheets of one directory, earliest first, make a [`Tally`](super::tally::Tally).
#[derive(Clone, Debug)]
pub enum Sheet {
    /// One day.
    Day(Arc<Partition>),
    /// Several days, added up.
    Month(Arc<Month>),
}

/// What people did in some days of one geo that follow each other: a thirtieth of the bytes of these days.
///
/// A row is of a profile and not of a person, so that the days before and after a change of department stay apart.
#[derive(Debug)]
pub struct Month {
    versions: Box<[ContentHash]>,
    last: Day,
    profiles: Box<[ProfileNo]>,
    active_days: CounterColumn,
    /// How many days before the last day the person was active last; 0 where never.
    idle_days: CounterColumn,
    feature_days: [CounterColumn; Feature::COUNT],
    counters: [CounterColumn; Counter::COUNT],
}

/// The row of a profile while days are added to it.
#[derive(Clone, Debug)]
struct Sums {
    profile: ProfileNo,
    present: Day,
    active: Option<Day>,
    active_days: u64,
    feature_days: [u64; Feature::COUNT],
    counters: [u64; Counter::COUNT],
}

impl Sheet {
    /// The profile of each row. Of two rows of one person the later is the more recent.
    #[must_use]
    pub fn profiles(&self) -> &[ProfileNo] {
        match self {
            Self::Day(day) => day.profiles(),
            Self::Month(month) => &month.profiles,
        }
    }

    /// The column of a counter.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> &CounterColumn {
        match self {
            Self::Day(day) => day.counter(counter),
            Self::Month(month) => &month.counters[counter.index()],
        }
    }

    /// The last day.
    #[must_use]
    pub fn last(&self) -> Day {
        match self {
            Self::Day(day) => day.key().day,
            Self::Month(month) => month.last,
        }
    }

    /// On how many days the person was active, and how many days before [`Self::last`] the last of them was.
    #[must_use]
    pub fn active(&self, row: usize) -> Option<(u64, i32)> {
        let (days, idle) = match self {
            Self::Day(day) => (day.flags()[row].has(Flag::Active).into(), 0),
            Self::Month(month) => (month.active_days.get(row), month.idle_days.get(row)),
        };
        (days > 0).then(|| (days, i32::try_from(idle).unwrap_or(i32::MAX)))
    }

    /// On how many days the person used a feature.
    #[must_use]
    pub fn feature_days(&self, row: usize, feature: Feature) -> u64 {
        match self {
            Self::Day(day) => day.flags()[row].has(Flag::Feature(feature)).into(),
            Self::Month(month) => month.feature_days[feature.index()].get(row),
        }
    }
}

impl Month {
    /// Adds up days, at least one, in order.
    #[must_use]
    pub fn of(days: &[Arc<Partition>]) -> Option<Self> {
        let last = days.last()?.key().day;
        let mut sums: HashMap<ProfileNo, Sums> = HashMap::new();
        for day in days {
            let at = day.key().day;
            for (row, profile) in day.profiles().iter().enumerate() {
                sums.entry(*profile).or_insert_with(|| Sums::of(*profile, at)).add(day, row);
            }
        }
        let mut rows: Vec<Sums> = sums.into_values().collect();
        rows.sort_unstable_by_key(|row| (row.present, row.profile));
        Some(Self::packed(last, days.iter().map(|day| *day.hash()).collect(), &rows))
    }

    fn packed(last: Day, versions: Box<[ContentHash]>, rows: &[Sums]) -> Self {
        let column = |value: &dyn Fn(&Sums) -> u64| CounterColumn::pack(&rows.iter().map(value).collect::<Vec<_>>());
        let idle = |row: &Sums| row.active.and_then(|active| u64::try_from(last.since(active)).ok()).unwrap_or(0);
        Self {
            versions,
            last,
            profiles: rows.iter().map(|row| row.profile).collect(),
            active_days: column(&|row| row.active_days),
            idle_days: column(&idle),
            feature_days: std::array::from_fn(|feature| column(&|row| row.feature_days[feature])),
            counters: std::array::from_fn(|counter| column(&|row| row.counters[counter])),
        }
    }

    /// The content hashes of the days it was made of: where a day has changed, the month has too.
    #[must_use]
    pub const fn versions(&self) -> &[ContentHash] {
        &self.versions
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let columns = self.feature_days.iter().chain(&self.counters).chain([&self.active_days, &self.idle_days]);
        size_of::<Self>()
            + size_of_val(&*self.versions)
            + size_of_val(&*self.profiles)
            + columns.map(CounterColumn::bytes).sum::<usize>()
    }
}

impl Sums {
    const fn of(profile: ProfileNo, present: Day) -> Self {
        Self {
            profile,
            present,
            active: None,
            active_days: 0,
            feature_days: [0; Feature::COUNT],
            counters: [0; Counter::COUNT],
        }
    }

    fn add(&mut self, day: &Partition, row: usize) {
        self.present = day.key().day;
        self.add_flags(day.flags()[row], day.key().day);
        for counter in Counter::ALL {
            let sum = &mut self.counters[counter.index()];
            *sum = sum.saturating_add(day.counter(counter).get(row));
        }
    }

    fn add_flags(&mut self, flags: Flags, day: Day) {
        if flags.has(Flag::Active) {
            self.active_days += 1;
            self.active = Some(day);
        }
        for feature in Feature::ALL {
            self.feature_days[feature.index()] += u64::from(flags.has(Flag::Feature(feature)));
        }
    }
}
