//! [`FeishuSource`], the `DaySource` that fetches days from Feishu. It is the lowest layer of the read path.

use std::{path::PathBuf, sync::Arc, time::Duration};

use adaptive_throttle::{Throttle, ThrottleConfig};
use async_trait::async_trait;
use reqwest::Url;
use tokio::time::Instant;

use super::{
    call_metrics::CallMetrics,
    chain_saver::ChainSaver,
    day_batcher::DayBatcher,
    fetch_observer::FetchObserver,
    http::HttpClient,
    quota::{MonthlyCalls, MonthlyQuota, QuotaConfig},
    reachability::Reachability,
    state_file::StateFile,
    stats_client::StatsClient,
    token::{AppCredentials, TokenCache},
};
use crate::{
    fleet::{Leadership, TransferableState, record::SharedUpstreamState},
    model::{Clock, DayKey, Geo},
    prometheus::{Collector, Exposition},
    source::{CallerId, ChainCheckpoints, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay},
    table::Dictionaries,
};

/// Configuration of the upstream client.
#[derive(Clone, Debug)]
pub struct FeishuConfig {
    /// The base URL, for example `https://open.feishu.cn`.
    pub base_url: Url,
    /// The credentials of the app.
    pub credentials: AppCredentials,
    /// The tenant's own geo.
    pub home_geo: Geo,
    /// Limits on the rate of calls.
    pub throttle: ThrottleConfig,
    /// Limits on the number of calls per month.
    pub quota: QuotaConfig,
    /// The file that keeps the call count and the learned rate limit across restarts. `None`: nothing is kept.
    pub state_file: Option<PathBuf>,
    /// The right to call upstream, if there are other replicas.
    pub leadership: Leadership,
    /// Timeout of one call.
    pub call_timeout: Duration,
    /// Receives each fetched day.
    pub observer: FetchObserver,
    /// Memory limit of the rows that are being fetched, in bytes.
    pub loading_bytes: u64,
    /// Where long chains of pages are saved. `None`: a restart begins them again.
    pub checkpoints: Option<Arc<dyn ChainCheckpoints>>,
    /// Interval at which they are saved.
    pub checkpoint_interval: Duration,
}

/// Default of [`FeishuConfig::loading_bytes`].
const LOADING_BYTES: u64 = 256 << 20;

/// A renewal reserves the calls that this multiple of the present rate allows in a lease, and [`ADDITIONAL_RESERVED_CALLS`].
/// The rate can rise between two renewals.
const RESERVED_RATE_FACTOR: f64 = 1.5;
const ADDITIONAL_RESERVED_CALLS: f64 = 10.0;

/// Default of [`FeishuConfig::checkpoint_interval`].
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Default timeout of one call. A page usually takes 1 to 2 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl FeishuConfig {
    /// The default configuration for these credentials, without a state file.
    #[must_use]
    pub fn new(base_url: Url, credentials: AppCredentials, home_geo: Geo) -> Self {
        Self {
            base_url,
            credentials,
            home_geo,
            throttle: ThrottleConfig::default(),
            quota: QuotaConfig::default(),
            state_file: None,
            leadership: Leadership::sole(),
            call_timeout: CALL_TIMEOUT,
            observer: FetchObserver::default(),
            loading_bytes: LOADING_BYTES,
            checkpoints: None,
            checkpoint_interval: CHECKPOINT_INTERVAL,
        }
    }
}

/// Fetches days from Feishu.
#[derive(Clone, Debug)]
pub struct FeishuSource {
    batcher: DayBatcher,
    throttle: Throttle<CallerId>,
    quota: Arc<MonthlyQuota>,
    clock: Arc<dyn Clock>,
    tokens: TokenCache,
    call_metrics: Arc<CallMetrics>,
    reachability: Arc<Reachability>,
}

impl FeishuSource {
    /// Creates a source. It makes no call. Ids and names of the fetched rows are interned in `dictionaries`.
    ///
    /// # Errors
    /// If TLS cannot be set up. The usual cause is a missing CA bundle.
    ///
    /// # Panics
    /// If a state file is configured and there is no tokio runtime.
    pub fn new(
        config: FeishuConfig,
        dictionaries: Arc<Dictionaries>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let http = HttpClient::new(config.base_url, config.call_timeout)?;
        let reachability = Arc::clone(http.reachability());
        let tokens = TokenCache::new(http.clone(), config.credentials);
        let throttle = Throttle::new(&config.throttle);
        let quota = Arc::new(MonthlyQuota::new(config.quota, Arc::clone(&clock)));
        if let Some(path) = config.state_file {
            StateFile::open(path, Arc::clone(&quota), throttle.clone(), Arc::clone(&clock)).spawn_writer();
        }
        let client = StatsClient::new(
            http,
            tokens.clone(),
            throttle.clone(),
            Arc::clone(&quota),
            Arc::clone(&clock),
            config.home_geo,
        )
        .with_leadership(config.leadership);
        let call_metrics = Arc::clone(client.call_metrics());
        let saver = ChainSaver::new(config.checkpoints, config.checkpoint_interval, Arc::clone(&clock));
        let (observer, loading_bytes) = (config.observer, config.loading_bytes);
        Ok(Self {
            batcher: DayBatcher::new(client, dictionaries, Arc::clone(&clock), observer, loading_bytes, saver),
            throttle,
            quota,
            clock,
            tokens,
            call_metrics,
            reachability,
        })
    }

    /// For how long upstream has not replied.
    #[must_use]
    pub const fn reachability(&self) -> &Arc<Reachability> {
        &self.reachability
    }

    /// The monthly quota.
    #[must_use]
    pub const fn quota(&self) -> &Arc<MonthlyQuota> {
        &self.quota
    }

    /// Saves the long chains in flight, before the process ends.
    pub async fn save_chains(&self) {
        self.batcher.save_chains().await;
    }

    /// The throttle of all calls.
    #[must_use]
    pub const fn throttle(&self) -> &Throttle<CallerId> {
        &self.throttle
    }
}

impl FeishuSource {
    fn write_backlog_metrics(&self, exposition: &mut Exposition) {
        exposition
            .gauge("feishu_pulse_chains_in_flight", "Number of date ranges that are being fetched page by page.")
            .sample(self.batcher.active_chains() as f64);
        let calls = self.batcher.remaining_work(&[], 0.0).map(|work| work.all);
        exposition
            .gauge("feishu_pulse_backlog_calls", "Calls still needed for all requested days, if it can be estimated.")
            .optional(calls.map(|calls| calls as f64));
        let snapshot = self.throttle.snapshot();
        let seconds = calls.and_then(|calls| match calls {
            0 => Some(0.0),
            _ => snapshot.window.map(|_| self.throttle.estimate(calls as u64).as_secs_f64()),
        });
        exposition
            .gauge("feishu_pulse_backlog_seconds", "Estimated duration of these calls, if it is known.")
            .optional(seconds);
    }
}

impl Collector for FeishuSource {
    fn collect(&self, exposition: &mut Exposition) {
        self.call_metrics.collect(exposition);
        self.throttle.collect(exposition);
        self.quota.collect(exposition);
        self.tokens.collect(exposition);
        self.write_backlog_metrics(exposition);
    }
}

impl TransferableState for FeishuSource {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of calls")]
    fn export(&self, lease: Option<Duration>) -> SharedUpstreamState {
        let further_calls = lease.map_or(0.0, |lease| {
            RESERVED_RATE_FACTOR * self.throttle.snapshot().rate * lease.as_secs_f64() + ADDITIONAL_RESERVED_CALLS
        });
        let MonthlyCalls { month, calls, exhausted } = self.quota.calls_this_month();
        let reserved = self.quota.count_with(further_calls as u64);
        let limit = self.throttle.learned_limit(self.clock.now());
        let recent_calls = self.throttle.recent_calls();
        SharedUpstreamState { month: Some(month), calls, reserved, exhausted, limit, recent_calls }
    }

    fn on_stored(&self, state: &SharedUpstreamState) {
        if let Some(month) = state.month {
            self.quota.allow_until(month, state.reserved);
        }
    }

    fn import(&self, state: &SharedUpstreamState, age: Duration) {
        if let Some(month) = state.month {
            // The previous leader may have made all calls that it had reserved. Without a limit the exact count is not needed.
            let calls =
                if self.quota.monthly_limit().is_some() { state.reserved.max(state.calls) } else { state.calls };
            self.quota.restore(&MonthlyCalls { month, calls, exhausted: state.exhausted });
        }
        if let Some(limit) = &state.limit {
            self.throttle.restore(limit, self.clock.now());
        }
        self.throttle.restore_calls(&state.recent_calls, age);
    }

    fn on_lease(&self, until: Instant, share: f64) {
        self.throttle.reduce(share, until);
    }
}

#[async_trait]
impl DaySource for FeishuSource {
    async fn load(&self, key: &DayKey, _: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        self.batcher.load_day(key, context).await.map(LoadedDay::Rows)
    }

    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    async fn forecast(&self, keys: &[DayKey], _: Depth) -> Forecast {
        let (snapshot, latency) = (self.throttle.snapshot(), self.throttle.latency());
        let limit_is_known = snapshot.window.is_some();
        let work = self.batcher.remaining_work(keys, snapshot.rate * latency.as_secs_f64());
        let calls = work.map_or(keys.len(), |work| work.own) as u64;
        let longest_wait = work.map(|work| {
            let sequence = |calls: usize| latency.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX));
            let at_full_rate = self.throttle.estimate((work.own + work.others) as u64);
            // Measured: chains of lower rank use about half of the rate that is left.
            let with_gaps = at_full_rate.saturating_add(sequence(work.in_sequence)) / 2;
            at_full_rate.max(with_gaps).max(sequence(work.longest))
        });
        Forecast {
            days_to_fetch: keys.iter().map(|key| (key.geo, key.day)).collect(),
            calls,
            wait: longest_wait.filter(|_| limit_is_known),
            longest_wait,
            is_within_quota: self.quota.admits(calls),
            collapsed: false,
        }
    }
}
