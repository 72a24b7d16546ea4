//! The configuration of the gateway and its server.

use std::{
    num::{NonZero, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use axum::http::HeaderValue;
use reqwest::Url;

use super::{fleet_config::FleetConfig, maintenance::MaintenanceConfig, tls::TlsFiles};
use crate::{
    access::AccessConfig,
    api::{DashboardConfig, LogFilter, MetricsListener},
    feishu::FeishuConfig,
    model::Geo,
    store::{ArchiveLocation, ArchiveOwner, DiskCacheConfig, FreshnessPolicy},
};

/// The configuration of the gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The connection to upstream.
    pub feishu: FeishuConfig,
    /// The geos to serve. The first is the tenant's own.
    pub geos: Vec<Geo>,
    /// Memory limit of cached days and responses, in bytes.
    pub cache_bytes: u64,
    /// How long a request may wait for days.
    pub request_timeout: Duration,
    /// Determines when a day can still change, and when it expires.
    pub freshness: FreshnessPolicy,
    /// The file that keeps the fetch history of days across restarts. `None`: nothing is kept.
    pub history_file: Option<PathBuf>,
    /// Where final days are archived.
    pub archive: ArchiveLocation,
    /// Keeps files of the archive, if it is in a bucket. `None`: nothing is kept.
    pub archive_cache: Option<DiskCacheConfig>,
    /// The app that owns the archive.
    pub owner: ArchiveOwner,
    /// Prefetching and deletion of days.
    pub maintenance: MaintenanceConfig,
    /// Where `/metrics` is served.
    pub metrics: MetricsListener,
    /// Whether `/metrics` includes the number of active people.
    pub business_metrics: bool,
    /// Changes the log filter at run time; `None` disables the endpoint.
    pub log_filter: Option<LogFilter>,
    /// Access control.
    pub access: AccessConfig,
    /// Figures of smaller groups of people are hidden from callers who may not see rows. `None` disables suppression.
    pub min_group_size: Option<NonZeroU64>,
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
    /// Whether drop-in callers get the wider limits without sending a header.
    pub drop_in_extended: bool,
    /// Listener, TLS and limits.
    pub server: ServerConfig,
    /// The other replicas. `None`: this is the only one.
    pub fleet: Option<FleetConfig>,
}

impl GatewayConfig {
    /// The default configuration for this upstream, without an archive. The first of the `geos` is the tenant's own.
    #[must_use]
    pub fn new(feishu: FeishuConfig, geos: Vec<Geo>) -> Self {
        let upstream = feishu.base_url.as_str().trim_end_matches('/').to_owned();
        Self {
            owner: ArchiveOwner { app_id: feishu.credentials.app_id.clone(), upstream },
            feishu,
            geos,
            cache_bytes: 1 << 30,
            request_timeout: Duration::from_secs(60),
            freshness: FreshnessPolicy::default(),
            history_file: None,
            archive: ArchiveLocation::Disabled,
            archive_cache: None,
            maintenance: MaintenanceConfig::default(),
            metrics: MetricsListener::default(),
            business_metrics: false,
            log_filter: None,
            access: AccessConfig::default(),
            min_group_size: None,
            cors_origins: Vec::new(),
            cors_loopback: false,
            admin_hosts: Vec::new(),
            public_url: None,
            dashboard: DashboardConfig::default(),
            drop_in_extended: false,
            server: ServerConfig::default(),
            fleet: None,
        }
    }
}

/// Default of [`ServerConfig::unread_limit`].
pub const DEFAULT_UNREAD_LIMIT: Duration = Duration::from_secs(60);

/// Listener, TLS and limits of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The TLS certificate and key. `None` serves plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Maximum number of concurrent connections.
    pub max_connections: NonZero<usize>,
    /// Maximum number of concurrent requests; further requests receive 503.
    pub max_requests: NonZero<usize>,
    /// Maximum number of concurrent exports of rows; further exports receive 503. A caller may have a quarter of them.
    pub max_exports: NonZero<usize>,
    /// A connection or an HTTP/2 stream whose client accepts no byte of a response for this long is closed.
    pub unread_limit: Duration,
    /// How long requests are still accepted after the shutdown signal while probes report the shutdown. Load balancers
    /// need this time to notice.
    pub drain_delay: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: const { NonZero::new(16_384).unwrap() },
            max_requests: const { NonZero::new(1024).unwrap() },
            max_exports: const { NonZero::new(32).unwrap() },
            unread_limit: DEFAULT_UNREAD_LIMIT,
            drain_delay: Duration::ZERO,
        }
    }
}
