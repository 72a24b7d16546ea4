//! What the archive tells of itself in figures.

use super::Archive;
use crate::meter::{Exposition, Meter};

impl Meter for Archive {
    fn write(&self, page: &mut Exposition) {
        let health = self.health();
        page.gauge("feishu_pulse_archive_failing", "1 while the archive fails, else 0.")
            .value(f64::from(u8::from(health.fault.is_some())));
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
