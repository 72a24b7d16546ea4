//! Query engine: loads the days of a query concurrently and within the caller's deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    loaded_days::{CacheStatus, LoadOptions, LoadedDays, QueryError},
    plan::{Query, QueryPlan, plan},
    report_input::ReportInput,
    trailing_count_cache::TrailingCountCache,
};
use crate::{
    model::{Clock, DataScope, DayKey, DayRange},
    report::DayDigest,
    source::{CallerId, DaySource, Forecast, LoadContext, LoadError, Priority},
    store::{Archive, CacheGeneration, DayState, Memory},
    table::{DayMetadata, DayTable},
};

/// Days of one plan that are loaded at the same time. The upstream layer batches and queues them; this limit only
/// bounds the number of waiters of a query over many years.
const MAX_CONCURRENT_LOADS: usize = 512;

/// A query is rejected early if this share of its estimated wait exceeds the time until its deadline.
const REJECTION_ESTIMATE_FACTOR: f64 = 0.7;

/// Loads the days of queries from the outermost layer of the read path. Clones share its caches.
#[derive(Clone)]
pub struct QueryEngine {
    source: Arc<dyn DaySource>,
    memory: Arc<Memory>,
    archive: Option<Arc<Archive>>,
    clock: Arc<dyn Clock>,
    callers: Arc<AtomicU64>,
    /// The caller for which days are loaded; `None` if each request counts as a separate caller.
    caller: Option<CallerId>,
    trailing_counts: TrailingCountCache,
}

impl QueryEngine {
    /// An engine over the read path `source`, which caches days in `memory`.
    pub fn new(source: Arc<dyn DaySource>, memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            memory,
            archive: None,
            clock,
            callers: Arc::default(),
            caller: None,
            trailing_counts: TrailingCountCache::default(),
        }
    }

    /// The same engine over another read path and its cache. It does not use the archive, because archived days are
    /// unfiltered and the new read path may filter them.
    pub(super) fn with_source(&self, source: Arc<dyn DaySource>, memory: Arc<Memory>) -> Self {
        Self { source, memory, archive: None, trailing_counts: TrailingCountCache::default(), ..self.clone() }
    }

    /// The same engine for one caller, whose requests together get one fair share of the upstream rate.
    #[must_use]
    pub fn for_caller(self, caller: CallerId) -> Self {
        Self { caller: Some(caller), ..self }
    }

    /// The same engine with `archive`, from which digests are read without their rows.
    #[must_use]
    pub fn with_archive(self, archive: Option<Arc<Archive>>) -> Self {
        Self { archive, ..self }
    }

    /// Loads the rows of the days that `query` needs now.
    ///
    /// # Errors
    /// The [`QueryError`] of the first day that could not be loaded, unless the caller accepts a partial result.
    pub async fn load_rows(&self, query: &Query, options: LoadOptions) -> Result<LoadedDays, QueryError> {
        let (plan, context) = (plan(query, self.clock.now()), self.load_context());
        let cached = vec![None; plan.keys.len()];
        let load = |key| {
            let source = Arc::clone(&self.source);
            async move { source.load(&key, context).await }
        };
        self.load_remaining(plan, cached, context, options, load).await
    }

    /// Loads the digests of the days that `query` needs. Rows are loaded only for days without a stored digest. Queries
    /// about one person use [`Self::load_rows`], because their rows are as small as digests.
    ///
    /// # Errors
    /// As [`Self::load_rows`].
    pub async fn load_digests(&self, query: &Query, options: LoadOptions) -> Result<LoadedDays<DayDigest>, QueryError> {
        let (plan, context) = (plan(query, self.clock.now()), self.load_context());
        let mut cached = Vec::with_capacity(plan.keys.len());
        for key in &plan.keys {
            cached.push(self.memory.get_fresh_digest(key).await);
        }
        if cached.iter().all(Option::is_some) {
            let (days, states) = cached.into_iter().flatten().unzip();
            return Ok(LoadedDays { plan, days, missing: Vec::new(), states, cache_status: CacheStatus::HIT });
        }
        let cached = cached.into_iter().map(|cached| cached.map(|(day, _)| day)).collect();
        let load = |key| {
            let engine = self.clone();
            async move { engine.load_digest(&key, context).await }
        };
        self.load_remaining(plan, cached, context, options, load).await
    }

    /// Loads the days that a report on `query` is computed from.
    ///
    /// # Errors
    /// As [`Self::load_rows`].
    pub async fn load_report_input(&self, query: &Query, options: LoadOptions) -> Result<ReportInput, QueryError> {
        Ok(match query.selection.user_id {
            None => ReportInput::Digests(self.load_digests(query, options).await?),
            Some(_) => ReportInput::Rows(self.load_rows(query, options).await?),
        })
    }

    /// Adds the stored days among the `days` days before the selected range. Fetches no day.
    pub async fn add_lead_days(&self, input: &mut ReportInput, days: u16) {
        match input {
            ReportInput::Digests(loaded) => self.add_lead_digests(loaded, days).await,
            ReportInput::Rows(loaded) => {
                for key in lead_keys(&loaded.plan, days) {
                    loaded.push_lead_day(self.cached_day(&key).await);
                }
            }
        }
    }

    /// The same for digests.
    pub async fn add_lead_digests(&self, loaded: &mut LoadedDays<DayDigest>, days: u16) {
        let all =
            stream::iter(lead_keys(&loaded.plan, days)).map(async |key| self.cached_or_archived_digest(&key).await);
        for stored in all.buffered(usize::from(days).max(1)).collect::<Vec<_>>().await {
            loaded.push_lead_day(stored);
        }
    }

    /// Loads a digest that is not cached.
    async fn load_digest(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayDigest>, LoadError> {
        // If the rows are in memory, computing the digest is faster than reading the archive.
        if self.memory.get(key).await.is_none()
            && let Some(digest) = self.load_archived_digest(key).await
        {
            return Ok(digest);
        }
        self.memory.get_or_compute_digest(&self.source.load(key, context).await?).await
    }

    async fn load_archived_digest(&self, key: &DayKey) -> Option<Arc<DayDigest>> {
        let digest = self.archive.as_ref()?.digest(key).await?;
        self.memory.insert_digest(&digest).await;
        Some(digest)
    }

    /// Loads the days of a plan that are not cached, and combines them with the cached ones.
    async fn load_remaining<D: DayMetadata, F: Future<Output = Result<Arc<D>, LoadError>>>(
        &self,
        plan: QueryPlan,
        cached: Vec<Option<Arc<D>>>,
        context: LoadContext,
        options: LoadOptions,
        load: impl Fn(DayKey) -> F,
    ) -> Result<LoadedDays<D>, QueryError> {
        let mut days: Vec<Option<Result<Arc<D>, QueryError>>> = cached.into_iter().map(|day| day.map(Ok)).collect();
        let remaining = plan.keys.iter().enumerate().filter(|(index, _)| days[*index].is_none());
        let remaining: Vec<(usize, DayKey)> = remaining.map(|(index, key)| (index, key.clone())).collect();
        let keys: Vec<DayKey> = remaining.iter().map(|(_, key)| key.clone()).collect();
        let forecast = self.source.forecast(&keys).await;
        if !options.allow_partial {
            self.reject_if_too_slow(forecast.wait, &keys, context, options.deadline)?;
        }
        let loads: Vec<_> =
            remaining.into_iter().map(|(index, key)| load_before_deadline(index, load(key), options)).collect();
        let loaded = stream::iter(loads).buffer_unordered(MAX_CONCURRENT_LOADS).try_collect::<Vec<_>>().await;
        let loaded = match loaded {
            Err(QueryError::DeadlineExceeded { .. }) => {
                // A new estimate: the one from before the wait is outdated.
                let remaining = self.forecast(&keys).await;
                return Err(QueryError::DeadlineExceeded { remaining });
            }
            loaded => loaded?,
        };
        for (index, day) in loaded {
            days[index] = Some(day);
        }
        let hit = forecast == Forecast::NOTHING;
        let cache_status = CacheStatus { hit, collapsed: forecast.collapsed, ..CacheStatus::HIT };
        Ok(self.assemble(plan, days.into_iter().flatten().collect(), cache_status))
    }

    /// Rejects a query whose estimated wait clearly exceeds its deadline, and returns the estimate to the caller. The
    /// fetch is started anyway.
    fn reject_if_too_slow(
        &self,
        estimate: Option<Duration>,
        keys: &[DayKey],
        context: LoadContext,
        deadline: Instant,
    ) -> Result<(), QueryError> {
        let Some(estimate) = estimate else { return Ok(()) };
        // Estimates are inexact, so only a clear excess is rejected.
        if estimate.mul_f64(REJECTION_ESTIMATE_FACTOR) <= deadline.saturating_duration_since(Instant::now()) {
            return Ok(());
        }
        let (source, keys) = (Arc::clone(&self.source), keys.to_vec());
        let fetch = async move {
            let loads = keys.into_iter().map(|key| {
                let source = Arc::clone(&source);
                async move { source.load(&key, context).await }
            });
            stream::iter(loads).buffer_unordered(MAX_CONCURRENT_LOADS).for_each(|_| std::future::ready(())).await;
        };
        tokio::spawn(fetch.in_current_span());
        Err(QueryError::DeadlineExceeded { remaining: Some(estimate) })
    }

    /// The cached rows of a day with its state. For one person, the day of everyone is returned if only that is
    /// cached.
    pub async fn cached_day(&self, key: &DayKey) -> Option<(Arc<DayTable>, DayState)> {
        let mut cached = self.memory.get(key).await;
        if cached.is_none() && matches!(key.scope, DataScope::User(_)) {
            cached = self.memory.get(&key.everyone()).await.filter(|cached| cached.day.has_all_user_ids());
        }
        cached.map(|cached| (cached.day, cached.state))
    }

    /// Loads the rows of one day with the priority of `context`.
    ///
    /// # Errors
    /// The [`LoadError`] of the fetch.
    pub async fn load_day(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        self.source.load(key, context).await
    }

    /// The estimated time to load these days; `None` if it cannot be estimated.
    pub async fn forecast(&self, keys: &[DayKey]) -> Option<Duration> {
        self.source.forecast(keys).await.wait
    }

    /// Removes a day of one geo and id type from memory in all scopes.
    pub async fn remove_day(&self, key: &DayKey) {
        self.memory.remove(key).await;
    }

    /// The digest of a day with its state, if it is cached or archived.
    pub async fn cached_or_archived_digest(&self, key: &DayKey) -> Option<(Arc<DayDigest>, DayState)> {
        if let Some(cached) = self.memory.get_digest(key).await {
            return Some((cached.day, cached.state));
        }
        let digest = self.load_archived_digest(key).await?;
        let state = self.memory.state(&*digest);
        Some((digest, state))
    }

    /// The generation of the cached data. It changes whenever the data changes.
    #[must_use]
    pub fn generation(&self) -> CacheGeneration {
        self.memory.generation()
    }

    /// The cache of the read path.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The outermost layer of the read path.
    pub(super) fn source(&self) -> &Arc<dyn DaySource> {
        &self.source
    }

    /// The cache of trailing counts.
    #[must_use]
    pub const fn trailing_counts(&self) -> &TrailingCountCache {
        &self.trailing_counts
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sorts the results into loaded and missing days, and completes the cache status.
    fn assemble<D: DayMetadata>(
        &self,
        plan: QueryPlan,
        loaded: Vec<Result<Arc<D>, QueryError>>,
        cache_status: CacheStatus,
    ) -> LoadedDays<D> {
        let (mut days, mut missing) = (Vec::with_capacity(loaded.len()), Vec::new());
        for (key, loaded) in plan.keys.iter().zip(loaded) {
            match loaded {
                Ok(day) => days.push(day),
                Err(error) => missing.push((key.clone(), error)),
            }
        }
        let states: Vec<DayState> = days.iter().map(|day| self.memory.state(&**day)).collect();
        let stale = || days.iter().zip(&states).filter(|(day, state)| self.memory.is_refresh_due(&***day, **state));
        let failed_refreshes = stale().filter(|(day, _)| self.memory.refresh_failed(&***day)).count();
        let cache_status = CacheStatus { stale_days: stale().count(), failed_refreshes, ..cache_status };
        LoadedDays { plan, days, missing, states, cache_status }
    }

    /// The context of an interactive load, with a new caller id if the engine has none.
    fn load_context(&self) -> LoadContext {
        let caller = self.caller.unwrap_or_else(|| self.new_caller_id());
        LoadContext { priority: Priority::Interactive, caller }
    }

    /// A new caller id, which gets its own fair share of the upstream rate.
    #[must_use]
    pub fn new_caller_id(&self) -> CallerId {
        CallerId(self.callers.fetch_add(1, Ordering::Relaxed))
    }
}

/// Runs one load until the deadline. Returns its index with the day, or with its error if a partial result is
/// acceptable.
///
/// # Errors
/// The error of the load, if no partial result is acceptable.
async fn load_before_deadline<D, F: Future<Output = Result<Arc<D>, LoadError>>>(
    index: usize,
    load: F,
    options: LoadOptions,
) -> Result<(usize, Result<Arc<D>, QueryError>), QueryError> {
    let loaded = tokio::time::timeout_at(options.deadline, load).await;
    let loaded =
        loaded.map_or(Err(QueryError::DeadlineExceeded { remaining: None }), |loaded| loaded.map_err(QueryError::Load));
    match loaded {
        Err(error) if !options.allow_partial => Err(error),
        loaded => Ok((index, loaded)),
    }
}

/// The keys of the `days` days before the selected ones, without those that are part of the plan.
fn lead_keys(plan: &QueryPlan, days: u16) -> Vec<DayKey> {
    let Some(first) = plan.keys.first() else { return Vec::new() };
    let lead = DayRange::ending(plan.range.first().plus(-1), days);
    let days = lead.days().filter(|day| *day < first.day);
    days.flat_map(|day| plan.geos.iter().map(move |geo| DayKey { geo: *geo, ..first.with_day(day) })).collect()
}
