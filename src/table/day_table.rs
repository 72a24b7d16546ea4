//! The rows of one day as immutable columns, with the day's metadata.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    dictionary::Dictionary,
    fetch_quality::FetchQuality,
    profile::ProfileIndex,
    schema::{Counter, Flags},
};
use crate::{model::DayKey, table::counter_column::CounterColumn};

/// The content hash of a day. Two days have the same hash if and only if their rows are equal, apart from hash
/// collisions.
pub type ContentHash = [u8; 16];

/// The metadata of a day, available whether its rows are loaded or only a digest of them.
pub trait DayMetadata {
    /// The key of the day.
    fn key(&self) -> &DayKey;

    /// When the day was requested from Feishu.
    fn fetched_at(&self) -> Timestamp;

    /// The number of rows.
    fn row_count(&self) -> usize;

    /// The faults of the fetch.
    fn quality(&self) -> FetchQuality;
    /// The content hash of the rows.
    fn hash(&self) -> &ContentHash;
}

/// All rows of one day for one scope. Rows are sorted by user id, and no two rows have the same user id.
#[derive(Clone, Debug)]
pub struct DayTable {
    pub(super) key: DayKey,
    pub(super) fetched_at: Timestamp,
    pub(super) hash: ContentHash,
    pub(super) quality: FetchQuality,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) columns: DayColumns,
}

/// The columns of a day. All columns have the same length.
#[derive(Clone, Debug, Default)]
pub(super) struct DayColumns {
    pub(super) profiles: Box<[ProfileIndex]>,
    pub(super) flags: Box<[Flags]>,
    /// Seconds since the Unix epoch, or [`NO_INSTANT`].
    pub(super) last_active: Box<[i64]>,
    pub(super) devices: Box<[u32]>,
    pub(super) counters: [CounterColumn; Counter::COUNT],
}

/// The placeholder for a missing value in a column of times.
pub(super) const NO_INSTANT: i64 = i64::MIN;

impl DayTable {
    /// The key of the day.
    #[must_use]
    pub const fn key(&self) -> &DayKey {
        &self.key
    }

    /// When the day was requested from Feishu.
    #[must_use]
    pub const fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    /// The content hash of the rows.
    #[must_use]
    pub const fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// The faults of the fetch.
    #[must_use]
    pub const fn quality(&self) -> FetchQuality {
        self.quality
    }

    /// Whether every row has a user id. Checks only the last row, because rows without a user id are sorted last.
    #[must_use]
    pub fn has_all_user_ids(&self) -> bool {
        let tables = self.dictionary.read();
        self.columns.profiles.last().is_none_or(|last| tables.profile(*last).user_id.is_some())
    }

    /// The dictionary that the indices in the columns refer to.
    #[must_use]
    pub const fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// The number of rows.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        self.columns.profiles.len()
    }

    /// The profile index of each row.
    #[must_use]
    pub const fn profiles(&self) -> &[ProfileIndex] {
        &self.columns.profiles
    }

    /// The flags of each row.
    #[must_use]
    pub const fn flags(&self) -> &[Flags] {
        &self.columns.flags
    }

    /// The devices index of each row.
    #[must_use]
    pub const fn devices(&self) -> &[u32] {
        &self.columns.devices
    }

    /// The time of the person's last activity, as known on that day. `None` if there was none.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn last_active(&self, row: usize) -> Option<Timestamp> {
        let seconds = self.columns.last_active[row];
        (seconds != NO_INSTANT).then(|| Timestamp::from_second(seconds).ok()).flatten()
    }

    /// The column of a counter.
    #[must_use]
    pub const fn counter(&self, counter: Counter) -> &CounterColumn {
        &self.columns.counters[counter.index()]
    }

    /// The memory use of the day in bytes, without the dictionary.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let columns = &self.columns;
        size_of::<Self>()
            + size_of_val(&*columns.profiles)
            + size_of_val(&*columns.flags)
            + size_of_val(&*columns.last_active)
            + size_of_val(&*columns.devices)
            + columns.counters.iter().map(CounterColumn::heap_bytes).sum::<usize>()
    }
}

impl DayMetadata for DayTable {
    fn key(&self) -> &DayKey {
        &self.key
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn row_count(&self) -> usize {
        self.columns.profiles.len()
    }

    fn quality(&self) -> FetchQuality {
        self.quality
    }

    fn hash(&self) -> &ContentHash {
        &self.hash
    }
}
