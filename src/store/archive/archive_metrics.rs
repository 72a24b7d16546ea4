//! Metrics of the archive.

use super::core::Archive;
use crate::prometheus::{Collector, Exposition};

impl Collector for Archive {
    fn collect(&self, page: &mut Exposition) {
        let health = self.health();
        page.gauge("feishu_pulse_archive_failing", "1 while the archive has a fault, else 0.")
            .sample(f64::from(u8::from(health.fault.is_some())));
        page.counter("feishu_pulse_archive_reads_total", "Archived days read, by the part of the file that was read.")
            .counter_vec(&self.reads);
        page.gauge("feishu_pulse_archive_unwritten_partitions", "Days that wait to be written to the archive.")
            .sample(health.unwritten as f64);
        page.counter(
            "feishu_pulse_archive_dropped_partitions_total",
            "Days dropped unwritten because too many waited.",
        )
        .sample(health.dropped as f64);
        page.counter(
            "feishu_pulse_archive_damaged_files_total",
            "Damaged archive files that were found and moved aside.",
        )
        .sample(health.damaged as f64);
    }
}
