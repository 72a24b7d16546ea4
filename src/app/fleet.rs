//! This replica as part of a fleet: its settings, its start, and what it does when the leader changes.

use std::{num::NonZero, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{net::TcpListener, sync::watch};

use super::{
    build::{BuildError, Gateway},
    config::DEFAULT_UNREAD_LIMIT,
    server::Server,
};
use crate::{
    api::fleet::{FleetRoutes, fleet_service},
    feishu::FeishuSource,
    fleet::{
        BucketStore, FleetKey, FleetLink, FleetMember, FleetStatus, ForgottenDay, LeaderClient, Leadership, LeaseStore,
        LeaseStoreError, LeaseTimes, MemberConfig, MemoryStore, MissedDeletions, PreparedMember, RedisAddress,
        RedisStore, SignatureVerifier,
        lease_store::{UnfitStore, probe},
        record::{RECORD_OBJECT, redis_key},
    },
    model::{Clock, DataScope, DayKey, UserIdType},
    query::{BackfillJobs, ViewEngines},
    source::{DaySource, Depth, LoadContext, LoadedDay, Priority},
    store::{Archive, ArchiveLocation, ArchiveOwner, archive::ArchiveLocationError},
    table::{DayMetadata as _, Dictionaries},
};

/// Limit of the probe at the start. A store that does not answer is not an error: it may come later.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a replica compares the days that can still change with those of the leader.
const AGREEMENT_INTERVAL: Duration = Duration::from_secs(15);

/// Connection limit of the listener between replicas. A replica keeps one connection.
const MAX_FLEET_CONNECTIONS: NonZero<usize> = NonZero::new(256).unwrap();

/// Where the record of the fleet is.
#[derive(Clone, Debug)]
pub enum FleetStore {
    /// A Redis or Valkey server.
    Redis(RedisAddress),
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
    /// How long a leader that does not renew its lease stays the leader.
    pub lease: Duration,
}

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

/// A member, and how it reaches the leader.
pub(super) struct JoinedFleet {
    pub(super) member: FleetMember,
    pub(super) link: FleetLink,
    key: FleetKey,
}

/// This replica in its fleet. [`serve_fleet`] answers the other replicas.
pub struct Fleet {
    pub(super) joined: JoinedFleet,
    /// The read path below the memory of days.
    pub(super) below_memory: Arc<dyn DaySource>,
}

impl FleetConfig {
    /// The member that joins after the upstream client is built.
    #[must_use]
    pub fn prepare(&self) -> PreparedMember {
        PreparedMember::new(MemberConfig {
            times: self.times(),
            address: self.address.clone(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// Joins the fleet. Starts the thread of the member.
    pub(super) fn join(
        &self,
        prepared: PreparedMember,
        feishu: &FeishuSource,
        app_secret: &SecretString,
        place: FleetPlace<'_>,
        dictionaries: &Arc<Dictionaries>,
        clock: &Arc<dyn Clock>,
    ) -> Result<JoinedFleet, BuildError> {
        let store = self.open_store(place, RecordUse::Election)?;
        let member = prepared.join(store, Arc::new(feishu.clone())).map_err(BuildError::FleetThread)?;
        let key = FleetKey::new(app_secret);
        let client = LeaderClient::new(key.clone(), Arc::clone(clock))?;
        // One lease until another replica may lead, and half of one until it does.
        let patience = self.lease + self.lease / 2;
        let link = FleetLink::new(&member, client, Arc::clone(dictionaries), patience);
        Ok(JoinedFleet { member, link, key })
    }

    /// Checks that the store can elect a leader, with a record of its own.
    ///
    /// # Errors
    /// [`FleetStoreError`] if it cannot. [`UnfitStore::Failed`] if it does not answer.
    pub async fn probe(&self, archive: &ArchiveLocation, owner: &ArchiveOwner) -> Result<(), FleetStoreError> {
        let mut store = self.open_store(FleetPlace { archive, owner }, RecordUse::Probe)?;
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

    fn open_store(
        &self,
        FleetPlace { archive, owner }: FleetPlace<'_>,
        record: RecordUse,
    ) -> Result<Box<dyn LeaseStore>, FleetStoreError> {
        Ok(match &self.store {
            FleetStore::Redis(address) => {
                let key = redis_key(&owner.app_id, &owner.upstream);
                let key =
                    if record == RecordUse::Probe { format!("{key}:probe:{:08x}", fastrand::u32(..)) } else { key };
                Box::new(RedisStore::new(address.clone(), key))
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

/// What determines the place of the record in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct FleetPlace<'a> {
    pub(super) archive: &'a ArchiveLocation,
    pub(super) owner: &'a ArchiveOwner,
}

/// What a record is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordUse {
    /// The election of a leader.
    Election,
    /// A check of the store, which must not touch the record of the election. Several replicas may check at once.
    Probe,
}

/// Answers the other replicas until the process ends. Does nothing without a fleet.
pub fn serve_fleet(gateway: &Gateway, listener: TcpListener) {
    let Some(Fleet { joined: fleet, .. }) = &gateway.fleet else { return };
    let routes = FleetRoutes {
        source: Arc::clone(gateway.maintenance.views.unfiltered().source()),
        leadership: fleet.member.leadership(),
        status: fleet.member.status(),
        verifier: SignatureVerifier::new(fleet.key.clone()),
        clock: Arc::clone(&gateway.maintenance.clock),
    };
    let service = fleet_service(routes, &gateway.api);
    let server = Server::new(service, None, MAX_FLEET_CONNECTIONS, DEFAULT_UNREAD_LIMIT, Arc::default());
    tokio::spawn(async move {
        loop {
            server.accept_next(&listener).await;
        }
    });
}

/// Runs the stored backfill jobs while this replica leads. Never returns.
pub(super) async fn run_jobs_of_leader(leadership: Leadership, jobs: BackfillJobs) {
    loop {
        leadership.gained().await;
        jobs.resume().await;
        leadership.lost().await;
        jobs.suspend();
    }
}

/// Replaces days in memory that can still change by those of the leader, if the leader has fetched them later. So all replicas
/// answer alike soon after a change. Never returns.
pub(super) async fn agree_with_leader(link: FleetLink, views: ViewEngines, below_memory: Arc<dyn DaySource>) {
    let engine = views.unfiltered();
    let context = LoadContext { priority: Priority::Background, caller: engine.new_caller_id() };
    loop {
        tokio::time::sleep(AGREEMENT_INTERVAL).await;
        let status = link.status.borrow().clone();
        let Some(leader) = link.other_leader(&status) else { continue };
        let can_change = |key: &DayKey| engine.recorded_day(key).is_some_and(|day| !day.state.is_settled());
        let keys: Vec<DayKey> = views.held_days().into_iter().filter(can_change).collect();
        if keys.is_empty() {
            continue;
        }
        let Ok(at_leader) = link.client.held(&leader, &keys).await else { continue };
        let here = engine.source().stored(&keys, Depth::Rows).await;
        for ((key, here), at_leader) in keys.iter().zip(here).zip(at_leader) {
            let is_later = |here: &LoadedDay| at_leader.is_some_and(|at_leader| at_leader > here.fetched_at());
            if here.as_ref().is_some_and(is_later)
                && let Err(error) = below_memory.load(key, Depth::Rows, context).await
            {
                tracing::debug!(%key, %error, "a later version of a day could not be read from the leader");
            }
        }
    }
}

/// Removes days from memory that the leader has deleted. Ends with the fleet.
pub(super) async fn remove_forgotten_days(
    mut status: watch::Receiver<FleetStatus>,
    views: ViewEngines,
    archive: Option<Arc<Archive>>,
) {
    let remove_day = |key: &DayKey| {
        if let Some(archive) = &archive {
            archive.forget(key);
        }
        views.remove_day(key);
    };
    let mut known = None;
    loop {
        let forgotten = status.borrow_and_update().forgotten.clone();
        if let Some(forgotten) = forgotten.filter(|forgotten| Some(forgotten.count) != known) {
            // A process that has just started holds nothing that was deleted before.
            match known.map(|known| forgotten.since(known)) {
                None => {}
                Some(MissedDeletions::Days(days)) => {
                    days.into_iter().flat_map(keys_of).for_each(|key| remove_day(&key))
                }
                Some(MissedDeletions::All) => {
                    tracing::warn!("more days were deleted than the record names; all days are removed from memory");
                    views.held_days().iter().for_each(&remove_day);
                }
            }
            known = Some(forgotten.count);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// The keys of a day, for all types of user id.
fn keys_of(ForgottenDay { geo, day }: ForgottenDay) -> [DayKey; UserIdType::ALL.len()] {
    UserIdType::ALL.map(|user_id_type| DayKey { geo, user_id_type, scope: DataScope::Everyone, day })
}
