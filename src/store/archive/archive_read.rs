//! Metric label for the parts of archived files that are read.

use strum::{IntoStaticStr, VariantArray};

use crate::prometheus::MetricLabel;

/// Which part of a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ArchiveRead {
    /// The digest alone.
    Digest,
    /// All rows.
    Rows,
}

impl MetricLabel for ArchiveRead {
    const NAME: &'static str = "read";
}
