//! [`DayBatcher`]: combines days that are requested at the same time into date ranges, each fetched by one chain of pages.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::oneshot, task::JoinSet};
use tracing::Instrument as _;

use super::{
    chain_saver::{ChainSaver, SavedChain},
    fetch_observer::FetchObserver,
    fetch_queue::{DayResult, FetchQueue, InFlightFetch, Waiter, rank},
    loading_limit::LoadingLimit,
    page_fetcher::{ChainLimits, PageFetcher},
    page_lookahead::PageLookahead,
    range_plan::{self, TenantSize},
    remaining_work::{Parallelism, RemainingChain, RemainingWork},
    reply_class,
    stats_client::{MAX_ATTEMPTS, PageRequest, StatsClient},
    wire::PAGE_SIZE,
};
use crate::{
    model::{Clock, DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    source::{ChainKey, LoadContext, LoadError},
    table::{DayTable, Dictionaries},
};

/// Time that the first requested day waits for further days. A request loads all its days concurrently, within a few
/// milliseconds.
const BATCH_DELAY: Duration = Duration::from_millis(3);

/// The same while other days are being fetched. The days of one request arrive within tens of milliseconds if each is looked
/// up in a bucket first, or comes from another replica.
const LATER_BATCH_DELAY: Duration = Duration::from_millis(25);

/// Maximum number of attempts of a page of a part of a range that failed.
const ATTEMPTS_OF_PART: u32 = 2;

/// If no part has succeeded after the range was cut this many times, and the failures are temporary, upstream fails as a
/// whole. Then the range costs at most 2 + 4 + 8 failed parts. A refusal that is not repeated is cut down to single days,
/// because it can concern every second day: at most 60 parts of one call.
const MAX_LEVELS_WITHOUT_SUCCESS: u32 = 3;

/// Maximum number of parallel chains per batch key. At 100 calls per second and 150 ms per call, 15 use the full rate.
const MAX_CHAINS_PER_BATCH_KEY: usize = 24;

/// Maximum number of batch keys whose size is known, and of ids that are known to be unknown to Feishu. A batch key names a
/// department or person that a caller has chosen.
const MAX_KNOWN_BATCH_KEYS: u64 = 10_000;

/// How long an id that Feishu does not know is not asked for again.
const UNKNOWN_ID_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// Batches requested days into date ranges and fetches them. Concurrent requests of a day share one fetch.
#[derive(Clone, Debug)]
pub struct DayBatcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: StatsClient,
    dictionaries: Arc<Dictionaries>,
    clock: Arc<dyn Clock>,
    observer: FetchObserver,
    lookahead: PageLookahead,
    loading: LoadingLimit,
    saver: ChainSaver,
    queues: Mutex<HashMap<BatchKey, FetchQueue>>,
    /// Rows per day of earlier fetches. Kept after the queue is removed.
    sizes: Cache<BatchKey, MeasuredSize>,
    /// Ids that Feishu does not know.
    unknown_ids: Cache<BatchKey, UnknownId>,
}

/// Average rows per day of the fetches of a batch key.
#[derive(Clone, Copy, Debug)]
struct MeasuredSize {
    latest: f64,
    largest: f64,
}

/// The refusal of an id.
#[derive(Clone, Debug)]
struct UnknownId {
    error: LoadError,
    refused_at: Timestamp,
}

/// What days must have in common to be fetched by one chain: all fields of a [`DayKey`] except the day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct BatchKey {
    geo: Geo,
    user_id_type: UserIdType,
    scope: DataScope,
}

/// Removes a fetch from its queue on drop, also after a panic. Otherwise its days would stay in flight forever.
struct FetchGuard {
    shared: Arc<Shared>,
    batch_key: BatchKey,
    fetch: Arc<InFlightFetch>,
}

impl DayBatcher {
    /// Creates a batcher. Ids and names of the fetched rows are interned in `dictionaries`. `observer` receives each
    /// fetched day. Rows that are being fetched may take about `loading_bytes` bytes. `saver` saves long chains.
    #[must_use]
    pub fn new(
        client: StatsClient,
        dictionaries: Arc<Dictionaries>,
        clock: Arc<dyn Clock>,
        observer: FetchObserver,
        loading_bytes: u64,
        saver: ChainSaver,
    ) -> Self {
        let (lookahead, queues) = (PageLookahead::default(), Mutex::default());
        let (sizes, unknown_ids) = (Cache::new(MAX_KNOWN_BATCH_KEYS), Cache::new(MAX_KNOWN_BATCH_KEYS));
        let loading = LoadingLimit::new(loading_bytes);
        let shared =
            Shared { client, dictionaries, clock, observer, lookahead, loading, saver, queues, sizes, unknown_ids };
        Self { shared: Arc::new(shared) }
    }

    /// Loads one day, together with other days of its batch key that are requested now. If this is cancelled and no other
    /// request waits for the day, it is not fetched.
    ///
    /// # Errors
    /// The [`LoadError`] of the fetch.
    pub async fn load_day(&self, key: &DayKey, context: LoadContext) -> DayResult {
        let (waiter, result) = oneshot::channel();
        let batch_key = BatchKey::of(key);
        if let Some(error) = self.shared.known_refusal(&batch_key) {
            return Err(error);
        }
        if self.shared.enqueue(&batch_key, key.day, context, waiter) {
            tokio::spawn(run_worker(Arc::clone(&self.shared), batch_key));
        }
        result.await.unwrap_or(Err(LoadError::Abandoned))
    }

    /// Saves the long chains in flight, before the process ends.
    pub async fn save_chains(&self) {
        self.shared.saver.save_all().await;
    }

    /// Number of chains in flight.
    #[must_use]
    pub fn active_chains(&self) -> usize {
        self.shared.lock_queues().values().map(|queue| queue.fetches().count()).sum()
    }

    /// The work that is left for `keys`, among that of other requests. `calls_in_flight` calls in flight use the whole rate.
    /// `None` if the rows per day of a batch key are unknown.
    #[must_use]
    pub fn remaining_work(&self, keys: &[DayKey], calls_in_flight: f64) -> Option<RemainingWork> {
        let mut requested: HashMap<BatchKey, Vec<Day>> = HashMap::new();
        for key in keys {
            requested.entry(BatchKey::of(key)).or_default().push(key.day);
        }
        let queues = self.shared.lock_queues();
        let empty = FetchQueue::default();
        let mut chains = Vec::new();
        for (batch_key, queue) in queues.iter().filter(|(batch_key, _)| !requested.contains_key(batch_key)) {
            chains.extend(self.shared.chains(batch_key, queue, &[])?);
        }
        for (batch_key, days) in &requested {
            chains.extend(self.shared.chains(batch_key, queues.get(batch_key).unwrap_or(&empty), days)?);
        }
        drop(queues);
        let (max_chains, pages) = (MAX_CHAINS_PER_BATCH_KEY, self.shared.lookahead.parallel_pages());
        Some(RemainingWork::of(&chains, Parallelism { max_chains, pages, calls: calls_in_flight }))
    }
}

impl BatchKey {
    fn of(key: &DayKey) -> Self {
        Self { geo: key.geo, user_id_type: key.user_id_type, scope: key.scope.clone() }
    }

    /// Whether all days of this batch key fail with this error.
    fn fails_on_all_days(&self, error: &LoadError) -> bool {
        reply_class::concerns_all_days(error) || self.is_unknown_id(error)
    }

    /// Whether the error means that Feishu does not know the user or department. Such an id is unknown on every day; other
    /// rejections can depend on the day.
    fn is_unknown_id(&self, error: &LoadError) -> bool {
        self.scope != DataScope::Everyone && matches!(error, LoadError::Rejected { .. })
    }

    /// Whether another day of this batch key can succeed although one fails with this error.
    fn can_depend_on_day(&self, error: &LoadError) -> bool {
        match error {
            LoadError::Unavailable { .. } | LoadError::Rejected { .. } | LoadError::Forbidden { .. } => {
                !self.fails_on_all_days(error)
            }
            LoadError::Unauthorized { .. }
            | LoadError::QuotaExhausted { .. }
            | LoadError::Throttled { .. }
            | LoadError::NotLeader
            | LoadError::Abandoned => false,
        }
    }
}

impl Shared {
    /// Adds a request to the queue of its batch key. Returns true if the queue is new and needs a worker.
    fn enqueue(&self, batch_key: &BatchKey, day: Day, context: LoadContext, waiter: Waiter) -> bool {
        let mut queues = self.lock_queues();
        let is_new = !queues.contains_key(batch_key);
        queues.entry(batch_key.clone()).or_default().enqueue(day, context, waiter);
        is_new
    }

    /// Moves pending days into new fetches, which the caller must run.
    fn start_fetches(&self, batch_key: &BatchKey) -> Vec<Arc<InFlightFetch>> {
        let mut queues = self.lock_queues();
        let Some(queue) = queues.get_mut(batch_key) else { return Vec::new() };
        let size = self.tenant_size(batch_key, 0);
        let expected_pages = |range: DayRange| size.pages(range.len());
        queue.start_fetches(|pages| self.tenant_size(batch_key, pages), MAX_CHAINS_PER_BATCH_KEY, expected_pages)
    }

    /// The known number of rows per day, also from before a restart, or `pages` as the minimum number of pages.
    fn tenant_size(&self, batch_key: &BatchKey, pages: usize) -> TenantSize {
        if matches!(batch_key.scope, DataScope::User(_)) {
            return TenantSize::Known(1.0);
        }
        let recorded = || {
            let BatchKey { geo, user_id_type, scope } = batch_key;
            (*scope == DataScope::Everyone).then(|| (self.observer.rows_per_day)(*geo, *user_id_type)).flatten()
        };
        let rows = self.sizes.get(batch_key).map(|size| size.latest).or_else(recorded);
        rows.map_or(TenantSize::AtLeast(pages), TenantSize::Known)
    }

    /// Maximum number of rows of a chain over this number of days.
    fn max_rows(&self, batch_key: &BatchKey, days: usize) -> usize {
        range_plan::max_rows(self.sizes.get(batch_key).map(|size| size.largest), days)
    }

    /// Number of days that wait for a fetch.
    fn pending_count(&self, batch_key: &BatchKey) -> usize {
        self.lock_queues().get(batch_key).map_or(0, |queue| queue.pending_days().count())
    }

    /// The refusal of an id that Feishu did not know a short time ago.
    fn known_refusal(&self, batch_key: &BatchKey) -> Option<LoadError> {
        let UnknownId { error, refused_at } = self.unknown_ids.get(batch_key)?;
        (self.clock.now().duration_since(refused_at) < UNKNOWN_ID_LIFETIME).then_some(error)
    }

    fn record_refusal(&self, batch_key: &BatchKey, error: &LoadError) {
        if batch_key.is_unknown_id(error) {
            let refusal = UnknownId { error: error.clone(), refused_at: self.clock.now() };
            self.unknown_ids.insert(batch_key.clone(), refusal);
        }
    }

    fn record_size(&self, batch_key: &BatchKey, days: &[Arc<DayTable>]) {
        if matches!(batch_key.scope, DataScope::User(_)) || days.is_empty() {
            return;
        }
        let rows = days.iter().map(|day| day.row_count()).sum::<usize>() as f64 / days.len() as f64;
        let known = self.sizes.get(batch_key);
        let largest = known.map_or(rows, |known| known.largest.max(rows));
        // A chain that ended early has too few rows.
        let latest = match known {
            Some(known) if days.iter().any(|day| day.quality().broken_off) => known.latest.max(rows),
            _ => rows,
        };
        self.sizes.insert(batch_key.clone(), MeasuredSize { latest, largest });
    }

    /// The chains in flight and those that will fetch the pending days and `days`.
    fn chains(&self, batch_key: &BatchKey, queue: &FetchQueue, days: &[Day]) -> Option<Vec<RemainingChain>> {
        let size = self.tenant_size(batch_key, 0);
        let is_own = |range: DayRange| days.iter().any(|day| range.contains(*day));
        let mut chains = Vec::new();
        for fetch in queue.fetches() {
            // The size can have become known after the fetch began.
            let expected_pages = fetch.expected_pages.or_else(|| size.pages(fetch.range.len()))?;
            let (calls, is_own) = (fetch.remaining_pages(expected_pages), is_own(fetch.range));
            chains.push(RemainingChain { calls, is_own, context: Some(fetch.context()), rank: fetch.rank() });
        }
        let mut pending: BTreeMap<Day, Option<LoadContext>> =
            queue.pending_days().map(|(day, context)| (day, Some(context))).collect();
        for day in days.iter().filter(|day| !queue.fetches().any(|fetch| fetch.range.contains(**day))) {
            pending.entry(*day).or_default();
        }
        let days: Vec<Day> = pending.keys().copied().collect();
        for range in range_plan::next_ranges(&days, 0, size, usize::MAX, |_| 0) {
            let context = pending.get(&range.first()).copied().flatten();
            let (calls, is_own) = (size.pages(range.len())?, is_own(range));
            chains.push(RemainingChain { calls, is_own, context, rank: rank(0, range) });
        }
        Some(chains)
    }

    /// Completes when no request waits for a fetch. It has left the queue then, so no request can join it.
    async fn abandoned(&self, batch_key: &BatchKey, fetch: &Arc<InFlightFetch>) {
        loop {
            fetch.abandoned().await;
            let mut queues = self.lock_queues();
            if !fetch.is_awaited() {
                if let Some(queue) = queues.get_mut(batch_key) {
                    queue.remove(fetch);
                }
                return;
            }
        }
    }

    /// Completes the pending days of a batch key with `error` if their own fetches would fail in the same way. This saves
    /// one call per chain.
    fn fail_pending(&self, batch_key: &BatchKey, error: &LoadError) {
        if let Some(queue) = self.lock_queues().get_mut(batch_key).filter(|_| batch_key.fails_on_all_days(error)) {
            queue.fail_pending(error);
        }
    }

    /// Removes the queue if it is idle. Returns whether the queue is gone.
    fn remove_if_idle(&self, batch_key: &BatchKey) -> bool {
        let mut queues = self.lock_queues();
        let idle = queues.get(batch_key).is_none_or(FetchQueue::is_idle);
        if idle {
            queues.remove(batch_key);
        }
        idle
    }

    fn lock_queues(&self) -> MutexGuard<'_, HashMap<BatchKey, FetchQueue>> {
        self.queues.lock()
    }
}

impl Drop for FetchGuard {
    fn drop(&mut self) {
        if let Some(queue) = self.shared.lock_queues().get_mut(&self.batch_key) {
            queue.remove(&self.fetch);
        }
    }
}

/// Removes the queue on drop if the worker ends early, for example after a panic. Otherwise its requests would wait
/// forever.
struct WorkerGuard {
    shared: Arc<Shared>,
    batch_key: BatchKey,
    completed: bool,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        if !self.completed {
            // Dropping the queue closes the channels of its waiters. This happens after the lock is released.
            let queue = self.shared.lock_queues().remove(&self.batch_key);
            drop(queue);
        }
    }
}

/// Processes the queue of one batch key until it is idle.
async fn run_worker(shared: Arc<Shared>, batch_key: BatchKey) {
    let mut guard = WorkerGuard { shared: Arc::clone(&shared), batch_key: batch_key.clone(), completed: false };
    let Some(change_signal) = shared.lock_queues().get(&batch_key).map(FetchQueue::change_signal) else { return };
    tokio::time::sleep(BATCH_DELAY).await;
    let mut chains = JoinSet::new();
    loop {
        for fetch in shared.start_fetches(&batch_key) {
            let trace_span = fetch.trace_span.clone();
            let guard = FetchGuard { shared: Arc::clone(&shared), batch_key: batch_key.clone(), fetch };
            chains.spawn(run_fetch(guard).instrument(trace_span));
        }
        if shared.remove_if_idle(&batch_key) {
            guard.completed = true;
            // The remaining tasks have removed their fetches from the queue. They only deliver results.
            chains.detach_all();
            return;
        }
        let pending = shared.pending_count(&batch_key);
        // The end of a chain is signalled too.
        change_signal.notified().await;
        if shared.pending_count(&batch_key) > pending {
            tokio::time::sleep(LATER_BATCH_DELAY).await;
        }
        while chains.try_join_next().is_some() {}
    }
}

/// Fetches one range of days and delivers the results.
///
/// If the fetch fails and the cause can be one of the days, the range is cut in halves until only the failing days are
/// missing. All parts of one length are fetched at the same time.
async fn run_fetch(guard: FetchGuard) {
    let (mut parts, mut attempts, mut any_part_succeeded) = (vec![guard], MAX_ATTEMPTS, false);
    for level in 0.. {
        let results = join_all(parts.into_iter().map(|part| part.fetch(attempts))).await;
        any_part_succeeded |= results.iter().any(|result| matches!(result, Ok(FetchEnd::Delivered)));
        let may_split =
            |error: &LoadError| any_part_succeeded || level < MAX_LEVELS_WITHOUT_SUCCESS || !error.is_retryable();
        let failed = results.into_iter().filter_map(Result::err);
        parts = failed.flat_map(|part| if may_split(&part.error) { part.split() } else { part.fail() }).collect();
        attempts = ATTEMPTS_OF_PART;
        if parts.is_empty() {
            return;
        }
    }
}

impl FetchGuard {
    /// Fetches the range and delivers the days.
    async fn fetch(self, max_attempts: u32) -> Result<FetchEnd, FailedFetch> {
        let Self { shared, batch_key, fetch } = &self;
        let BatchKey { geo, user_id_type, scope } = batch_key.clone();
        let request = PageRequest { geo, user_id_type, scope, range: fetch.range };
        let dictionary = shared.dictionaries.for_id_type(user_id_type);
        let tokens = shared.lookahead.start_chain(fetch.expected_pages);
        let priority = fetch.call_priority();
        let limits = ChainLimits { max_attempts, max_rows: shared.max_rows(batch_key, fetch.range.len()) };
        let expected_rows = fetch.expected_pages.unwrap_or_default() * PAGE_SIZE;
        let saved = self.saved_chain();
        let result = async {
            let _permit = shared.loading.acquire(expected_rows, &priority).await;
            let checkpoint = match &saved {
                Some(saved) => saved.find().await,
                None => None,
            };
            let (client, now) = (&shared.client, shared.clock.now());
            let mut fetcher = PageFetcher::new(client, request, &dictionary, tokens, priority.clone(), limits, now);
            fetcher.expect_rows(expected_rows);
            if let Some(checkpoint) = checkpoint {
                fetch.resume_after(checkpoint.pages);
                fetcher.resume(&checkpoint);
            }
            let _saving = saved.as_ref().map(|saved| shared.saver.start(saved, fetcher.rows()));
            let on_page = || {
                let pages = fetch.record_page();
                if let Some(queue) = shared.lock_queues().get_mut(batch_key) {
                    queue.record_page_count(pages);
                }
            };
            fetcher.fetch(on_page).await
        };
        let result = tokio::select! {
            biased;
            result = result => result,
            () = shared.abandoned(batch_key, fetch) => {
                tracing::debug!(geo = %batch_key.geo, span = %fetch.range, "a fetch ended, because no request waits for it");
                if let Some(saved) = saved {
                    saved.save_if_long().await;
                }
                return Ok(FetchEnd::Abandoned);
            }
        };
        match result {
            Ok(days) => {
                let days: Vec<Arc<DayTable>> = days.into_iter().map(Arc::new).collect();
                shared.record_size(batch_key, &days);
                for day in &days {
                    (shared.observer.record)(day);
                }
                self.deliver(&Ok(days));
                if let Some(saved) = saved {
                    saved.remove().await;
                }
                Ok(FetchEnd::Delivered)
            }
            Err(error) => {
                // The token cache has logged rejected credentials once for all days.
                if matches!(error, LoadError::Unauthorized { .. }) {
                    tracing::debug!(%error, geo = %batch_key.geo, span = %fetch.range, "days could not be fetched");
                } else {
                    tracing::warn!(%error, geo = %batch_key.geo, span = %fetch.range, "days could not be fetched");
                }
                // After another replica has taken over, that one saves the chain.
                if let Some(saved) = saved.filter(|_| error != LoadError::NotLeader) {
                    saved.save_if_long().await;
                }
                shared.record_refusal(batch_key, &error);
                shared.fail_pending(batch_key, &error);
                Err(FailedFetch { guard: self, error })
            }
        }
    }

    /// The chain of the fetch, if it is saved. Days of parts of the company are not archived, and not saved.
    fn saved_chain(&self) -> Option<Arc<SavedChain>> {
        let BatchKey { geo, user_id_type, scope } = &self.batch_key;
        let key = ChainKey { geo: *geo, user_id_type: *user_id_type, range: self.fetch.range };
        (*scope == DataScope::Everyone).then(|| self.shared.saver.chain(key, self.fetch.expected_pages)).flatten()
    }

    /// Delivers the results. The fetch leaves the queue before: a later request must not join an ended fetch.
    fn deliver(self, result: &Result<Vec<Arc<DayTable>>, LoadError>) {
        let fetch = Arc::clone(&self.fetch);
        drop(self);
        fetch.deliver(result);
    }
}

/// How a fetch ended without an error.
enum FetchEnd {
    /// Its days were delivered.
    Delivered,
    /// No request waits for its days.
    Abandoned,
}

/// A fetch that failed and whose results are not delivered yet.
struct FailedFetch {
    guard: FetchGuard,
    error: LoadError,
}

impl FailedFetch {
    /// The fetches of the halves of the range. If the error concerns all days, or if there is only one, delivers the error.
    fn split(self) -> Vec<FetchGuard> {
        let FetchGuard { shared, batch_key, fetch } = &self.guard;
        let halves = || {
            let size = shared.tenant_size(batch_key, 0);
            shared.lock_queues().get_mut(batch_key)?.split(fetch, |range| size.pages(range.len()))
        };
        match batch_key.can_depend_on_day(&self.error).then(halves).flatten() {
            Some(halves) => {
                let guard = |fetch| FetchGuard { shared: Arc::clone(shared), batch_key: batch_key.clone(), fetch };
                halves.map(guard).into()
            }
            None => self.fail(),
        }
    }

    /// Delivers the error.
    fn fail(self) -> Vec<FetchGuard> {
        self.guard.deliver(&Err(self.error));
        Vec::new()
    }
}
