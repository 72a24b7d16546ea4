//! Activity with one row per profile: of one day, or of a whole month.

use std::sync::Arc;

use jiff::Timestamp;

use super::{account_status::NewestRow, counted_flags, monthly_rollup::MonthlyRollup};
use crate::{
    model::Day,
    table::{Counter, DayTable, Feature, Flag, Flags, ProfileIndex, counter_column::CounterColumn},
};

/// Rows that add up to totals of people. Roll-ups that share a dictionary, earliest first, are the input of
/// [`UserTotals`](super::user_totals::UserTotals). A day can have a roll-up for each of several geos.
#[derive(Clone, Debug)]
pub enum UserRollup {
    /// One day.
    Day(Arc<DayTable>),
    /// Several days of one geo, added up, with no roll-up of another geo on any of them.
    Month(Arc<MonthlyRollup>),
}

/// The active days of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowActivity {
    /// Number of active days; at least 1.
    pub active_days: u64,
    /// Days between the last active day and [`UserRollup::last_day`].
    pub idle_days: i32,
}

impl RowActivity {
    /// A row of one day on which the person was active.
    const OF_ONE_DAY: Self = Self { active_days: 1, idle_days: 0 };

    /// The activity of a row with this number of active days; `None` if it is 0.
    fn of_month(month: &MonthlyRollup, row: usize, active_days: u64) -> Option<Self> {
        let idle_days = || i32::try_from(month.idle_days.get(row)).unwrap_or(i32::MAX);
        (active_days > 0).then(|| Self { active_days, idle_days: idle_days() })
    }
}

/// Marks profiles that are not requested.
pub const NO_SLOT: u32 = u32::MAX;

impl UserRollup {
    /// The profile of each row. If a person has two rows, the later row is the more recent.
    #[must_use]
    pub fn profiles(&self) -> &[ProfileIndex] {
        match self {
            Self::Day(day) => day.profiles(),
            Self::Month(month) => &month.profiles,
        }
    }

    /// Calls `each` with every row of the given profiles and the slot of its profile, in the order of the rows. `slots`
    /// holds the slot of every profile by index; [`NO_SLOT`] marks profiles that are not requested.
    pub fn for_each_row(&self, profiles: &[ProfileIndex], slots: &[u32], mut each: impl FnMut(usize, u32)) {
        match self {
            Self::Day(day) => {
                for (row, profile) in day.profiles().iter().enumerate() {
                    let slot = slots[*profile as usize];
                    if slot != NO_SLOT {
                        each(row, slot);
                    }
                }
            }
            Self::Month(month) => {
                let found =
                    profiles.iter().filter_map(|profile| Some((month.row(*profile)?, slots[*profile as usize])));
                let mut rows: Vec<(usize, u32)> = found.collect();
                rows.sort_unstable();
                for (row, slot) in rows {
                    each(row, slot);
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
    pub fn last_day(&self) -> Day {
        match self {
            Self::Day(day) => day.key().day,
            Self::Month(month) => month.last_day,
        }
    }

    /// The active days of a row; `None` if there is none.
    #[must_use]
    pub fn activity(&self, row: usize) -> Option<RowActivity> {
        match self {
            Self::Day(day) => day.flags()[row].contains(Flag::Active).then_some(RowActivity::OF_ONE_DAY),
            Self::Month(month) => RowActivity::of_month(month, row, month.active_days.get(row)),
        }
    }

    /// Calls `each` with every row that has active days, in order. Faster than [`Self::activity`] for all rows.
    pub fn for_each_activity(&self, mut each: impl FnMut(usize, RowActivity)) {
        match self {
            Self::Day(day) => {
                let flags = day.flags().iter().enumerate();
                flags
                    .filter(|(_, flags)| flags.contains(Flag::Active))
                    .for_each(|(row, _)| each(row, RowActivity::OF_ONE_DAY));
            }
            Self::Month(month) => month.active_days.for_each(|row, active_days| {
                if let Some(activity) = RowActivity::of_month(month, row, active_days) {
                    each(row, activity);
                }
            }),
        }
    }

    /// The [`counted_flags`] of a row of one day; `None` for a row of several days.
    #[must_use]
    pub fn day_flags(&self, row: usize) -> Option<Flags> {
        match self {
            Self::Day(day) => Some(counted_flags(day.flags()[row])),
            Self::Month(_) => None,
        }
    }

    /// What a row says about the account. For a month: its newest row of the profile.
    #[must_use]
    pub fn newest_row(&self, row: usize) -> NewestRow {
        match self {
            Self::Day(day) => NewestRow {
                day: day.key().day,
                geo: day.key().geo,
                activated: counted_flags(day.flags()[row]).contains(Flag::Activated),
                last_active_time: day.last_active(row),
            },
            Self::Month(month) => {
                let seconds = month.last_active_seconds.get(row).checked_sub(1);
                let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
                NewestRow {
                    day: month.last_day.plus(-i32::try_from(month.row_age.get(row)).unwrap_or(0)),
                    geo: month.geo,
                    activated: month.activated.contains(row),
                    last_active_time: seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()),
                }
            }
        }
    }

    /// Number of days on which the person used a feature.
    #[must_use]
    pub fn feature_days(&self, row: usize, feature: Feature) -> u64 {
        match self {
            Self::Day(day) => counted_flags(day.flags()[row]).contains(Flag::Feature(feature)).into(),
            Self::Month(month) => month.feature_days[feature.index()].get(row),
        }
    }
}
