//! The state shared by all handlers.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tower_http::cors::CorsLayer;

use super::{
    caching::ResponseCache, drop_in::AccessTokens, export_pool::ExportPool, http_metrics::HttpMetrics,
    log_filter::LogFilter, prefer::Preference,
};
use crate::{
    access::{Authenticator, Caller},
    feishu::quota::MonthlyQuota,
    model::Geo,
    prometheus::Collectors,
    query::{BackfillJobs, LoadOptions, QueryEngine, ViewEngines},
    store::Archive,
};

/// How long a request with `Prefer: respond-async` waits for days: enough to read them from the archive, not to fetch
/// them from Feishu.
const RESPOND_ASYNC_WAIT: Duration = Duration::from_millis(200);

/// The state shared by all handlers.
#[derive(Clone)]
pub struct ApiState {
    /// Authenticates callers.
    pub authenticator: Arc<Authenticator>,
    /// Query engines, one for each view of the data.
    pub views: ViewEngines,
    /// Backfill jobs.
    pub backfills: BackfillJobs,
    /// The archive of days; `None` if none is configured.
    pub archive: Option<Arc<Archive>>,
    /// The monthly quota of upstream calls.
    pub quota: Arc<MonthlyQuota>,
    /// The geos that are served; the first is the home geo of the tenant.
    pub geos: Arc<[Geo]>,
    /// Issues and verifies the access tokens of the drop-in.
    pub access_tokens: AccessTokens,
    /// Whether the drop-in applies the extended limits without the request header `X-Pulse-Extended`.
    pub drop_in_extended: bool,
    /// Minimum size of a group whose figures are shown to callers without `users:read`, in people; `None`: no minimum.
    pub min_group_size: Option<NonZeroU64>,
    /// The CORS layer; `None` if no origin is allowed.
    pub cors: Option<CorsLayer>,
    /// How long a request waits for days at most.
    pub request_timeout: Duration,
    /// The collectors behind `/metrics`.
    pub collectors: Collectors,
    /// Metrics of HTTP requests.
    pub http_metrics: Arc<HttpMetrics>,
    /// Changes the log filter at run time; `None` if nothing is logged.
    pub log_filter: Option<LogFilter>,
    /// The cache of responses.
    pub response_cache: Arc<ResponseCache>,
    /// The thread pool that writes exports.
    pub export_pool: ExportPool,
    /// Set when the shutdown begins.
    pub draining: Arc<AtomicBool>,
}

impl ApiState {
    /// Deadline and completeness of a load that begins now. `Prefer` can shorten the wait.
    #[must_use]
    pub fn load_options(&self, preference: Preference, allow_partial: bool) -> LoadOptions {
        let default = if preference.respond_async { RESPOND_ASYNC_WAIT } else { self.request_timeout };
        let wait = preference.wait.unwrap_or(default).min(self.request_timeout);
        LoadOptions { deadline: Instant::now() + wait, allow_partial }
    }

    /// The query engine of a caller. It sees the data through the caller's view.
    pub async fn engine(&self, caller: &Caller) -> QueryEngine {
        let engine = self.views.engine(caller.view()).await;
        caller.id().map_or(engine.clone(), |id| engine.for_caller(id))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.views.unfiltered().now()
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
