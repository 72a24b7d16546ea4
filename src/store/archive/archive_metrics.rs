//! What the archive tells of itself in figures.

use super::Archive;
use crate::meter::{Exposition, Label, Meter};

/// What was read of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The digest alone.
    Digest,
    /// All rows.
    Rows,
}

impl Label for Reading {
    const NAME: &'static str = "read";
    const ALL: &'static [Self] = &[Self::Digest, Self::Rows];

    fn value(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Rows => "rows",
        }
    }
}

impl Meter for Archive {
    fn write(&self, page: &mut Exposition) {
        let health = self.health();
        page.gauge("feishu_pulse_archive_failing", "1 while the archive fails, else 0.")
            .value(f64::from(u8::from(health.fault.is_some())));
        page.counter("feishu_pulse_archive_reads_total", "Archived days that were read by what was read of them.")
            .tally(&self.readings);
        page.gauge("feishu_pulse_archive_unwritten_partitions", "Days that wait to be written to the archive.")
            .value(health.unwritten as f64);
        page.counter(
            "feishu_pulse_archive_forgone_partitions_total",
            "Days given up unwritten, because too many waited.",
        )
        .value(health.forgone as f64);
        page.counter("feishu_pulse_archive_damaged_files_total", "Archived files found damaged and set aside.")
            .value(health.damaged as f64);
    }
}
