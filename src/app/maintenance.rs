//! What the process does though nobody has asked: it fetches days as they are produced, and deletes those that are old.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{Clock, DayKey, Geo, UserIdType},
    query::{Engine, warm},
    source::{LoadContext, Priority},
    store::{Archive, Policy},
};

/// Gateways that share an app come up to this late, each at its own moment.
const JITTER_SECONDS: i64 = 600;

/// Days that are fetched at the same time: a span of a small tenant.
const FAN_OUT: usize = 31;

/// What is done unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpkeepConfig {
    /// The latest days that are always held; `None`: nothing is fetched unasked.
    pub warm_days: Option<u16>,
    /// Days older than this many days are deleted; `None`: none are.
    pub retention_days: Option<u16>,
    /// How often the calendar is looked at.
    pub poll: Duration,
}

/// Keeps the latest days at hand and the oldest from staying.
#[derive(Clone)]
pub struct Upkeep {
    /// What is done.
    pub config: UpkeepConfig,
    /// Fetches days.
    pub engine: Engine,
    /// Where days are deleted.
    pub archive: Option<Arc<Archive>>,
    /// The geos that are served.
    pub geos: Arc<[Geo]>,
    /// When a day can still change.
    pub policy: Policy,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self { warm_days: Some(35), retention_days: None, poll: Duration::from_secs(20) }
    }
}

impl Upkeep {
    /// Does what is to be done now, and again each time a day is produced or can be made final. Never ends.
    pub async fn run(self) {
        let jitter = SignedDuration::from_secs(fastrand::i64(0..JITTER_SECONDS));
        loop {
            let now = self.clock.now();
            if let Some(archive) = &self.archive {
                archive.sweep(now).await;
            }
            self.warm(now).await;
            self.expire(now).await;
            let wakes = self.geos.iter().map(|geo| warm::next_wake(*geo, &self.policy, jitter, now));
            let wake = wakes.min().unwrap_or(Timestamp::MAX);
            while self.clock.now() < wake {
                tokio::time::sleep(self.config.poll).await;
            }
        }
    }

    /// Fetches the latest days that are not held or are due to be fetched anew.
    async fn warm(&self, now: Timestamp) {
        let Some(days) = self.config.warm_days else { return };
        let context = LoadContext { priority: Priority::Background, caller: self.engine.next_caller() };
        let keys = |geo: &Geo| warm::latest(*geo, UserIdType::default(), days, now);
        let keys: Vec<DayKey> = self.geos.iter().flat_map(keys).collect();
        let loads = stream::iter(keys).map(|key| self.load(key, context)).buffer_unordered(FAN_OUT);
        loads.for_each(|()| std::future::ready(())).await;
    }

    async fn load(&self, key: DayKey, context: LoadContext) {
        if let Err(error) = self.engine.load(&key, context).await {
            tracing::warn!(%key, %error, "a day could not be fetched ahead; it is fetched when it is asked for");
        }
    }

    /// Deletes the days that are older than they may be.
    async fn expire(&self, now: Timestamp) {
        let (Some(archive), Some(days)) = (&self.archive, self.config.retention_days) else { return };
        for (geo, user_id_type) in Geo::ALL.into_iter().flat_map(|geo| UserIdType::ALL.map(|kind| (geo, kind))) {
            let oldest = geo.today(now).plus(-i32::from(days));
            for key in archive.older_than(oldest, geo, user_id_type).await {
                match archive.forget(&key).await {
                    Ok(()) => tracing::info!(%key, "an old day was deleted"),
                    Err(error) => tracing::error!(%key, %error, "an old day could not be deleted"),
                }
                self.engine.forget(&key).await;
            }
        }
    }
}
