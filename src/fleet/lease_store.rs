//! [`LeaseStore`], a store that holds one record and replaces it only if nobody else has.

use std::sync::Arc;

use async_trait::async_trait;

use super::record::{FleetRecord, RECORD_VERSION, RecordNonce, SharedUpstreamState};

/// Holds one record.
///
/// An operation has a time limit of its own. The methods take `&mut self`, because one task uses a store, one operation at
/// a time.
#[async_trait]
pub trait LeaseStore: Send + 'static {
    /// The record and its version; `None` if there is none.
    ///
    /// # Errors
    /// [`LeaseStoreError`] if the store fails or does not answer in time.
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError>;

    /// Replaces the record if it has the version `expected`, or creates it if `expected` is `None` and there is none.
    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome;

    /// Removes the record. A missing record is not an error.
    ///
    /// # Errors
    /// [`LeaseStoreError`] if the store fails or does not answer in time.
    async fn remove(&mut self) -> Result<(), LeaseStoreError>;
}

/// The version of a stored record. Only the store that returned it understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordVersion(pub String);

/// The outcome of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapOutcome {
    /// The record is stored and has this version.
    Done(RecordVersion),
    /// The stored record has another version, or was replaced by this very swap: a store that repeats a request finds the
    /// record that its first attempt wrote. The nonce of the stored record tells which.
    Lost,
    /// It is not known whether the record is stored. It can still be stored later, but only over the expected version.
    Unknown(LeaseStoreError),
}

/// A store failed or did not answer in time. The text is for operators and contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LeaseStoreError(pub Arc<str>);

/// A store that cannot elect a leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitStore {
    /// The store fails.
    #[error("the store fails: {0}")]
    Failed(#[from] LeaseStoreError),
    /// The store replaces records that it must not replace, so it would elect several leaders.
    #[error("the store ignores a condition: {0}")]
    IgnoresCondition(&'static str),
    /// The store returns another record than the one that was written.
    #[error("the store does not return what was written")]
    WrongRecord,
}

/// Checks that a store does what [`LeaseStore`] promises. Uses and removes the record of `store`, which must be one that no
/// fleet uses.
///
/// # Errors
/// [`UnfitStore`] names what does not hold.
pub async fn probe(store: &mut dyn LeaseStore) -> Result<(), UnfitStore> {
    let checked = probe_conditions(store).await;
    let removed = store.remove().await;
    checked?;
    Ok(removed?)
}

async fn probe_conditions(store: &mut dyn LeaseStore) -> Result<(), UnfitStore> {
    store.remove().await?;
    let [first, second, third] = [1, 2, 3].map(probe_record);
    let created = done(store.swap(None, &first).await, "a missing record can be created")?;
    lost(store.swap(None, &second).await, "a record is created only if there is none")?;
    let replaced = done(store.swap(Some(&created), &second).await, "a record of the expected version can be replaced")?;
    lost(store.swap(Some(&created), &third).await, "a record of another version is not replaced")?;
    if store.read().await? != Some((second, replaced.clone())) {
        return Err(UnfitStore::WrongRecord);
    }
    store.remove().await?;
    lost(store.swap(Some(&replaced), &third).await, "a missing record is not replaced")?;
    if store.read().await?.is_some() {
        return Err(UnfitStore::WrongRecord);
    }
    Ok(())
}

fn done(outcome: SwapOutcome, condition: &'static str) -> Result<RecordVersion, UnfitStore> {
    match outcome {
        SwapOutcome::Done(version) => Ok(version),
        SwapOutcome::Lost => Err(UnfitStore::IgnoresCondition(condition)),
        SwapOutcome::Unknown(error) => Err(error.into()),
    }
}

fn lost(outcome: SwapOutcome, condition: &'static str) -> Result<(), UnfitStore> {
    match outcome {
        SwapOutcome::Lost => Ok(()),
        SwapOutcome::Done(_) => Err(UnfitStore::IgnoresCondition(condition)),
        SwapOutcome::Unknown(error) => Err(error.into()),
    }
}

fn probe_record(term: u64) -> FleetRecord {
    FleetRecord {
        version: RECORD_VERSION,
        term,
        nonce: RecordNonce::random(),
        lease_seconds: 10.0,
        leader: None,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        upstream: SharedUpstreamState::default(),
        deleted: super::record::DeletedDays::default(),
        replicas: 1,
        successor: None,
    }
}
