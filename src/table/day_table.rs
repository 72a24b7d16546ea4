//! One immutable day as columns, with where it came from.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    directory::{Directory, ProfileNo},
    schema::{Counter, Flags},
};
use crate::{model::DayKey, table::column::CounterColumn};

/// The content hash of a day: equal exactly when the rows are.
pub type ContentHash = [u8; 16];

/// What is known of a day, whatever of it is held.
pub trait Origin {
    /// What the day is known by.
    fn key(&self) -> &DayKey;

    /// When upstream was asked for it.
    fn fetched_at(&self) -> Timestamp;

    /// How many rows it has.
    fn rows(&self) -> usize;

    /// Whether rows may be missing, though upstream reported no failure.
    fn is_doubtful(&self) -> bool;

    /// The hash of its rows.
    fn hash(&self) -> &ContentHash;
}

/// One whole day of one scope. Rows are sorted by user id and no person has two.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) key: DayKey,
    pub(super) fetched_at: Timestamp,
    pub(super) hash: ContentHash,
    pub(super) doubtful: bool,
    pub(super) directory: Arc<Directory>,
    pub(super) columns: Columns,
}

/// The columns of a day, all of one length.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub(super) profiles: Box<[ProfileNo]>,
    pub(super) flags: Box<[Flags]>,
    /// Seconds of the Unix epoch; [`NEVER`] for none.
    pub(super) last_active: Box<[i64]>,
    pub(super) devices: Box<[u32]>,
    pub(super) counters: [CounterColumn; Counter::COUNT],
}

/// Stands for "no such time" in a column of times.
pub(super) const NEVER: i64 = i64::MIN;

impl Partition {
    /// What the day is known by.
    #[must_use]
    pub const fn key(&self) -> &DayKey {
        &self.key
    }

    /// When upstream was asked for it.
    #[must_use]
    pub const fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    /// The hash of its content.
    #[must_use]
    pub const fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// Whether rows may be missing, though upstream reported no failure.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether every row says whose it is. Rows without an id stand last.
    #[must_use]
    pub fn names_everyone(&self) -> bool {
        let tables = self.directory.read();
        self.columns.profiles.last().is_none_or(|last| tables.profile(*last).user_id.is_some())
    }

    /// The same day, known to lack nothing.
    #[must_use]
    pub fn without_doubt(&self) -> Self {
        Self { doubtful: false, ..self.clone() }
    }

    /// The directory that its numbers are of.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// How many rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.columns.profiles.len()
    }

    /// The profile number of each row.
    #[must_use]
    pub const fn profiles(&self) -> &[ProfileNo] {
        &self.columns.profiles
    }

    /// The flags of each row.
    #[must_use]
    pub const fn flags(&self) -> &[Flags] {
        &self.columns.flags
    }

    /// The devices number of each row.
    #[must_use]
    pub const fn devices(&self) -> &[u32] {
        &self.columns.devices
    }

    /// The person's last activity as of that day, where there was any.
    #[must_use]
    pub fn last_active(&self, row: usize) -> Option<Timestamp> {
        let seconds = self.columns.last_active[row];
        (seconds != NEVER).then(|| Timestamp::from_second(seconds).ok()).flatten()
    }

    /// The column of a counter.
    #[must_use]
    pub const fn counter(&self, counter: Counter) -> &CounterColumn {
        &self.columns.counters[counter.index()]
    }

    /// Bytes that the day takes in memory, the directory's share not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let columns = &self.columns;
        size_of::<Self>()
            + size_of_val(&*columns.profiles)
            + size_of_val(&*columns.flags)
            + size_of_val(&*columns.last_active)
            + size_of_val(&*columns.devices)
            + columns.counters.iter().map(CounterColumn::bytes).sum::<usize>()
    }
}

impl Origin for Partition {
    fn key(&self) -> &DayKey {
        &self.key
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn rows(&self) -> usize {
        self.columns.profiles.len()
    }

    fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    fn hash(&self) -> &ContentHash {
        &self.hash
    }
}
