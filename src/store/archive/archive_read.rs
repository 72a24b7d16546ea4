//! Metric label for the parts of archived files that are read.

use crate::prometheus::MetricLabel;

/// Which part of a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArchiveRead {
    /// The digest alone.
    Digest,
    /// All rows.
    Rows,
}

impl MetricLabel for ArchiveRead {
    const NAME: &'static str = "read";
    const ALL: &'static [Self] = &[Self::Digest, Self::Rows];

    fn value(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Rows => "rows",
        }
    }
}
