//! The state shared by all handlers and layers.

use std::{
    num::{NonZero, NonZeroU64},
    sync::Arc,
    time::Duration,
};

use axum::http::HeaderValue;
use jiff::Timestamp;
use rayon::ThreadPoolBuildError;
use reqwest::Url;
use tokio::time::Instant;
use tower_http::cors::CorsLayer;

use super::{
    allowed_origins::AllowedOrigins,
    body_budget::BodyBudget,
    caching::{ResponseCache, ResponseStore},
    cors::cors_layer,
    dashboard::DashboardConfig,
    draining::Draining,
    drop_in::AccessTokens,
    export_limits::ExportLimits,
    export_pool::ExportPool,
    http_metrics::HttpMetrics,
    log_filter::LogFilter,
    prefer::Preference,
};
use crate::{
    access::{Authenticator, Caller},
    feishu::quota::MonthlyQuota,
    fleet::FleetLink,
    model::{Clock, Geo},
    prometheus::{Collector, Collectors},
    query::{BackfillJobs, LoadOptions, QueryEngine, ViewEngines},
    store::Archive,
};

/// How long a request with `Prefer: respond-async` waits for days: enough to read them from the archive, not to fetch
/// them from Feishu.
const RESPOND_ASYNC_WAIT: Duration = Duration::from_millis(200);

/// The state shared by all handlers and layers. Clones share it.
#[derive(Clone)]
pub struct ApiState {
    /// Who the callers are, and what they may see.
    pub access: Arc<AccessState>,
    /// The days, and the responses made from them.
    pub data: Arc<DataState>,
    /// Metrics, logs and the shutdown.
    pub operations: Arc<OperationsState>,
}

/// Who the callers are, and what they may see.
pub struct AccessState {
    /// Authenticates callers.
    pub authenticator: Arc<Authenticator>,
    /// Issues and verifies the access tokens of the drop-in.
    pub access_tokens: AccessTokens,
    /// Decides whether credentials have expired.
    pub clock: Arc<dyn Clock>,
    /// Minimum size of a group whose figures are shown to callers without `users:read`, in people; `None`: no minimum.
    pub min_group_size: Option<NonZeroU64>,
    /// The CORS layer; `None` if no origin is allowed.
    pub cors: Option<CorsLayer>,
    /// Origins whose web pages may send requests (CORS).
    pub allowed_origins: AllowedOrigins,
}

/// The days, and the responses made from them.
pub struct DataState {
    /// Query engines, one for each view of the data.
    pub views: ViewEngines,
    /// The archive of days; `None` if none is configured.
    pub archive: Option<Arc<Archive>>,
    /// Backfill jobs.
    pub backfills: BackfillJobs,
    /// The other replicas; `None` if there are none.
    pub fleet: Option<FleetLink>,
    /// The monthly quota of upstream calls.
    pub quota: Arc<MonthlyQuota>,
    /// The geos that are served; the first is the home geo of the tenant.
    pub geos: Arc<[Geo]>,
    /// How long a request waits for days at most.
    pub request_timeout: Duration,
    /// Whether the drop-in applies the extended limits without the request header `X-Pulse-Extended`.
    pub drop_in_extended: bool,
    /// The cache of responses.
    pub response_cache: Arc<ResponseCache>,
    /// The thread pool that writes exports.
    pub export_pool: ExportPool,
    /// How many exports may be in progress.
    pub export_limits: ExportLimits,
    /// How many bytes large responses may have together.
    pub body_budget: BodyBudget,
}

/// Metrics, logs and the shutdown.
pub struct OperationsState {
    /// The collectors behind `/metrics`.
    pub collectors: Collectors,
    /// Metrics of HTTP requests.
    pub http_metrics: Arc<HttpMetrics>,
    /// Where `/metrics` is served.
    pub metrics_listener: MetricsListener,
    /// Host names that the operations listener serves beside addresses and names of the loopback interface.
    pub admin_hosts: Arc<[String]>,
    /// The URL at which callers reach the gateway through a reverse proxy; `None` if it is its own address.
    pub public_url: Option<Url>,
    /// The settings of the dashboard.
    pub dashboard: DashboardConfig,
    /// Maximum number of concurrent requests.
    pub max_requests: NonZero<usize>,
    /// Changes the log filter at run time; `None` if nothing is logged.
    pub log_filter: Option<LogFilter>,
    /// Set when the shutdown begins.
    pub draining: Draining,
}

/// The listener that serves `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsListener {
    /// The main listener.
    #[default]
    Main,
    /// The operations listener.
    Operations,
}

/// The components that the API is made of.
pub struct ApiParts {
    /// Query engines, one for each view of the data.
    pub views: ViewEngines,
    /// The archive of days; `None` if none is configured.
    pub archive: Option<Arc<Archive>>,
    /// Backfill jobs.
    pub backfills: BackfillJobs,
    /// The other replicas; `None` if there are none.
    pub fleet: Option<FleetLink>,
    /// The monthly quota of upstream calls.
    pub quota: Arc<MonthlyQuota>,
    /// Authenticates callers.
    pub authenticator: Arc<Authenticator>,
    /// Issues and verifies the access tokens of the drop-in.
    pub access_tokens: AccessTokens,
    /// Decides whether credentials have expired.
    pub clock: Arc<dyn Clock>,
    /// The collectors of the components that the API does not contain.
    pub collectors: Vec<Arc<dyn Collector>>,
}

/// The settings of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The geos that are served; the first is the home geo of the tenant.
    pub geos: Vec<Geo>,
    /// How long a request waits for days at most.
    pub request_timeout: Duration,
    /// Maximum number of concurrent requests.
    pub max_requests: NonZero<usize>,
    /// Maximum number of concurrent exports of rows.
    pub max_exports: NonZero<usize>,
    /// Memory limit of cached responses, in bytes.
    pub response_cache_bytes: u64,
    /// Maximum size of the cached responses above 4 MiB, in bytes.
    pub export_cache_bytes: u64,
    /// Limit of response bodies that clients have not read, in bytes.
    pub unread_body_bytes: u64,
    /// Minimum size of a group whose figures are shown to callers without `users:read`, in people; `None`: no minimum.
    pub min_group_size: Option<NonZeroU64>,
    /// Whether the drop-in applies the extended limits without the request header `X-Pulse-Extended`.
    pub drop_in_extended: bool,
    /// Origins whose web pages may read responses and send requests (CORS).
    pub cors_origins: Vec<HeaderValue>,
    /// Whether the same holds for web pages from the loopback interface, at any port.
    pub cors_loopback: bool,
    /// Host names that the operations listener serves beside addresses and names of the loopback interface.
    pub admin_hosts: Vec<String>,
    /// The URL at which callers reach the gateway through a reverse proxy.
    pub public_url: Option<Url>,
    /// The settings of the dashboard.
    pub dashboard: DashboardConfig,
    /// Where `/metrics` is served.
    pub metrics_listener: MetricsListener,
    /// Changes the log filter at run time; `None` if nothing is logged.
    pub log_filter: Option<LogFilter>,
}

impl ApiConfig {
    /// The default settings, without a response cache.
    #[must_use]
    pub fn new(geos: Vec<Geo>) -> Self {
        Self {
            geos,
            request_timeout: Duration::from_secs(60),
            max_requests: const { NonZero::new(1024).unwrap() },
            max_exports: const { NonZero::new(32).unwrap() },
            response_cache_bytes: 0,
            export_cache_bytes: 0,
            unread_body_bytes: 64 << 20,
            min_group_size: None,
            drop_in_extended: false,
            cors_origins: Vec::new(),
            cors_loopback: false,
            admin_hosts: Vec::new(),
            public_url: None,
            dashboard: DashboardConfig::default(),
            metrics_listener: MetricsListener::Main,
            log_filter: None,
        }
    }
}

impl ApiState {
    /// The state of an API made of these parts.
    ///
    /// # Errors
    /// If the threads for exports cannot be started.
    pub fn new(parts: ApiParts, config: ApiConfig) -> Result<Self, ThreadPoolBuildError> {
        let ApiParts { views, archive, backfills, fleet, quota, authenticator, access_tokens, clock, mut collectors } =
            parts;
        let http_metrics = Arc::<HttpMetrics>::default();
        let store = ResponseStore::new(config.response_cache_bytes, config.export_cache_bytes);
        let response_cache = Arc::new(ResponseCache::new(store, views.unfiltered().clone()));
        collectors.extend([
            http_metrics.clone() as Arc<dyn Collector>,
            response_cache.clone(),
            authenticator.clone(),
            Arc::new(backfills.clone()),
        ]);
        let data = DataState {
            views,
            archive,
            backfills,
            fleet,
            quota,
            geos: config.geos.into(),
            request_timeout: config.request_timeout,
            drop_in_extended: config.drop_in_extended,
            response_cache,
            export_pool: ExportPool::start()?,
            export_limits: ExportLimits::new(config.max_exports),
            body_budget: BodyBudget::new(config.unread_body_bytes),
        };
        let allowed_origins =
            AllowedOrigins { listed: config.cors_origins.into(), includes_loopback: config.cors_loopback };
        let access = AccessState {
            authenticator,
            access_tokens,
            clock,
            min_group_size: config.min_group_size,
            cors: cors_layer(&allowed_origins),
            allowed_origins,
        };
        let operations = OperationsState {
            collectors: Collectors::new(collectors),
            http_metrics,
            metrics_listener: config.metrics_listener,
            admin_hosts: config.admin_hosts.into(),
            public_url: config.public_url,
            dashboard: config.dashboard,
            max_requests: config.max_requests,
            log_filter: config.log_filter,
            draining: Draining::default(),
        };
        Ok(Self { access: Arc::new(access), data: Arc::new(data), operations: Arc::new(operations) })
    }

    /// Deadline and completeness of a load that begins now. `Prefer` can shorten the wait.
    #[must_use]
    pub fn load_options(&self, preference: Preference, allow_partial: bool) -> LoadOptions {
        let maximum = self.data.request_timeout;
        let default = if preference.respond_async { RESPOND_ASYNC_WAIT } else { maximum };
        let wait = preference.wait.unwrap_or(default).min(maximum);
        LoadOptions { deadline: Instant::now() + wait, allow_partial }
    }

    /// The query engine of a caller. It sees the data through the caller's view.
    pub async fn engine(&self, caller: &Caller) -> QueryEngine {
        let engine = self.data.views.engine(caller.view()).await;
        caller.id().map_or(engine.clone(), |id| engine.for_caller(id))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.data.views.unfiltered().now()
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.operations.draining.has_begun()
    }
}
