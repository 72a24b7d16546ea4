//! Backfill: fetches the days of a range that are not archived yet.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{engine::QueryEngine, plan::Query};
use crate::{
    model::{Backoff, DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    source::{CallerId, LoadContext, LoadError, Priority},
    store::Archive,
};

/// Days that are fetched at the same time: enough for two upstream batches of a small tenant, and for all concurrent
/// page fetchers of a large one.
const MAX_CONCURRENT_DAYS: usize = 64;

/// Attempts for each day, if the failure is retryable.
const MAX_ATTEMPTS: u32 = 6;

/// Interval at which the remaining time is estimated again.
const ESTIMATE_INTERVAL: Duration = Duration::from_secs(1);

const RETRY_BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// Reads the number of upstream calls since the process started.
pub type CallCount = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The days to backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillRequest {
    /// The dates.
    pub range: DayRange,
    /// The geos.
    pub geos: Vec<Geo>,
    /// The type of the user ids in the rows.
    pub user_id_type: UserIdType,
    /// The scope of the rows. Only days of everyone are archived; days of other scopes are cached in memory.
    pub scope: DataScope,
    /// The priority of the fetches.
    pub priority: Priority,
}

/// The progress of a backfill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackfillProgress {
    /// Requested days that are produced and not expired. A day counts once per geo.
    pub days: usize,
    /// Days that are finished, whether they were fetched or archived before.
    pub done: usize,
    /// Days that were fetched.
    pub fetched: usize,
    /// Upstream calls of the whole process since the backfill began, including those for other requests.
    pub calls: u64,
    /// Time since the backfill began.
    pub elapsed: Duration,
    /// The expected duration by the latest estimate; `None` while it cannot be estimated.
    pub forecast: Option<Duration>,
}

/// Fetches days that are not archived yet. It can be repeated at any time: archived days are not fetched again.
#[derive(Clone)]
pub struct Backfiller {
    engine: QueryEngine,
    archive: Option<Arc<Archive>>,
    call_count: CallCount,
}

impl BackfillRequest {
    /// A backfill of the days that `query` needs at `now`, at the priority of an interactive caller.
    #[must_use]
    pub fn for_query(query: &Query, now: Timestamp) -> Self {
        Self {
            range: query.days_to_load(now),
            geos: query.geos.clone(),
            user_id_type: query.user_id_type,
            scope: query.scope.clone(),
            priority: Priority::Interactive,
        }
    }
}

impl BackfillProgress {
    /// Upstream calls per second.
    #[must_use]
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64().max(0.001)
    }

    /// The estimated remaining time, by the forecast, or by the rate so far while there is none.
    #[must_use]
    pub fn remaining_time(&self) -> Option<Duration> {
        if let Some(forecast) = self.forecast {
            return Some(forecast.saturating_sub(self.elapsed));
        }
        if self.fetched == 0 {
            return None;
        }
        let each = self.elapsed.as_secs_f64() / self.fetched as f64;
        Duration::try_from_secs_f64(each * (self.days - self.done) as f64).ok()
    }
}

impl Backfiller {
    /// Fetches through `engine` the days that `archive` lacks. Without an archive, the days are only cached in memory.
    pub const fn new(engine: QueryEngine, archive: Option<Arc<Archive>>, call_count: CallCount) -> Self {
        Self { engine, archive, call_count }
    }

    /// The engine that fetches the days.
    pub(super) const fn engine(&self) -> &QueryEngine {
        &self.engine
    }

    /// The archive to fill.
    pub(super) const fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    /// Runs a backfill for `caller` and publishes its progress. Returns when the last day is written. The earliest days
    /// are fetched first because upstream deletes them first; if a client waits, the newest.
    ///
    /// # Errors
    /// The first [`LoadError`] that retries did not resolve. Days that were fetched before stay archived.
    pub async fn run(
        &self,
        request: &BackfillRequest,
        caller: CallerId,
        progress: &watch::Sender<BackfillProgress>,
    ) -> Result<(), LoadError> {
        let (began, calls_before) = (Instant::now(), (self.call_count)());
        let (days, mut missing) = self.missing_days(request).await;
        if request.priority == Priority::Interactive {
            missing.reverse();
        }
        let forecast = self.engine.forecast(&missing).await;
        progress.send_replace(BackfillProgress {
            days,
            done: days - missing.len(),
            forecast,
            ..BackfillProgress::default()
        });
        let context = LoadContext { priority: request.priority, caller };
        let remaining: Mutex<BTreeSet<DayKey>> = Mutex::new(missing.iter().cloned().collect());
        let all = stream::iter(missing.into_iter().map(|key| self.fetch_day(key, context)))
            .buffer_unordered(MAX_CONCURRENT_DAYS);
        let each = all.try_for_each(|key| {
            remaining.lock().remove(&key);
            progress.send_modify(|progress| {
                progress.done += 1;
                progress.fetched += 1;
                progress.calls = (self.call_count)() - calls_before;
                progress.elapsed = began.elapsed();
            });
            std::future::ready(Ok(()))
        });
        let estimates = async {
            loop {
                tokio::time::sleep(ESTIMATE_INTERVAL).await;
                let keys: Vec<DayKey> = remaining.lock().iter().cloned().collect();
                let left = self.engine.forecast(&keys).await;
                progress.send_modify(|progress| {
                    progress.calls = (self.call_count)() - calls_before;
                    progress.elapsed = began.elapsed();
                    progress.forecast = left.map(|left| progress.elapsed + left);
                });
            }
        };
        tokio::select! {
            result = each => result,
            () = estimates => Ok(()),
        }
    }

    /// The number of requested days that are produced and not expired, and the keys of those that are not archived.
    async fn missing_days(&self, request: &BackfillRequest) -> (usize, Vec<DayKey>) {
        let (now, archived) = (self.engine.now(), self.archived_days(request).await);
        let key = |geo, day| DayKey { geo, user_id_type: request.user_id_type, scope: request.scope.clone(), day };
        let all = request.range.days().flat_map(|day| request.geos.iter().map(move |geo| (*geo, day)));
        let is_kept = |geo, day| self.engine.oldest_kept(geo).is_none_or(|oldest| oldest <= day);
        let produced: Vec<_> = all.filter(|(geo, day)| geo.produced_at(*day) <= now && is_kept(*geo, *day)).collect();
        let missing = produced.iter().filter(|one| !archived.contains(one)).map(|(geo, day)| key(*geo, *day));
        (produced.len(), missing.collect())
    }

    async fn archived_days(&self, request: &BackfillRequest) -> BTreeSet<(Geo, Day)> {
        let mut archived = BTreeSet::new();
        let Some(archive) = self.archive.as_ref().filter(|_| request.scope == DataScope::Everyone) else {
            return archived;
        };
        for geo in &request.geos {
            let metadata = archive.metadata_of_range(*geo, request.user_id_type, request.range).await;
            archived.extend(metadata.into_keys().map(|day| (*geo, day)));
        }
        archived
    }

    /// Fetches a day and waits until it is written. Returns its key.
    async fn fetch_day(&self, key: DayKey, context: LoadContext) -> Result<DayKey, LoadError> {
        let mut tries = 0;
        loop {
            match self.engine.load_day(&key, context).await {
                Ok(_) => break,
                Err(error) if tries + 1 >= MAX_ATTEMPTS || !is_worth_retrying(&error) => return Err(error),
                Err(error) => tracing::debug!(%key, %error, "a day is fetched again after a failure"),
            }
            tokio::time::sleep(RETRY_BACKOFF.delay(tries, fastrand::f64())).await;
            tries += 1;
        }
        if let Some(archive) = &self.archive {
            archive.wait_until_written(&key).await;
        }
        Ok(key)
    }
}

/// Whether a retry within minutes can succeed. An exhausted quota is tried again after an hour.
const fn is_worth_retrying(error: &LoadError) -> bool {
    error.is_retryable() && !matches!(error, LoadError::QuotaExhausted { .. })
}
