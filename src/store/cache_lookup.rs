//! The outcome of a lookup in memory, as a metric label.

use crate::prometheus::MetricLabel;

/// The outcome of a lookup in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLookup {
    /// The day is in memory.
    Hit,
    /// The day is served and is due for a refresh.
    Stale,
    /// The day is not in memory.
    Miss,
}

impl MetricLabel for CacheLookup {
    const NAME: &'static str = "result";
    const ALL: &'static [Self] = &[Self::Hit, Self::Stale, Self::Miss];

    fn value(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}
