//! What people did, a row a person: on one day, or in a whole month once it can no longer change.

use std::sync::Arc;

use super::month::Month;
use crate::{
    model::Day,
    table::{Counter, Feature, Flag, Partition, ProfileNo, column::CounterColumn},
};

/// Rows that add up to what people did. Sheets of one directory, earliest first, make a [`Tally`](super::tally::Tally).
#[derive(Clone, Debug)]
pub enum Sheet {
    /// One day.
    Day(Arc<Partition>),
    /// Several days, added up.
    Month(Arc<Month>),
}

/// Stands for "not among these".
pub const NO_PLACE: u32 = u32::MAX;

impl Sheet {
    /// The profile of each row. Of two rows of one person the later is the more recent.
    #[must_use]
    pub fn profiles(&self) -> &[ProfileNo] {
        match self {
            Self::Day(day) => day.profiles(),
            Self::Month(month) => &month.profiles,
        }
    }

    /// Calls `each` with the rows of these profiles, in order, and the place of the profile among them, by `places`: the
    /// place of every profile by number, [`NO_PLACE`] for all but these.
    pub fn rows_of(&self, profiles: &[ProfileNo], places: &[u32], mut each: impl FnMut(usize, u32)) {
        match self {
            Self::Day(day) => {
                for (row, profile) in day.profiles().iter().enumerate() {
                    let place = places[*profile as usize];
                    if place != NO_PLACE {
                        each(row, place);
                    }
                }
            }
            Self::Month(month) => {
                let found =
                    profiles.iter().filter_map(|profile| Some((month.row(*profile)?, places[*profile as usize])));
                let mut rows: Vec<(usize, u32)> = found.collect();
                rows.sort_unstable();
                for (row, place) in rows {
                    each(row, place);
                }
            }
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
