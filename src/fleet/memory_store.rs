//! [`MemoryStore`]: a record in memory, for tests of several replicas in one process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    lease_store::{LeaseStore, LeaseStoreError, RecordVersion, SwapOutcome},
    record::FleetRecord,
};

/// Holds the record in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    record: Arc<Mutex<Option<FleetRecord>>>,
    fails: Arc<AtomicBool>,
}

impl MemoryStore {
    /// Whether all operations fail from now on.
    pub fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), LeaseStoreError> {
        let fails = self.fails.load(Ordering::Relaxed);
        if fails { Err(LeaseStoreError("it was set to fail".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError> {
        self.check()?;
        let record = self.record.lock().clone();
        Ok(record.map(|record| (record.clone(), version_of(&record))))
    }

    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome {
        if let Err(error) = self.check() {
            return SwapOutcome::Unknown(error);
        }
        let mut stored = self.record.lock();
        if stored.as_ref().map(version_of).as_ref() != expected {
            return SwapOutcome::Lost;
        }
        *stored = Some(record.clone());
        SwapOutcome::Done(version_of(record))
    }

    async fn remove(&mut self) -> Result<(), LeaseStoreError> {
        self.check()?;
        *self.record.lock() = None;
        Ok(())
    }
}

fn version_of(record: &FleetRecord) -> RecordVersion {
    RecordVersion(record.nonce.0.clone())
}
