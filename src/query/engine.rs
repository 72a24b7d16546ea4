//! Query engine: loads the days of a query concurrently and within the caller's deadline.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    kept_loads::KeptLoads,
    loaded_days::{CacheStatus, DEFAULT_RETRY_AFTER, LoadOptions, LoadedDays, QueryError},
    monthly_rollup_cache::MonthlyRollupCache,
    plan::{Query, QueryPlan, plan},
    report_input::ReportInput,
};
use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo},
    report::{DayDigest, monthly_rollup::MonthlyRollup},
    source::{
        CallerId, DayData, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority, run_day_task,
        unify_dictionaries,
    },
    store::{CacheGeneration, DayCatalog, RecordedDay},
    table::{DayMetadata, DayTable, Dictionary},
};

/// Days of one plan that are loaded at the same time. The upstream layer batches and queues them; this limit only
/// bounds the number of waiters of a query over many years.
const MAX_CONCURRENT_LOADS: usize = 512;

/// A query is rejected early if this share of its estimated wait exceeds the time until its deadline.
const REJECTION_ESTIMATE_FACTOR: f64 = 0.7;

/// Minimum time to read stored days for a partial result, even if the caller does not want to wait for days that have to be
/// fetched.
const MIN_STORED_WAIT: Duration = Duration::from_millis(500);

/// After a lead day could not be fetched, lead days are not fetched for this long unless they are required.
const LEAD_DAYS_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Which days before the selected ones are added to a report.
#[derive(Clone, Copy, Debug)]
pub enum LeadDays {
    /// Only stored days.
    Stored,
    /// Stored days. The others are fetched if, by the estimate, the caller's wait and the quota of calls suffice.
    Affordable(LoadOptions),
}

/// The caller of background work for requests without a named caller. Together they get one share of the upstream rate.
const ANONYMOUS_BACKGROUND_CALLER: CallerId = CallerId(u64::MAX >> 1);

/// Loads the days of queries from the outermost layer of the read path. Clones share its caches.
#[derive(Clone)]
pub struct QueryEngine {
    source: Arc<dyn DaySource>,
    catalog: DayCatalog,
    callers: Arc<AtomicU64>,
    kept_loads: KeptLoads,
    /// The caller for which days are loaded; `None` if each request counts as a separate caller.
    caller: Option<CallerId>,
    monthly_rollups: MonthlyRollupCache,
    /// Until when lead days that are not required are not fetched, because the last attempt failed.
    lead_days_retry_at: Arc<Mutex<Option<Timestamp>>>,
}

impl QueryEngine {
    /// An engine over the read path `source`, whose days `catalog` describes. Monthly roll-ups use up to `rollup_bytes`
    /// bytes of memory.
    pub fn new(source: Arc<dyn DaySource>, catalog: DayCatalog, rollup_bytes: u64) -> Self {
        Self {
            source,
            catalog,
            callers: Arc::default(),
            kept_loads: KeptLoads::default(),
            caller: None,
            monthly_rollups: MonthlyRollupCache::new(rollup_bytes),
            lead_days_retry_at: Arc::default(),
        }
    }

    /// The same engine over the read path of a view.
    pub(super) fn for_view(&self, source: Arc<dyn DaySource>, catalog: DayCatalog) -> Self {
        let monthly_rollups = self.monthly_rollups.for_view(catalog.view());
        Self { source, catalog, monthly_rollups, ..self.clone() }
    }

    /// The same engine for one caller, whose requests together get one fair share of the upstream rate.
    #[must_use]
    pub fn for_caller(self, caller: CallerId) -> Self {
        Self { caller: Some(caller), ..self }
    }

    /// Loads the rows of the days that `query` needs now. For one person, only the person's rows: the version of a
    /// response must not depend on whether the day of everyone was in memory.
    ///
    /// # Errors
    /// The [`QueryError`] of the first day that could not be loaded, unless the caller accepts a partial result.
    pub async fn load_rows(&self, query: &Query, options: LoadOptions) -> Result<LoadedDays, QueryError> {
        let loaded = self.load(query, options).await?;
        Ok(match &query.selection.user_id {
            Some(user_id) => loaded.map(|day: &DayTable| day.of_person(user_id)),
            None => loaded,
        })
    }

    /// Loads the days that a report on `query` is computed from. For one person, digests of the person's rows are
    /// computed.
    ///
    /// # Errors
    /// As [`Self::load_rows`].
    pub async fn load_report_input(&self, query: &Query, options: LoadOptions) -> Result<ReportInput, QueryError> {
        match query.selection.user_id {
            None => self.load(query, options).await,
            Some(_) => self.digest_selected(query, self.load_rows(query, options).await?).await,
        }
    }

    /// Adds the `days` days before the selected ones, as far as `lead_days` allows.
    ///
    /// # Errors
    /// If a digest cannot be computed.
    pub async fn add_lead_days(
        &self,
        input: &mut ReportInput,
        query: &Query,
        days: u16,
        lead_days: LeadDays,
    ) -> Result<(), QueryError> {
        let is_expired = |key: &DayKey| self.oldest_kept(key.geo).is_some_and(|oldest| key.day < oldest);
        let (expired, keys): (Vec<_>, Vec<_>) = lead_keys(&input.plan, days).into_iter().partition(is_expired);
        input.plan.expired.extend(expired.iter().map(|key| (key.geo, key.day)));
        let dictionary = input.days.first().map(|day| Arc::clone(day.dictionary()));
        if query.selection.user_id.is_none() {
            self.load_lead_days(input, &keys, lead_days).await;
        } else {
            let mut rows = LoadedDays::empty(input.plan.clone());
            self.load_lead_days::<DayTable>(&mut rows, &keys, lead_days).await;
            let user_id = query.selection.user_id.as_deref().unwrap_or_default();
            input.append(self.digest_selected(query, rows.map(|day| day.of_person(user_id))).await?);
        }
        in_one_dictionary(&mut input.days, dictionary).await
    }

    /// The digests of the rows that `query` selects.
    pub(super) async fn digest_selected(&self, query: &Query, rows: LoadedDays) -> Result<ReportInput, QueryError> {
        let selection = query.selection.clone();
        let digest =
            move |day: &DayTable| DayDigest::from_selected_rows(day, &selection.compile(&day.dictionary().read()));
        // A day of everyone may have 100,000 rows.
        run_day_task(move || rows.map(digest)).await.map_err(|_| QueryError::Load(LoadError::Abandoned))
    }

    /// The days that `query` needs now.
    #[must_use]
    pub fn plan(&self, query: &Query) -> QueryPlan {
        plan(query, self.now(), |geo| self.oldest_kept(geo))
    }

    /// Loads the days that `query` needs now.
    async fn load<D: DayData>(&self, query: &Query, options: LoadOptions) -> Result<LoadedDays<D>, QueryError> {
        let plan = self.plan(query);
        let of_stored = deadline_of_stored_days(options);
        let mut days = self.stored_and_fresh(&plan.keys, of_stored).await;
        let missing = days.iter().enumerate().filter(|(_, day)| day.is_none());
        let missing: Vec<(usize, DayKey)> = missing.map(|(index, _)| (index, plan.keys[index].clone())).collect();
        let mut cache_status = CacheStatus::HIT;
        if !missing.is_empty() {
            let forecast = self.load_missing(&missing, &mut days, options, of_stored).await?;
            cache_status.hit = forecast == Forecast::NOTHING;
            cache_status.collapsed = forecast.collapsed;
        }
        let mut loaded = self.assemble(plan, days.into_iter().flatten().collect(), cache_status);
        loaded.retry_after = self.retry_after(&loaded).await;
        in_one_dictionary(&mut loaded.days, None).await?;
        Ok(loaded)
    }

    /// The days that are stored and not due for a refresh; `None` for those that must be loaded.
    ///
    /// Rows are not looked up in advance: a load of rows finds them in memory as quickly.
    async fn stored_and_fresh<D: DayData>(
        &self,
        keys: &[DayKey],
        deadline: Instant,
    ) -> Vec<Option<Result<Arc<D>, QueryError>>> {
        let stored = match D::DEPTH {
            Depth::Digest => tokio::time::timeout_at(deadline, self.source.stored(keys, Depth::Digest)).await.ok(),
            Depth::Rows => None,
        };
        let Some(stored) = stored else { return keys.iter().map(|_| None).collect() };
        let fresh = |day: LoadedDay| {
            let day = D::from_loaded(day).ok()?;
            (!self.catalog.status(&*day).refresh_due).then_some(Ok(day))
        };
        stored.into_iter().map(|day| day.and_then(fresh)).collect()
    }

    /// Loads the `missing` days of a plan into `days` and returns their forecast. Waits until the deadline of `options` for days
    /// that have to be fetched, and until `of_stored` for the others.
    async fn load_missing<D: DayData>(
        &self,
        missing: &[(usize, DayKey)],
        days: &mut [Option<Result<Arc<D>, QueryError>>],
        options: LoadOptions,
        of_stored: Instant,
    ) -> Result<Forecast, QueryError> {
        let context = self.load_context();
        let keys: Vec<DayKey> = missing.iter().map(|(_, key)| key.clone()).collect();
        let forecast = self.source.forecast(&keys, D::DEPTH).await;
        if !options.allow_partial {
            self.reject_if_too_slow(forecast.wait, &keys, D::DEPTH, options.deadline)?;
        }
        let load = |index, key: DayKey| {
            let is_kept = self.is_whole(&key);
            let is_fetched = forecast.days_to_fetch.contains(&(key.geo, key.day));
            let options = if is_fetched { options } else { LoadOptions { deadline: of_stored, ..options } };
            let (source, requested) = (Arc::clone(&self.source), key.clone());
            let engine = (forecast != Forecast::NOTHING).then(|| self.clone());
            let kept = engine.clone().filter(|_| is_kept);
            let load = async move {
                let day = D::from_loaded(source.load(&key, D::DEPTH, context).await?)?;
                if let Some(engine) = engine {
                    engine.spawn_monthly_rollup(&key);
                }
                Ok(day)
            };
            let load = async move {
                match kept {
                    Some(engine) => engine.kept_loads.start(engine.caller, requested, load).await,
                    None => load.await,
                }
            };
            load_before_deadline(index, load, options, is_kept)
        };
        // The newest days first.
        let loads: Vec<_> = missing.iter().rev().map(|(index, key)| load(*index, key.clone())).collect();
        let loaded = stream::iter(loads).buffer_unordered(MAX_CONCURRENT_LOADS).try_collect::<Vec<_>>().await;
        let loaded = match loaded {
            Err(QueryError::DeadlineExceeded { fetch_continues, .. }) => {
                // A new estimate: the one from before the wait is outdated.
                let remaining = self.source.forecast(&keys, D::DEPTH).await.wait;
                return Err(QueryError::DeadlineExceeded { remaining, fetch_continues });
            }
            loaded => loaded?,
        };
        for (index, day) in loaded {
            days[index] = Some(day);
        }
        Ok(forecast)
    }

    /// The expected time until the days are there that were not fetched before the deadline. `None` if there are none.
    async fn retry_after<D>(&self, loaded: &LoadedDays<D>) -> Option<Duration> {
        let is_late = |error: &QueryError| matches!(error, QueryError::DeadlineExceeded { .. });
        let late: Vec<DayKey> =
            loaded.missing.iter().filter(|(_, error)| is_late(error)).map(|(key, _)| key.clone()).collect();
        if late.is_empty() {
            return None;
        }
        Some(self.source.forecast(&late, Depth::Rows).await.wait.unwrap_or(DEFAULT_RETRY_AFTER))
    }

    /// Rejects a query whose estimated wait clearly exceeds its deadline, and returns the estimate to the caller. Whole
    /// days are fetched anyway, as background work: nobody waits for them.
    fn reject_if_too_slow(
        &self,
        estimate: Option<Duration>,
        keys: &[DayKey],
        depth: Depth,
        deadline: Instant,
    ) -> Result<(), QueryError> {
        let Some(estimate) = estimate else { return Ok(()) };
        // Estimates are inexact, so only a clear excess is rejected.
        if estimate.mul_f64(REJECTION_ESTIMATE_FACTOR) <= deadline.saturating_duration_since(Instant::now()) {
            return Ok(());
        }
        let caller = self.caller.unwrap_or(ANONYMOUS_BACKGROUND_CALLER);
        let context = LoadContext { priority: Priority::Background, caller };
        let mut fetch_continues = false;
        for key in keys.iter().rev().filter(|key| self.is_whole(key)) {
            fetch_continues |= self.kept_loads.is_kept(self.caller, key);
            let Some(kept) = self.kept_loads.try_keep(self.caller, key) else { continue };
            fetch_continues = true;
            let (engine, key) = (self.clone(), key.clone());
            let fetch = async move {
                if engine.source.load(&key, depth, context).await.is_ok() {
                    engine.spawn_monthly_rollup(&key);
                }
                drop(kept);
            };
            tokio::spawn(fetch.in_current_span());
        }
        Err(QueryError::DeadlineExceeded { remaining: Some(estimate), fetch_continues })
    }

    /// Whether the rows of everyone are loaded for this key. A view needs them for one person, too.
    fn is_whole(&self, key: &DayKey) -> bool {
        match key.scope {
            DataScope::Everyone => true,
            DataScope::User(_) => self.catalog.is_view(),
            DataScope::Department(..) => false,
        }
    }

    /// Whether the rows of a day are in memory. For one person, these may be the rows of everyone.
    pub async fn is_cached(&self, key: &DayKey) -> bool {
        self.source.stored(std::slice::from_ref(key), Depth::Rows).await.iter().any(Option::is_some)
    }

    /// The latest recorded fetch of a day of everyone with the present state of the day.
    #[must_use]
    pub fn recorded_day(&self, key: &DayKey) -> Option<RecordedDay> {
        self.catalog.recorded_day(key)
    }

    /// Records an earlier fetch of a day, such as that of an archived day.
    pub fn record_fetch(&self, day: &impl DayMetadata) {
        self.catalog.record_fetch(day);
    }

    /// Loads the rows of one day with the priority of `context`.
    ///
    /// # Errors
    /// The [`LoadError`] of the fetch.
    pub async fn load_day(&self, key: &DayKey, context: LoadContext) -> Result<Arc<DayTable>, LoadError> {
        let day = DayTable::from_loaded(self.source.load(key, Depth::Rows, context).await?)?;
        self.spawn_monthly_rollup(key);
        Ok(day)
    }

    /// The estimated time to load the rows of these days; `None` if it cannot be estimated.
    pub async fn forecast(&self, keys: &[DayKey]) -> Option<Duration> {
        self.source.forecast(keys, Depth::Rows).await.wait
    }

    /// Starts to compute the roll-up of the month of a loaded day, if all rows of the month are in memory, so that no
    /// request waits for it. Ignores views and days of one person.
    fn spawn_monthly_rollup(&self, loaded: &DayKey) {
        if self.catalog.is_view() || matches!(loaded.scope, DataScope::User(_)) {
            return;
        }
        let (engine, month) = (self.clone(), loaded.day.month().days());
        let keys: Vec<DayKey> = month.days().map(|day| loaded.with_day(day)).collect();
        tokio::spawn(async move {
            let rollups = engine.monthly_rollups.clone();
            let _ = run_day_task(move || rollups.follow_dictionaries()).await;
            // A second look under the permit: several days of a month may have arrived at the same time.
            if engine.stored_rows(&keys).await.is_some() {
                let _permit = engine.monthly_rollups.permit().await;
                if let Some(mut days) = engine.stored_rows(&keys).await
                    && in_one_dictionary(&mut days, None).await.is_ok()
                {
                    engine.compute_monthly_rollup(&keys[0], days).await;
                }
            }
        });
    }

    /// The rows of these days, if all are in memory.
    async fn stored_rows(&self, keys: &[DayKey]) -> Option<Vec<Arc<DayTable>>> {
        let stored = self.source.stored(keys, Depth::Rows).await;
        stored.into_iter().map(|day| DayTable::from_loaded(day?).ok()).collect()
    }

    /// The roll-up of the month of these days, which begins with the day of `first`. The days use one dictionary. It is
    /// cached.
    pub(super) async fn compute_monthly_rollup(
        &self,
        first: &DayKey,
        days: Vec<Arc<DayTable>>,
    ) -> Option<Arc<MonthlyRollup>> {
        let hashes: Vec<_> = days.iter().map(|day| *day.hash()).collect();
        if let Some(month) = self.monthly_rollups.get(first, &hashes, days.first()?.dictionary()) {
            return Some(month);
        }
        let month = Arc::new(run_day_task(move || MonthlyRollup::from_days(&days)).await.ok().flatten()?);
        self.monthly_rollups.insert(first, &month);
        Some(month)
    }

    /// The cache of monthly roll-ups.
    #[must_use]
    pub const fn monthly_rollups(&self) -> &MonthlyRollupCache {
        &self.monthly_rollups
    }

    /// The generation of the cached data. It changes whenever the data changes.
    #[must_use]
    pub fn generation(&self) -> CacheGeneration {
        self.catalog.generation()
    }

    /// The outermost layer of the read path.
    #[must_use]
    pub const fn source(&self) -> &Arc<dyn DaySource> {
        &self.source
    }

    /// The earliest day of a geo that is kept; `None` if no day expires.
    #[must_use]
    pub fn oldest_kept(&self, geo: Geo) -> Option<Day> {
        self.catalog.oldest_kept(geo)
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.catalog.now()
    }

    /// Adds these lead days, as far as `lead_days` allows.
    async fn load_lead_days<D: DayData>(&self, loaded: &mut LoadedDays<D>, keys: &[DayKey], lead_days: LeadDays) {
        let stored = self.source.stored(keys, D::DEPTH).await;
        let mut days: Vec<Option<Arc<D>>> =
            stored.into_iter().map(|day| day.and_then(|day| D::from_loaded(day).ok())).collect();
        if let LeadDays::Affordable(options) = lead_days {
            self.fetch_affordable(keys, &mut days, options).await;
        }
        for day in days {
            loaded.push_lead_day(day.map(|day| {
                let status = self.catalog.status(&*day);
                (day, status)
            }));
        }
        loaded.exclude_uncounted_dates();
    }

    /// Fetches those of these days that are not there yet, if the estimated time and number of calls are affordable. After a
    /// failure, no fetch is tried for a while, so that reports stay fast while Feishu cannot be reached.
    async fn fetch_affordable<D: DayData>(&self, keys: &[DayKey], days: &mut [Option<Arc<D>>], options: LoadOptions) {
        let missing: Vec<usize> = (0..keys.len()).filter(|index| days[*index].is_none()).collect();
        let retry_at = *self.lead_days_retry_at.lock();
        if missing.is_empty() || retry_at.is_some_and(|at| self.now() < at) {
            return;
        }
        let missing_keys: Vec<DayKey> = missing.iter().map(|index| keys[*index].clone()).collect();
        let forecast = self.source.forecast(&missing_keys, D::DEPTH).await;
        let time_left = options.deadline.saturating_duration_since(Instant::now());
        if !forecast.is_within_quota || forecast.longest_wait.is_none_or(|wait| wait > time_left) {
            return;
        }
        let context = self.load_context();
        let options = LoadOptions { allow_partial: true, ..options };
        let loads = missing.into_iter().zip(missing_keys).map(|(index, key)| {
            let source = Arc::clone(&self.source);
            let load = async move { D::from_loaded(source.load(&key, D::DEPTH, context).await?) };
            load_before_deadline(index, load, options, false)
        });
        let loaded = stream::iter(loads).buffer_unordered(MAX_CONCURRENT_LOADS).collect::<Vec<_>>().await;
        for (index, day) in loaded.into_iter().flatten() {
            match day {
                Ok(day) => days[index] = Some(day),
                Err(_) => *self.lead_days_retry_at.lock() = Some(self.now() + LEAD_DAYS_RETRY_INTERVAL),
            }
        }
    }

    /// Sorts the results into loaded and missing days, and completes the cache status.
    fn assemble<D: DayData>(
        &self,
        plan: QueryPlan,
        loaded: Vec<Result<Arc<D>, QueryError>>,
        cache_status: CacheStatus,
    ) -> LoadedDays<D> {
        let mut days = LoadedDays { cache_status, ..LoadedDays::empty(plan) };
        for (index, loaded) in loaded.into_iter().enumerate() {
            match loaded {
                Ok(day) => {
                    let status = self.catalog.status(&*day);
                    if status.refresh_due {
                        days.cache_status.stale_days += 1;
                        days.cache_status.failed_refreshes += usize::from(self.catalog.refresh_failed(day.key()));
                    }
                    days.push(day, status);
                }
                Err(error) => days.missing.push((days.plan.keys[index].clone(), error)),
            }
        }
        days.exclude_uncounted_dates();
        days
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

/// Gives all days one dictionary: `target`, or the newest of theirs. Their dictionaries differ only for a short time after
/// one of them was renewed.
///
/// # Errors
/// [`LoadError::Abandoned`] if moving the days panics.
pub(super) async fn in_one_dictionary<D: DayData>(
    days: &mut Vec<Arc<D>>,
    target: Option<Arc<Dictionary>>,
) -> Result<(), QueryError> {
    let Some(expected) = target.as_ref().or(days.first().map(|day| day.dictionary())) else { return Ok(()) };
    if days.iter().all(|day| Arc::ptr_eq(day.dictionary(), expected)) {
        return Ok(());
    }
    let mut moved = std::mem::take(days);
    let moving = run_day_task(move || {
        unify_dictionaries(&mut moved, target.as_ref());
        moved
    });
    *days = moving.await.map_err(|_| QueryError::Load(LoadError::Abandoned))?;
    Ok(())
}

/// Until when stored days are read.
fn deadline_of_stored_days(options: LoadOptions) -> Instant {
    let min_wait = if options.allow_partial { MIN_STORED_WAIT } else { Duration::ZERO };
    options.deadline.max(Instant::now() + min_wait)
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
    fetch_continues: bool,
) -> Result<(usize, Result<Arc<D>, QueryError>), QueryError> {
    let loaded = tokio::time::timeout_at(options.deadline, load).await;
    let loaded = match loaded {
        Ok(loaded) => loaded.map_err(QueryError::Load),
        Err(_) => Err(QueryError::DeadlineExceeded { remaining: None, fetch_continues }),
    };
    match loaded {
        Err(error) if !options.allow_partial => Err(error),
        loaded => Ok((index, loaded)),
    }
}

/// The keys of the `days` days before the selected ones, without those that are part of the plan.
fn lead_keys(plan: &QueryPlan, days: u16) -> Vec<DayKey> {
    let Some(first) = plan.keys.first() else { return Vec::new() };
    let lead = DayRange::ending(plan.range.first().plus(-1), days);
    let planned: BTreeSet<Day> =
        plan.keys.iter().map(|key| key.day).chain(plan.expired.iter().map(|(_, day)| *day)).collect();
    let days = lead.days().filter(|day| !planned.contains(day));
    days.flat_map(|day| plan.geos.iter().map(move |geo| DayKey { geo: *geo, ..first.with_day(day) })).collect()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::{super::plan::QueryDates, *};
    use crate::{
        model::{ManualClock, UserIdType},
        store::FreshnessPolicy,
        table::{DayTableBuilder, Row, RowSelection},
    };

    const STORED: &str = "2026-11-10";
    const TO_FETCH: &str = "2026-11-11";

    /// A source that reads one day in a short time, and never receives the other one.
    struct HalfStoredSource;

    #[async_trait]
    impl DaySource for HalfStoredSource {
        async fn load(&self, key: &DayKey, _: Depth, _: LoadContext) -> Result<LoadedDay, LoadError> {
            if key.day == TO_FETCH.parse().unwrap() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(MIN_STORED_WAIT / 5).await;
            let mut day = DayTableBuilder::new(key.clone(), Arc::default());
            day.push(&Row { user_id: Some("ou_1".into()), ..Row::default() });
            Ok(LoadedDay::Rows(Arc::new(day.finish("2026-11-22T04:00:00Z".parse().unwrap()))))
        }

        async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
            vec![None; keys.len()]
        }

        async fn forecast(&self, _: &[DayKey], _: Depth) -> Forecast {
            Forecast { days_to_fetch: [(Geo::Cn, TO_FETCH.parse().unwrap())].into(), ..Forecast::default() }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_partial_result_without_a_wait_has_the_stored_days_and_waits_for_no_other() {
        let now = "2026-11-22T04:00:00Z".parse().unwrap();
        let catalog = DayCatalog::new(FreshnessPolicy::default(), Arc::new(ManualClock::at(now)));
        let engine = QueryEngine::new(Arc::new(HalfStoredSource), catalog, 1 << 20);
        let range = DayRange::new(STORED.parse().unwrap(), TO_FETCH.parse().unwrap()).unwrap();
        let query = Query {
            dates: QueryDates::Days(range),
            geos: vec![Geo::Cn],
            user_id_type: UserIdType::OpenId,
            scope: DataScope::Everyone,
            selection: RowSelection::default(),
            lead_days: 0,
        };
        let began = Instant::now();

        let loaded = engine.load_rows(&query, LoadOptions { deadline: began, allow_partial: true }).await.unwrap();

        let dates: Vec<String> = loaded.days.iter().map(|day| day.key().day.to_string()).collect();
        let missing: Vec<String> = loaded.missing.iter().map(|(key, _)| key.day.to_string()).collect();
        assert_eq!((dates, missing), (vec![STORED.to_owned()], vec![TO_FETCH.to_owned()]));
        assert!(began.elapsed() < MIN_STORED_WAIT);
    }
}
