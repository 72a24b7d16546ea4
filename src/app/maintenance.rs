//! Maintenance: prefetches new days and deletes expired ones.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::{
    fleet::{Leadership, MemberHandle},
    model::{Clock, DayKey, DayRange, Geo, UserIdType},
    query::{ViewEngines, cache_warming},
    source::{LoadContext, LoadError, Priority},
    store::{Archive, DayState, FreshnessPolicy},
};

/// Time limit for the record of the fleet to name expired days.
const RECORD_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum random delay in seconds. It spreads the fetches of gateways that share an app without being a fleet.
const MAX_JITTER_SECONDS: i64 = 600;

/// Maximum number of concurrent fetches. One batch of a small tenant covers this many days.
const MAX_CONCURRENT_FETCHES: usize = 31;

/// The configuration of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceConfig {
    /// Number of latest days to keep available. `None` disables prefetching.
    pub warm_days: Option<u16>,
    /// How often the clock is checked for the next run.
    pub poll_interval: Duration,
}

/// Prefetches the latest days and deletes expired days.
#[derive(Clone)]
pub struct Maintenance {
    /// The configuration.
    pub config: MaintenanceConfig,
    /// Fetches and removes days.
    pub views: ViewEngines,
    /// The archive that days are deleted from.
    pub archive: Option<Arc<Archive>>,
    /// The geos to prefetch.
    pub geos: Arc<[Geo]>,
    /// Determines when a day becomes final, and when it expires.
    pub policy: FreshnessPolicy,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The right to delete expired days.
    pub leadership: Leadership,
    /// Tells the other replicas which days have expired; `None` if there are none.
    pub member: Option<MemberHandle>,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self { warm_days: Some(35), poll_interval: Duration::from_secs(20) }
    }
}

impl Maintenance {
    /// Runs maintenance now, and again whenever a day is produced or becomes final. Never returns.
    pub async fn run(self) {
        let jitter = SignedDuration::from_secs(fastrand::i64(0..MAX_JITTER_SECONDS));
        if let Some(archive) = &self.archive {
            archive.remove_temp_files().await;
        }
        self.judge_archive().await;
        loop {
            let now = self.clock.now();
            self.warm(now).await;
            self.expire(now).await;
            self.remove_stale_checkpoints(now).await;
            let fetch_times =
                self.geos.iter().map(|geo| cache_warming::next_fetch_time(*geo, &self.policy, jitter, now));
            let next_fetch = fetch_times.min().unwrap_or(Timestamp::MAX);
            while self.clock.now() < next_fetch {
                tokio::time::sleep(self.config.poll_interval).await;
            }
        }
    }

    /// Records the row counts of all archived days, and logs the days that are late by them. Such a day is fetched
    /// again when it is requested.
    async fn judge_archive(&self) {
        let Some(archive) = &self.archive else { return };
        let engine = self.views.unfiltered();
        for (geo, user_id_type) in Geo::ALL.into_iter().flat_map(|geo| UserIdType::ALL.map(|kind| (geo, kind))) {
            let archived = archive.metadata_of_range(geo, user_id_type, DayRange::ALL).await;
            for metadata in archived.values() {
                engine.record_fetch(metadata);
            }
            let recorded = archived.values().filter_map(|metadata| engine.recorded_day(&metadata.key));
            let late: Vec<String> =
                recorded.filter(|day| day.state == DayState::Late).map(|day| day.key.day.to_string()).collect();
            if !late.is_empty() {
                tracing::warn!(
                    %geo,
                    user_id_type = user_id_type.name(),
                    days = late.join(", "),
                    "archived days have no or unusually few rows; they are fetched again when they are requested"
                );
            }
        }
    }

    /// Fetches the latest days that are missing or stale.
    async fn warm(&self, now: Timestamp) {
        let Some(days) = self.config.warm_days else { return };
        let context = LoadContext { priority: Priority::Background, caller: self.views.unfiltered().new_caller_id() };
        let keys = |geo: &Geo| cache_warming::latest_days(*geo, UserIdType::default(), days, now);
        let keys: Vec<DayKey> = self.geos.iter().flat_map(keys).collect();
        let (Some(newest), Some(oldest), began) = (keys.first(), keys.last(), Instant::now()) else { return };
        let total = keys.len();
        tracing::info!(days = total, from = %oldest.day, to = %newest.day, "prefetching the latest days that are missing");
        let engine = self.views.unfiltered();
        let loads = stream::iter(keys).map(async |key| engine.load_day(&key, context).await.err());
        let errors = loads.buffer_unordered(MAX_CONCURRENT_FETCHES).filter_map(std::future::ready);
        let errors: Vec<LoadError> = errors.collect().await;
        let took_seconds = began.elapsed().as_secs();
        match errors.first() {
            None => tracing::info!(days = total, took_seconds, "the latest days are available"),
            Some(first_error) => tracing::warn!(
                days = errors.len(),
                of = total,
                %first_error,
                "days could not be prefetched; they are fetched when they are requested"
            ),
        }
    }

    /// Removes saved fetches that were not continued in time. In a fleet, the leader does.
    async fn remove_stale_checkpoints(&self, now: Timestamp) {
        let Some(archive) = self.archive.as_ref().filter(|_| self.leadership.leads()) else { return };
        if let Err(error) = archive.remove_stale_checkpoints(now).await {
            tracing::warn!(%error, "outdated saved fetches could not be removed");
        }
    }

    /// Deletes expired days. In a fleet, the leader does.
    async fn expire(&self, now: Timestamp) {
        let Some(archive) = self.archive.as_ref().filter(|_| self.leadership.leads()) else { return };
        let mut expired = Vec::new();
        for (geo, user_id_type) in Geo::ALL.into_iter().flat_map(|geo| UserIdType::ALL.map(|kind| (geo, kind))) {
            let Some(oldest) = self.policy.oldest_kept(geo, now) else { return };
            expired.extend(archive.days_before(oldest, geo, user_id_type).await);
        }
        let (Some(first), true) = (expired.first(), self.leadership.leads()) else { return };
        match archive.remove(&expired).await {
            Ok(()) => tracing::info!(%first, days = expired.len(), "expired days were deleted"),
            Err(error) => {
                tracing::error!(%first, days = expired.len(), %error, "expired days could not all be deleted");
            }
        }
        for key in &expired {
            self.views.remove_day(key);
        }
        let dates: BTreeSet<_> = expired.iter().map(|key| (key.geo, key.day)).collect();
        if let Some(member) = &self.member
            && !member.record_deletions(dates, RECORD_TIMEOUT).await
        {
            tracing::warn!("other replicas keep expired days in memory until they start again");
        }
    }
}
