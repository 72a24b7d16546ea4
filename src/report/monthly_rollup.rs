//! The days of a month, added up for each profile.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::counted_flags;
use crate::{
    model::{Day, DayKey, Geo},
    table::{
        Counter, DayTable, Dictionary, Feature, Flag, ProfileIndex, Reindexing, counter_column::CounterColumn,
        day_table::ContentHash,
    },
};

/// Sums over consecutive days of one geo. They take about a thirtieth of the memory of these days.
///
/// A row belongs to a profile and not to a person, so that the days before and after a change of department stay
/// separate. If a person has two rows, the later row is the more recent.
#[derive(Clone, Debug)]
pub struct MonthlyRollup {
    dictionary: Arc<Dictionary>,
    day_hashes: Box<[ContentHash]>,
    pub(super) last_day: Day,
    pub(super) geo: Geo,
    pub(super) profiles: Box<[ProfileIndex]>,
    /// The row of each profile, by profile index; [`NO_ROW`] if it has none.
    row_by_profile: Box<[u32]>,
    pub(super) active_days: CounterColumn,
    /// Days between the person's last active day and the last day; 0 if there is no active day.
    pub(super) idle_days: CounterColumn,
    pub(super) feature_days: [CounterColumn; Feature::COUNT],
    pub(super) counters: [CounterColumn; Counter::COUNT],
    /// Days between the profile's newest row and the last day.
    pub(super) row_age: CounterColumn,
    /// Whether the account is activated, by the newest row.
    pub(super) activated: FixedBitSet,
    /// `last_active_time` of the newest row in seconds since the Unix epoch, plus 1; 0 if there is none.
    pub(super) last_active_seconds: CounterColumn,
    devices: DevicesByRow,
}

/// The different devices of each row, on days on which the person was active.
#[derive(Clone, Debug)]
struct DevicesByRow {
    /// Where the devices of each row end. They begin where those of the row before end.
    ends: Box<[u32]>,
    /// Indices in the dictionary.
    devices: Box<[u32]>,
}

/// The row of each profile, by profile index.
fn rows_by_profile(profiles: &[ProfileIndex]) -> Box<[u32]> {
    let mut rows = vec![NO_ROW; profiles.iter().max().map_or(0, |last| *last as usize + 1)];
    for (row, profile) in (0..).zip(profiles) {
        rows[*profile as usize] = row;
    }
    rows.into()
}

/// Marks profiles without a row.
const NO_ROW: u32 = u32::MAX;

/// Accumulates days. Each column is indexed by slot; slots are assigned in the order in which profiles occur.
#[derive(Default)]
struct MonthlyRollupBuilder {
    slot_by_profile: Vec<u32>,
    profiles: Vec<ProfileIndex>,
    /// Days between the profile's last row and the last day.
    days_since_row: Vec<u64>,
    /// Days between the profile's last active day and the last day; 0 if there is no active day.
    days_since_active: Vec<u64>,
    active_days: Vec<u64>,
    /// Whether the account is activated, by the newest row.
    activated: Vec<u64>,
    /// Of the newest row, as in [`MonthlyRollup::last_active_seconds`].
    last_active_seconds: Vec<u64>,
    feature_days: [Vec<u64>; Feature::COUNT],
    counters: [Vec<u64>; Counter::COUNT],
    /// The devices of the latest active day, by slot; [`NO_DEVICES`] if there is none.
    latest_devices: Vec<u32>,
    /// Each slot with its devices whenever they changed.
    devices: Vec<(u32, u32)>,
}

/// Marks profiles without an active day.
const NO_DEVICES: u32 = u32::MAX;

impl MonthlyRollup {
    /// Adds up the days, which must be sorted and use one dictionary. `None` if there are none.
    #[must_use]
    pub fn from_days(days: &[Arc<DayTable>]) -> Option<Self> {
        let dictionary = Arc::clone(days.last()?.dictionary());
        let DayKey { day: last, geo, .. } = *days.last()?.key();
        let mut builder = MonthlyRollupBuilder::default();
        for day in days {
            builder.add(day, u64::try_from(last.since(day.key().day)).unwrap_or(0));
        }
        Some(builder.finish(dictionary, last, geo, days.iter().map(|day| *day.hash()).collect()))
    }

    /// The dictionary that the indices refer to.
    #[must_use]
    pub const fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// The same sums with the indices of another dictionary.
    #[must_use]
    pub fn reindexed(&self, indices: &mut Reindexing) -> Self {
        let profiles = indices.profiles(&self.profiles);
        Self {
            dictionary: Arc::clone(indices.target()),
            row_by_profile: rows_by_profile(&profiles),
            profiles,
            devices: DevicesByRow { devices: indices.devices(&self.devices.devices), ..self.devices.clone() },
            ..self.clone()
        }
    }

    /// The content hashes of the days. If a day changed, the roll-up is stale.
    #[must_use]
    pub const fn day_hashes(&self) -> &[ContentHash] {
        &self.day_hashes
    }

    /// The row of a profile, if it has one.
    #[must_use]
    pub fn row(&self, profile: ProfileIndex) -> Option<usize> {
        self.row_by_profile.get(profile as usize).filter(|row| **row != NO_ROW).map(|row| *row as usize)
    }

    /// Indices of the different devices that a row has on days on which the person was active.
    #[must_use]
    pub fn devices(&self, row: usize) -> &[u32] {
        let DevicesByRow { ends, devices } = &self.devices;
        let first = row.checked_sub(1).map_or(0, |before| ends[before]);
        &devices[first as usize..ends[row] as usize]
    }

    /// Size in memory in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let columns = self.feature_days.iter().chain(&self.counters).chain([
            &self.active_days,
            &self.idle_days,
            &self.row_age,
            &self.last_active_seconds,
        ]);
        size_of::<Self>()
            + size_of_val(&*self.day_hashes)
            + size_of_val(&*self.profiles)
            + size_of_val(&*self.row_by_profile)
            + size_of_val(self.activated.as_slice())
            + size_of_val(&*self.devices.ends)
            + size_of_val(&*self.devices.devices)
            + columns.map(CounterColumn::heap_bytes).sum::<usize>()
    }
}

impl MonthlyRollupBuilder {
    /// Adds a day that is `days_before_last` days before the last day.
    fn add(&mut self, day: &DayTable, days_before_last: u64) {
        let slots: Vec<usize> = day.profiles().iter().map(|profile| self.slot(*profile)).collect();
        for (row, (slot, flags)) in slots.iter().zip(day.flags()).enumerate() {
            self.days_since_row[*slot] = days_before_last;
            self.activated[*slot] = counted_flags(*flags).contains(Flag::Activated).into();
            let seconds = day.last_active(row).and_then(|time| u64::try_from(time.as_second()).ok());
            self.last_active_seconds[*slot] = seconds.map_or(0, |seconds| seconds + 1);
            if flags.contains(Flag::Active) {
                self.active_days[*slot] += 1;
                self.days_since_active[*slot] = days_before_last;
                let devices = day.devices()[row];
                if std::mem::replace(&mut self.latest_devices[*slot], devices) != devices {
                    self.devices.push((u32::try_from(*slot).unwrap_or(NO_ROW), devices));
                }
            }
        }
        for feature in Feature::ALL {
            let sums = &mut self.feature_days[feature.index()];
            for (slot, flags) in slots.iter().zip(day.flags()) {
                sums[*slot] += u64::from(counted_flags(*flags).contains(Flag::Feature(feature)));
            }
        }
        for counter in Counter::ALL {
            let sums = &mut self.counters[counter.index()];
            day.counter(counter).for_each(|row, value| {
                let sum = &mut sums[slots[row]];
                *sum = sum.saturating_add(value);
            });
        }
    }

    /// The slot of a profile; assigns a new one if needed.
    fn slot(&mut self, profile: ProfileIndex) -> usize {
        let index = profile as usize;
        if self.slot_by_profile.len() <= index {
            self.slot_by_profile.resize(index + 1, NO_ROW);
        }
        if self.slot_by_profile[index] == NO_ROW {
            self.slot_by_profile[index] = u32::try_from(self.profiles.len()).unwrap_or(NO_ROW);
            self.profiles.push(profile);
            self.latest_devices.push(NO_DEVICES);
            let columns = [
                &mut self.days_since_row,
                &mut self.days_since_active,
                &mut self.active_days,
                &mut self.activated,
                &mut self.last_active_seconds,
            ];
            for column in columns.into_iter().chain(&mut self.feature_days).chain(&mut self.counters) {
                column.push(0);
            }
        }
        self.slot_by_profile[index] as usize
    }

    /// Sorts the rows so that profiles seen more recently come later.
    fn finish(
        self,
        dictionary: Arc<Dictionary>,
        last_day: Day,
        geo: Geo,
        day_hashes: Box<[ContentHash]>,
    ) -> MonthlyRollup {
        let mut order: Vec<usize> = (0..self.profiles.len()).collect();
        order.sort_unstable_by_key(|slot| (std::cmp::Reverse(self.days_since_row[*slot]), self.profiles[*slot]));
        let column =
            |values: &Vec<u64>| CounterColumn::pack(&order.iter().map(|slot| values[*slot]).collect::<Vec<_>>());
        let profiles: Box<[ProfileIndex]> = order.iter().map(|slot| self.profiles[*slot]).collect();
        MonthlyRollup {
            dictionary,
            day_hashes,
            last_day,
            geo,
            row_by_profile: rows_by_profile(&profiles),
            profiles,
            active_days: column(&self.active_days),
            idle_days: column(&self.days_since_active),
            feature_days: self.feature_days.each_ref().map(column),
            counters: self.counters.each_ref().map(column),
            row_age: column(&self.days_since_row),
            activated: (0..).zip(&order).filter(|(_, slot)| self.activated[**slot] > 0).map(|(row, _)| row).collect(),
            last_active_seconds: column(&self.last_active_seconds),
            devices: DevicesByRow::new(self.devices, &order),
        }
    }
}

impl DevicesByRow {
    /// `devices` are those of each slot, which can be repeated. `order` is the slot of each row.
    fn new(mut devices: Vec<(u32, u32)>, order: &[usize]) -> Self {
        let mut row_by_slot: Vec<u32> = vec![NO_ROW; order.len()];
        for (row, slot) in (0..).zip(order) {
            row_by_slot[*slot] = row;
        }
        for (slot, _) in &mut devices {
            *slot = row_by_slot[*slot as usize];
        }
        devices.sort_unstable();
        devices.dedup();
        let mut ends = vec![0; order.len()];
        for (row, _) in &devices {
            ends[*row as usize] += 1;
        }
        let mut end = 0;
        for count in &mut ends {
            end += *count;
            *count = end;
        }
        Self { ends: ends.into(), devices: devices.into_iter().map(|(_, devices)| devices).collect() }
    }
}
