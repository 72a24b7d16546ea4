//! This replica as part of a fleet: what it answers to others, and what it does when the leader changes or deletes days.

use std::{num::NonZero, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch};

use super::{config::DEFAULT_UNREAD_LIMIT, server::Server};
use crate::{
    api::{
        ApiState,
        fleet::{FleetRoutes, fleet_service},
    },
    fleet::{
        FleetKey, FleetLink, FleetMember, FleetStatus, ForgottenDay, Leadership, MissedDeletions, SignatureVerifier,
    },
    model::{DataScope, DayKey, UserIdType},
    query::{BackfillJobs, ViewEngines},
    source::{DaySource, Depth, LoadContext, LoadedDay, Priority},
    store::Archive,
    table::DayMetadata as _,
};

/// How often a replica compares the days that can still change with those of the leader.
const AGREEMENT_INTERVAL: Duration = Duration::from_secs(15);

/// Connection limit of the listener between replicas. A replica keeps one connection.
const MAX_FLEET_CONNECTIONS: NonZero<usize> = NonZero::new(256).unwrap();

/// A member, and how it reaches the leader.
pub(super) struct JoinedFleet {
    pub(super) member: FleetMember,
    pub(super) link: FleetLink,
    pub(super) key: FleetKey,
}

/// This replica in its fleet. [`serve_fleet`] answers the other replicas.
pub struct Fleet {
    pub(super) joined: JoinedFleet,
    /// The read path below the memory of days.
    pub(super) below_memory: Arc<dyn DaySource>,
}

/// Answers the other replicas until the process ends.
pub fn serve_fleet(fleet: &Fleet, api: &ApiState, listener: TcpListener) {
    let Fleet { joined, .. } = fleet;
    let routes = FleetRoutes {
        source: Arc::clone(api.data.views.unfiltered().source()),
        leadership: joined.member.leadership(),
        status: joined.member.status(),
        verifier: SignatureVerifier::new(joined.key.clone()),
        clock: Arc::clone(&api.access.clock),
    };
    let service = fleet_service(routes, api);
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
    let remove_day = async |key: DayKey| {
        // The archive first: a request in between could store its cached file in memory again.
        if let Some(archive) = &archive {
            archive.forget(&key).await;
        }
        views.remove_day(&key);
    };
    let mut known = None;
    loop {
        let forgotten = status.borrow_and_update().forgotten.clone();
        if let Some(forgotten) = forgotten.filter(|forgotten| Some(forgotten.count) != known) {
            // A process that has just started holds nothing in memory that was deleted before. Its disk cache is compared with a
            // listing of the archive.
            match known.map(|known| forgotten.since(known)) {
                None => {}
                Some(MissedDeletions::Days(days)) => {
                    for key in days.into_iter().flat_map(keys_of) {
                        remove_day(key).await;
                    }
                }
                Some(MissedDeletions::All) => {
                    tracing::warn!("more days were deleted than the record names; all days are removed from memory");
                    if let Some(archive) = &archive {
                        archive.clear_disk_cache().await;
                    }
                    for key in views.held_days() {
                        remove_day(key).await;
                    }
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
