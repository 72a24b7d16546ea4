//! This replica as part of a fleet: what it answers to others, and what it does when the leader changes or deletes days.

use std::{num::NonZero, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::MissedTickBehavior,
};

use super::{config::DEFAULT_UNREAD_LIMIT, server::Server, tls::ReloadingTlsAcceptor};
use crate::{
    api::{
        ApiState, Draining,
        fleet::{FleetRoutes, fleet_service},
    },
    feishu::reachability::Reachability,
    fleet::{
        DeletedDay, FleetKey, FleetLink, FleetMember, FleetStatus, FleetTls, Leadership, MemberHandle, MissedDeletions,
        SignatureVerifier, followers::Followers, leader_client::ForwardError,
    },
    model::{DataScope, DayKey, UserIdType},
    query::{BackfillJobs, ViewEngines},
    source::{Depth, LoadContext, LoadedDay, Priority},
    store::Archive,
    table::DayMetadata as _,
};

/// Time limit of a request for a later version of a day. It could have to be fetched, and the next comparison waits for it.
const LATER_DAY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a replica compares the days that can still change with those of the leader.
const AGREEMENT_INTERVAL: Duration = Duration::from_secs(15);

/// How often the leader checks whether Feishu replies.
const REACHABILITY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Minimum time between two times that this replica gives its turn to another one. If Feishu replies to none, the leader changes
/// this often.
const STEP_DOWN_INTERVAL: Duration = Duration::from_secs(600);

/// Connection limit of the listener between replicas. A replica keeps two connections.
const MAX_FLEET_CONNECTIONS: NonZero<usize> = NonZero::new(256).unwrap();

/// Limit of concurrent requests on one connection between replicas. A follower requests each day of a year on its own, and
/// several callers can do so at once.
const MAX_FLEET_STREAMS: u32 = 8192;

/// Number of days that are encoded at the same time for other replicas: encoding takes about ten times the memory of a day.
const MAX_ENCODED_DAYS: usize = 4;

/// How often the stored jobs are read while this replica leads: the previous leader can have stored one after its last write
/// of the record, and the archive can fail.
const RESUME_INTERVAL: Duration = Duration::from_secs(60);

/// This replica in its fleet: the member, and how it reaches the leader. [`serve_fleet`] answers the other replicas.
pub struct Fleet {
    pub(super) member: FleetMember,
    pub(super) link: FleetLink,
    pub(super) key: FleetKey,
    /// Serves other replicas over TLS; `None` without TLS.
    pub(super) tls: Option<watch::Receiver<FleetTls>>,
    /// For how long Feishu has not replied to this replica.
    pub(super) reachability: Arc<Reachability>,
    /// How long that may be.
    pub(super) unreachable_limit: Duration,
}

/// What [`step_down_if_unreachable`] needs of a [`Fleet`], without being a member of it.
pub(super) struct ReachabilityWatch {
    leadership: Leadership,
    handle: MemberHandle,
    followers: Arc<Followers>,
    reachability: Arc<Reachability>,
    limit: Duration,
}

impl Fleet {
    /// Whether another replica leads, or has sent a request to this one in the last minute.
    pub(super) fn has_others(&self) -> bool {
        self.member.followers().count() > 0 || self.member.leadership().has_other_leader()
    }

    pub(super) fn reachability_watch(&self) -> ReachabilityWatch {
        ReachabilityWatch {
            leadership: self.member.leadership(),
            handle: self.member.handle(),
            followers: Arc::clone(self.member.followers()),
            reachability: Arc::clone(&self.reachability),
            limit: self.unreachable_limit,
        }
    }
}

/// Gives the turn to another replica if Feishu does not reply to this one, at most once in 10 minutes. Never returns.
pub(super) async fn step_down_if_unreachable(watch: ReachabilityWatch) {
    let ReachabilityWatch { leadership, handle, followers, reachability, limit } = watch;
    loop {
        tokio::time::sleep(REACHABILITY_CHECK_INTERVAL).await;
        let unreachable_for = reachability.unreachable_for();
        if leadership.leads() && unreachable_for >= limit && followers.count() > 0 {
            tracing::warn!(
                unreachable_seconds = unreachable_for.as_secs(),
                "Feishu does not reply to this replica; another one may lead"
            );
            handle.step_down();
            tokio::time::sleep(STEP_DOWN_INTERVAL).await;
        }
    }
}

/// Answers the other replicas until the process ends.
pub fn serve_fleet(fleet: &Fleet, api: &ApiState, listener: TcpListener) {
    let Fleet { member, key, tls, .. } = fleet;
    let routes = FleetRoutes {
        source: Arc::clone(api.data.views.unfiltered().source()),
        leadership: member.leadership(),
        status: member.status(),
        replica_id: Arc::clone(member.replica_id()),
        followers: Arc::clone(member.followers()),
        verifier: SignatureVerifier::new(key.clone()),
        encoding: Arc::new(Semaphore::new(MAX_ENCODED_DAYS)),
        clock: Arc::clone(&api.access.clock),
    };
    let service = fleet_service(routes, api);
    let tls = tls.clone().map(|latest| ReloadingTlsAcceptor::new(move || Arc::clone(&latest.borrow().server)));
    let server = Server::new(service, tls, MAX_FLEET_CONNECTIONS, DEFAULT_UNREAD_LIMIT, Draining::default())
        .with_max_streams(MAX_FLEET_STREAMS);
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
        let resume_repeatedly = async {
            loop {
                jobs.resume().await;
                tokio::time::sleep(RESUME_INTERVAL).await;
            }
        };
        tokio::select! {
            () = leadership.lease_ended() => {}
            () = resume_repeatedly => {}
        }
        jobs.suspend();
    }
}

/// Replaces days in memory that can still change by those of the leader, if the leader has fetched them later. So all replicas
/// answer alike soon after a change. The requests also show the leader that this replica exists. Never returns; a replica that
/// shuts down drops it, so that it is not named as the successor.
pub(super) async fn refresh_from_leader(link: FleetLink, views: ViewEngines) {
    let engine = views.unfiltered();
    let context = LoadContext { priority: Priority::Background, caller: engine.new_caller_id() };
    let mut interval = tokio::time::interval(AGREEMENT_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = link.status.clone();
    let mut last_leader = None;
    let mut failure = None;
    loop {
        // A new leader learns soon which replicas exist.
        tokio::select! {
            _ = interval.tick() => {}
            Ok(_) = changes.wait_for(|status| status.leader != last_leader) => {}
        }
        let status = link.status.borrow().clone();
        last_leader.clone_from(&status.leader);
        let Some(leader) = status.other_leader() else { continue };
        let can_change = |key: &DayKey| engine.recorded_day(key).is_some_and(|day| !day.state.is_settled());
        let keys: Vec<DayKey> = views.held_days().into_iter().filter(can_change).collect();
        let at_leader = match link.client.held(leader, &keys).await {
            Ok(at_leader) => at_leader,
            // The leader is changing.
            Err(ForwardError::NotLeader) => continue,
            Err(error) => {
                // The replicas have to be configured alike, so an error that stays is for the operator.
                if failure.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the leader does not answer this replica");
                    failure = Some(error);
                }
                continue;
            }
        };
        if failure.take().is_some() {
            tracing::info!("the leader answers this replica again");
        }
        let here = engine.source().stored(&keys, Depth::Rows).await;
        for ((key, here), at_leader) in keys.iter().zip(here).zip(at_leader) {
            let is_later = |here: &LoadedDay| at_leader.is_some_and(|at_leader| at_leader > here.fetched_at());
            if !here.as_ref().is_some_and(is_later) {
                continue;
            }
            let deletions = || link.status.borrow().deleted.as_ref().map(|deleted| deleted.count);
            let deletions_before = deletions();
            let requested = link.request_day(leader, status.term, key, context);
            match tokio::time::timeout(LATER_DAY_TIMEOUT, requested).await {
                // The day could be one that was deleted while it was requested.
                Ok(Ok(day)) if deletions() == deletions_before => views.insert_day(&day).await,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%key, %error, "a later version of a day could not be read from the leader");
                }
                Err(_) => tracing::debug!(%key, "the leader did not answer in time with a later version of a day"),
            }
        }
    }
}

/// Removes days from memory that another replica has deleted. Ends with the fleet.
pub(super) async fn remove_deleted_days(
    mut status: watch::Receiver<FleetStatus>,
    replica_id: Arc<str>,
    views: ViewEngines,
    archive: Option<Arc<Archive>>,
) {
    let remove_day = async |key: DayKey| {
        // The archive first: a request in between could store its cached file in memory again.
        if let Some(archive) = &archive {
            archive.apply_deletion(&key).await;
        }
        views.remove_day(&key);
    };
    let mut known = None;
    loop {
        let deleted = status.borrow_and_update().deleted.clone();
        if let Some(deleted) = deleted.filter(|deleted| Some(deleted.count) != known) {
            let missed = match known {
                Some(known) => deleted.since(known),
                // This process can have read days from the archive before it read the record for the first time. Its disk cache
                // is compared with a listing of the archive.
                None => MissedDeletions::Days(deleted.latest),
            };
            match missed {
                MissedDeletions::Days(days) => {
                    let of_others = days.into_iter().filter(|day| day.by != replica_id);
                    for key in of_others.flat_map(keys_of) {
                        remove_day(key).await;
                    }
                }
                MissedDeletions::All => {
                    tracing::warn!("more days were deleted than the record names; all days are removed from memory");
                    if let Some(archive) = &archive {
                        archive.clear_disk_cache().await;
                    }
                    for key in views.held_days() {
                        remove_day(key).await;
                    }
                }
            }
            known = Some(deleted.count);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// The keys of a day, for all types of user id.
fn keys_of(DeletedDay { geo, day, .. }: DeletedDay) -> [DayKey; UserIdType::ALL.len()] {
    UserIdType::ALL.map(|user_id_type| DayKey { geo, user_id_type, scope: DataScope::Everyone, day })
}
