//! Fills the archive: fetches the days of a range that it does not hold yet.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use super::{engine::Engine, plan::Query};
use crate::{
    model::{Backoff, Day, DayKey, DayRange, Geo, Scope, UserIdType},
    source::{CallerId, LoadContext, LoadError, Priority},
    store::Archive,
};

/// Days that are fetched at the same time: enough for two spans of a small tenant, and for all chains of a large one.
const FAN_OUT: usize = 64;

/// How often a day is tried where trying again can help.
const TRIES: u32 = 6;

const AGAIN: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// Reads how many calls of upstream were made since the process began.
pub type CallCount = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Which days shall be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The days.
    pub range: DayRange,
    /// The geos.
    pub geos: Vec<Geo>,
    /// Which ids the rows carry.
    pub user_id_type: UserIdType,
    /// Whose rows. Only those of everyone outlive the process.
    pub scope: Scope,
    /// How urgent it is.
    pub priority: Priority,
}

/// How far a backfill has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Days that are wanted and produced; each of each geo counts.
    pub days: usize,
    /// Those of them that are dealt with.
    pub done: usize,
    /// Those of them that had to be fetched.
    pub fetched: usize,
    /// Calls of upstream that the process made meanwhile, for others too.
    pub calls: u64,
    /// Time since it began.
    pub elapsed: Duration,
    /// How long all of it was expected to take when it began, where that could be told.
    pub forecast: Option<Duration>,
}

/// Fetches what is not archived yet. Safe to run again at any time: what is archived is not fetched again.
#[derive(Clone)]
pub struct Filler {
    engine: Engine,
    archive: Option<Arc<Archive>>,
    calls: CallCount,
}

impl Order {
    /// What `query` needs when it is asked at `now`, as a caller would need it who waits for it.
    #[must_use]
    pub fn of_question(query: &Query, now: Timestamp) -> Self {
        Self {
            range: query.needed(now),
            geos: query.geos.clone(),
            user_id_type: query.user_id_type,
            scope: query.scope.clone(),
            priority: Priority::Interactive,
        }
    }
}

impl Progress {
    /// Upstream calls a second.
    #[must_use]
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    /// How long the rest takes, if it goes on as it went, or, before a day has come, as it was expected to.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        if self.fetched == 0 {
            return self.forecast.map(|forecast| forecast.saturating_sub(self.elapsed));
        }
        let each = self.elapsed.as_secs_f64() / self.fetched as f64;
        Duration::try_from_secs_f64(each * (self.days - self.done) as f64).ok()
    }
}

impl Filler {
    /// Fetches through `engine` what `archive` lacks. Without an archive, memory is filled.
    pub const fn new(engine: Engine, archive: Option<Arc<Archive>>, calls: CallCount) -> Self {
        Self { engine, archive, calls }
    }

    /// The engine it fetches through.
    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The archive it fills.
    pub(super) const fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    /// Fills the archive on behalf of `caller`, and tells how far it is. Done when the last day is written. The earliest days come first:
    /// they are what upstream forgets first.
    ///
    /// # Errors
    /// The first [`LoadError`] that trying again did not help. Days fetched by then are kept.
    pub async fn fill(
        &self,
        order: &Order,
        caller: CallerId,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), LoadError> {
        let (began, calls_before) = (Instant::now(), (self.calls)());
        let (days, missing) = self.missing(order).await;
        let forecast = self.engine.forecast(&missing).await;
        progress.send_replace(Progress { days, done: days - missing.len(), forecast, ..Progress::default() });
        let context = LoadContext { priority: order.priority, caller };
        let all = stream::iter(missing.into_iter().map(|key| self.fetch(key, context))).buffer_unordered(FAN_OUT);
        let each = all.try_for_each(|()| {
            progress.send_modify(|progress| {
                progress.done += 1;
                progress.fetched += 1;
                progress.calls = (self.calls)() - calls_before;
                progress.elapsed = began.elapsed();
            });
            std::future::ready(Ok(()))
        });
        each.await
    }

    /// How many days are wanted and produced, and those of them that are not archived.
    async fn missing(&self, order: &Order) -> (usize, Vec<DayKey>) {
        let (now, archived) = (self.engine.now(), self.archived(order).await);
        let key = |geo, day| DayKey { geo, user_id_type: order.user_id_type, scope: order.scope.clone(), day };
        let all = order.range.days().flat_map(|day| order.geos.iter().map(move |geo| (*geo, day)));
        let produced: Vec<_> = all.filter(|(geo, day)| geo.produced_at(*day) <= now).collect();
        let missing = produced.iter().filter(|one| !archived.contains(one)).map(|(geo, day)| key(*geo, *day));
        (produced.len(), missing.collect())
    }

    async fn archived(&self, order: &Order) -> BTreeSet<(Geo, Day)> {
        let mut held = BTreeSet::new();
        let Some(archive) = self.archive.as_ref().filter(|_| order.scope == Scope::Everyone) else { return held };
        for geo in &order.geos {
            let labels = archive.held(*geo, order.user_id_type, order.range).await;
            held.extend(labels.into_keys().map(|day| (*geo, day)));
        }
        held
    }

    /// Fetches a day and waits until it is written.
    async fn fetch(&self, key: DayKey, context: LoadContext) -> Result<(), LoadError> {
        let mut tries = 0;
        loop {
            match self.engine.load(&key, context).await {
                Ok(_) => break,
                Err(error) if tries + 1 >= TRIES || !helps_soon(&error) => return Err(error),
                Err(error) => tracing::debug!(%key, %error, "a day is tried again"),
            }
            tokio::time::sleep(AGAIN.wait(tries, fastrand::f64())).await;
            tries += 1;
        }
        if let Some(archive) = &self.archive {
            archive.settled(&key).await;
        }
        Ok(())
    }
}

/// Whether asking again within minutes can help; the quota comes back only with the next month.
const fn helps_soon(error: &LoadError) -> bool {
    error.is_retryable() && !matches!(error, LoadError::QuotaExhausted { .. })
}
