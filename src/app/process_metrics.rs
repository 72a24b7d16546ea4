//! The process's own figures for an operator.

use jiff::Timestamp;

use crate::meter::{Exposition, Meter};

/// Tells which version runs since when.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    started: Timestamp,
}

impl Process {
    /// A process that was started then.
    #[must_use]
    pub const fn new(started: Timestamp) -> Self {
        Self { started }
    }
}

impl Meter for Process {
    fn write(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_build_info", "Always 1; says which version runs.")
            .labelled(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.gauge("process_start_time_seconds", "When the process was started, in seconds since 1970.")
            .value(self.started.as_millisecond() as f64 / 1e3);
        page.gauge("process_resident_memory_bytes", "Memory that the process takes.").known(resident_bytes());
        page.gauge(
            "feishu_pulse_process_memory_limit_bytes",
            "Memory that the container may take, where that is limited.",
        )
        .known(memory_limit());
    }
}

/// What Linux says; `None` elsewhere.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// What the container's control group says: version 2, then 1. `None` where there is no limit.
fn memory_limit() -> Option<f64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = files.into_iter().find_map(|file| std::fs::read_to_string(file).ok())?;
    // Version 2 says `max`; version 1 says a number that no machine has.
    limit.trim().parse().ok().filter(|bytes| *bytes < 2_f64.powi(60))
}
