//! Cached days: a day with its state, the outcome of a lookup, and the generation of the cached data.

use std::sync::Arc;

use strum::{IntoStaticStr, VariantArray};

use super::freshness::DayState;
use crate::{prometheus::MetricLabel, table::DayTable};

/// A cached day, as rows or as a digest, with its state at the time of the lookup.
#[derive(Clone, Debug)]
pub struct CachedDay<D = DayTable> {
    /// The day.
    pub day: Arc<D>,
    /// Whether it can still change.
    pub state: DayState,
    /// Whether it is provisional and due for a refresh.
    pub refresh_due: bool,
}

/// Changes whenever the cached data changes. A value never occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheGeneration {
    /// Number of days that were added or replaced so far.
    pub changes: u64,
    /// Number of days that were removed on request so far. A final day changes only after a removal.
    pub removals: u64,
}

/// The outcome of a cache lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum CacheLookup {
    Hit,
    /// The day is served and is due for a refresh.
    Stale,
    Miss,
}

impl CacheLookup {
    pub(super) const fn of(found: Option<&CachedDay>) -> Self {
        match found {
            Some(CachedDay { refresh_due: true, .. }) => Self::Stale,
            Some(_) => Self::Hit,
            None => Self::Miss,
        }
    }
}

impl MetricLabel for CacheLookup {
    const NAME: &'static str = "result";
}
