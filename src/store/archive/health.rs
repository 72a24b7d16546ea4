//! Health of the archive: reports faults to operators and lets requests skip an archive that is down.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::storage_error::{StorageError, StorageFault};

/// For this long after a failed read, requests do not read from the archive.
const READ_PAUSE: Duration = Duration::from_secs(30);

/// The state of the archive at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// The current fault; `None` if there is none.
    pub fault: Option<StorageFault>,
    /// Days that wait to be written.
    pub unwritten: usize,
    /// Days dropped from the backlog since the start because too many waited. They are archived when they are fetched
    /// again.
    pub dropped: u64,
    /// Damaged files found since the start. Each was moved aside.
    pub damaged: u64,
}

/// A kind of operation on the archive. One can fail while the other succeeds, for example on a read-only disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageOperation {
    Reading,
    Writing,
}

/// Tracks the health of the archive. A fault is logged when it begins and when it ends, not for each affected day.
#[derive(Debug, Default)]
pub(super) struct HealthMonitor {
    state: Mutex<HealthState>,
}

#[derive(Debug, Default)]
struct HealthState {
    reading: Option<StorageFault>,
    writing: Option<StorageFault>,
    dropped: u64,
    damaged: u64,
    paused_until: Option<Instant>,
}

impl HealthMonitor {
    /// Records a success. A successful write also clears a read fault: if reads still fail, the next read records it
    /// again.
    pub(super) fn record_success(&self, operation: StorageOperation) {
        let mut state = self.state();
        state.paused_until = None;
        let faults = match operation {
            StorageOperation::Reading => [None, state.reading.take()],
            StorageOperation::Writing => [state.writing.take(), state.reading.take()],
        };
        if faults.iter().any(Option::is_some) {
            tracing::info!(?operation, "the archive has recovered");
        }
    }

    /// Records a failure.
    pub(super) fn record_failure(&self, operation: StorageOperation, error: &StorageError) {
        let mut state = self.state();
        if operation == StorageOperation::Reading {
            state.paused_until = Some(Instant::now() + READ_PAUSE);
        }
        if state.fault(operation).replace(error.fault()).is_none() {
            tracing::error!(
                ?operation,
                archive.fault = %error.fault(),
                %error,
                "the archive fails; days are fetched from Feishu and archived later"
            );
        }
    }

    /// Records the result of a read.
    pub(super) fn record_read<T>(&self, read: Result<T, StorageError>) -> Result<T, StorageError> {
        match &read {
            Ok(_) => self.record_success(StorageOperation::Reading),
            Err(error) => self.record_failure(StorageOperation::Reading, error),
        }
        read
    }

    /// Whether a read failed so recently that requests skip the archive.
    pub(super) fn is_paused(&self) -> bool {
        self.state().paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether the last write failed.
    pub(super) fn is_write_failing(&self) -> bool {
        self.state().writing.is_some()
    }

    /// Counts a damaged file.
    pub(super) fn record_damaged_file(&self) {
        self.state().damaged += 1;
    }

    /// Counts days that were dropped from the backlog.
    pub(super) fn record_dropped(&self, days: usize) {
        self.state().dropped += days as u64;
    }

    /// The current status, given the number of days that wait to be written.
    pub(super) fn status(&self, unwritten: usize) -> ArchiveStatus {
        let state = self.state();
        let fault = state.writing.or(state.reading);
        ArchiveStatus { fault, unwritten, dropped: state.dropped, damaged: state.damaged }
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock()
    }
}

impl HealthState {
    const fn fault(&mut self, operation: StorageOperation) -> &mut Option<StorageFault> {
        match operation {
            StorageOperation::Reading => &mut self.reading,
            StorageOperation::Writing => &mut self.writing,
        }
    }
}
