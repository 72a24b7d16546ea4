//! Metrics of the process.

use jiff::Timestamp;

use crate::prometheus::{Collector, Exposition};

/// Collects version, start time and memory of the process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessCollector {
    started: Timestamp,
}

impl ProcessCollector {
    /// A collector for a process started at `started`.
    #[must_use]
    pub const fn new(started: Timestamp) -> Self {
        Self { started }
    }
}

impl Collector for ProcessCollector {
    fn collect(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_build_info", "Always 1. The label gives the version of the process.")
            .labelled_sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.gauge("process_start_time_seconds", "Start time of the process in seconds since the Unix epoch.")
            .sample(self.started.as_millisecond() as f64 / 1e3);
        page.gauge("process_resident_memory_bytes", "Resident memory of the process in bytes.")
            .optional(resident_bytes());
        page.gauge(
            "feishu_pulse_process_memory_limit_bytes",
            "Memory limit of the container in bytes. Absent if there is no limit.",
        )
        .optional(memory_limit());
    }
}

/// Resident memory in bytes; `None` on systems other than Linux.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Memory limit of the control group (version 2, then version 1) in bytes; `None` if there is no limit.
fn memory_limit() -> Option<f64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.into_iter().find_map(|file| std::fs::read_to_string(file).ok())?;
    // Without a limit, version 2 contains `max` and version 1 a very large number.
    limit.trim().parse().ok().filter(|bytes| *bytes < 2_f64.powi(60))
}
