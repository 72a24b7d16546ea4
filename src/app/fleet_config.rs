//! The configuration of a replica of a fleet, and the store of its record.

use std::time::Duration;

use super::fleet_tls::FleetTlsFiles;
use crate::{
    fleet::{
        BucketStore, FleetKey, LeaseStore, LeaseStoreError, LeaseTimes, MemberConfig, MemoryStore, PreparedMember,
        RedisAddress, RedisStore, Transport,
        lease_store::{UnfitStore, probe},
        record::{RECORD_OBJECT, redis_key},
    },
    store::{ArchiveLocation, ArchiveOwner, archive::ArchiveLocationError},
};

/// Limit of the probe at the start. A store that does not answer is not an error: it may come later.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the record of the fleet is.
#[derive(Clone, Debug)]
pub enum FleetStore {
    /// A Redis or Valkey server.
    Redis(Box<RedisAddress>),
    /// The bucket of the archive.
    Archive,
    /// Memory of this process, for tests.
    Memory(MemoryStore),
}

/// The settings of a replica of a fleet.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Where the record of the fleet is.
    pub store: FleetStore,
    /// Host and port at which other replicas reach this one.
    pub address: String,
    /// The files of TLS between replicas. `None`: without TLS.
    pub tls: Option<FleetTlsFiles>,
    /// How long a leader that does not renew its lease stays the leader.
    pub lease: Duration,
    /// A leader gives its turn to another replica if its requests to Feishu have got no reply for this long.
    pub unreachable_limit: Duration,
}

/// Default of [`FleetConfig::unreachable_limit`].
pub const UNREACHABLE_LIMIT: Duration = Duration::from_secs(120);

/// The store cannot hold the record of a fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetStoreError {
    /// The archive is not a bucket.
    #[error("the record of the fleet can only be in the archive if the archive is a bucket (s3://…)")]
    NoBucket,
    /// The environment variables for the bucket are invalid.
    #[error(transparent)]
    Archive(#[from] ArchiveLocationError),
    /// The store elects several leaders.
    #[error("{0}")]
    Unfit(#[from] UnfitStore),
}

impl FleetConfig {
    /// The member that joins after the upstream client is built.
    #[must_use]
    pub fn prepare(&self, key: FleetKey) -> PreparedMember {
        PreparedMember::new(MemberConfig {
            times: self.times(),
            address: Transport::address(&self.address, self.tls.is_some()),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            key,
        })
    }

    /// How long a load waits for a leader: one lease until another replica may lead, and half of one until it does.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.lease + self.lease / 2
    }

    /// Opens the store of the record for the election. Sends no request.
    ///
    /// # Errors
    /// [`FleetStoreError`] if the archive is not a bucket, or its environment variables are invalid.
    pub fn open_store(
        &self,
        archive: &ArchiveLocation,
        owner: &ArchiveOwner,
    ) -> Result<Box<dyn LeaseStore>, FleetStoreError> {
        self.open(archive, owner, RecordUse::Election)
    }

    /// Checks that the store can elect a leader, with a record of its own.
    ///
    /// # Errors
    /// [`FleetStoreError`] if it cannot. [`UnfitStore::Failed`] if it does not answer.
    pub async fn probe(&self, archive: &ArchiveLocation, owner: &ArchiveOwner) -> Result<(), FleetStoreError> {
        let mut store = self.open(archive, owner, RecordUse::Probe)?;
        let probed = tokio::time::timeout(PROBE_TIMEOUT, probe(&mut *store)).await;
        let late = || LeaseStoreError(format!("it does not answer within {} s", PROBE_TIMEOUT.as_secs()).into());
        Ok(probed.unwrap_or_else(|_| Err(UnfitStore::Failed(late())))?)
    }

    fn times(&self) -> LeaseTimes {
        match self.store {
            FleetStore::Archive => LeaseTimes::of_bucket(self.lease),
            FleetStore::Redis(_) | FleetStore::Memory(_) => LeaseTimes::of_redis(self.lease),
        }
    }

    fn open(
        &self,
        archive: &ArchiveLocation,
        owner: &ArchiveOwner,
        record: RecordUse,
    ) -> Result<Box<dyn LeaseStore>, FleetStoreError> {
        Ok(match &self.store {
            FleetStore::Redis(address) => {
                let key = redis_key(&owner.app_id, &owner.upstream);
                let key =
                    if record == RecordUse::Probe { format!("{key}:probe:{:08x}", fastrand::u32(..)) } else { key };
                Box::new(RedisStore::new((**address).clone(), key))
            }
            FleetStore::Archive => {
                let bucket = archive.open_without_retries()?.ok_or(FleetStoreError::NoBucket)?;
                let probe_object = format!("fleet/probe-{:08x}.json", fastrand::u32(..));
                let object = if record == RecordUse::Probe { &probe_object } else { RECORD_OBJECT };
                Box::new(BucketStore::new(bucket, object))
            }
            FleetStore::Memory(store) => Box::new(store.clone()),
        })
    }
}

/// What a record is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordUse {
    /// The election of a leader.
    Election,
    /// A check of the store, which must not touch the record of the election. Several replicas may check at once.
    Probe,
}
