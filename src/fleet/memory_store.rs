//! [`MemoryStore`]: a record in memory, for tests of several replicas in one process.

use std::sync::Arc;

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
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError> {
        let record = self.record.lock().clone();
        Ok(record.map(|record| (record.clone(), version_of(&record))))
    }

    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome {
        let mut stored = self.record.lock();
        if stored.as_ref().map(version_of).as_ref() != expected {
            return SwapOutcome::Lost;
        }
        *stored = Some(record.clone());
        SwapOutcome::Done(version_of(record))
    }

    async fn remove(&mut self) -> Result<(), LeaseStoreError> {
        *self.record.lock() = None;
        Ok(())
    }
}

fn version_of(record: &FleetRecord) -> RecordVersion {
    RecordVersion(record.nonce.0.clone())
}
