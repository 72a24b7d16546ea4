//! The signals that end the process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that end the process: SIGTERM, SIGINT (Ctrl-C), SIGQUIT and SIGHUP. The first signal begins the shutdown,
/// and the second ends it at once.
#[derive(Clone, Debug, Default)]
pub struct ShutdownSignals {
    /// Cancelled by the first signal.
    pub first: CancellationToken,
    /// Cancelled by the second signal.
    pub second: CancellationToken,
}

impl ShutdownSignals {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// Fails if a signal handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let signals = Self::default();
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()] {
            if kind == SignalKind::hangup() && is_ignored(kind) {
                continue;
            }
            let (mut received, signals) = (signal(kind)?, signals.clone());
            tokio::spawn(async move {
                while received.recv().await.is_some() {
                    signals.record();
                }
            });
        }
        Ok(signals)
    }

    fn record(&self) {
        if self.first.is_cancelled() {
            self.second.cancel();
        } else {
            self.first.cancel();
        }
    }
}

/// Whether the parent process has disabled the signal, as `nohup` does. `false` on systems other than Linux.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}
