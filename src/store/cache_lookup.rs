//! The outcome of a lookup in memory, as a metric label.

use strum::{IntoStaticStr, VariantArray};

use crate::prometheus::MetricLabel;

/// The outcome of a lookup in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
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
}
