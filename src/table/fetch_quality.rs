//! [`FetchQuality`]: what was wrong with the replies from which a day was read.

use serde::{Deserialize, Serialize};

/// The faults of the fetch of one day. The default is a fetch without faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FetchQuality {
    /// Whether the chain of pages ended early, so that rows may be missing.
    pub broken_off: bool,
    /// Number of rows that could not be read, or whose date is missing or was not requested. They were skipped. A chain
    /// counts them for each of its days, because such a row names no day.
    pub unreadable_rows: u32,
    /// Number of counter values that are not counts. They were replaced as `docs/metrics.md` says.
    pub unreadable_values: u32,
    /// Whether the clock of this machine was ahead of that of Feishu, so that the day may have been fetched before it was
    /// produced.
    pub clock_ahead: bool,
}

impl FetchQuality {
    /// Whether rows may be missing although Feishu reported no failure. Unreadable values do not matter here: their rows
    /// are present.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.broken_off || self.unreadable_rows > 0 || self.clock_ahead
    }
}
