//! Builds the gateway from its configuration.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::Router;
use rayon::ThreadPoolBuildError;

use super::{
    config::{GatewayConfig, ServerConfig},
    maintenance::Maintenance,
    process_metrics::ProcessCollector,
};
use crate::{
    access::{AccessConfigError, Authenticator},
    api::{self, AccessTokens, ApiState, HttpMetrics, RequestLimits, ResponseCache, export_pool::ExportPool},
    feishu::FeishuSource,
    model::{Clock, Geo},
    prometheus::{Collector, Collectors},
    query::{BackfillJobs, Backfiller, CallCount, LatestDayMetrics, MemoryMetrics, QueryEngine, ViewEngines},
    store::{
        Archive, ArchiveLocation, Memory, ReadPath,
        archive::{ArchiveLocationError, OwnershipError},
        read_path,
    },
    table::Dictionaries,
};

/// The response cache gets 1/16 of `cache_bytes`.
const RESPONSE_CACHE_DIVISOR: u64 = 16;

/// Monthly roll-ups get 1/20 of `cache_bytes`.
const ROLLUP_CACHE_DIVISOR: u64 = 20;

/// Why the gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The TLS client cannot be set up. The usual cause is a missing CA bundle.
    #[error("the TLS client cannot be set up; check that a CA bundle is installed (package ca-certificates): {0:?}")]
    Tls(#[from] reqwest::Error),
    /// The access control configuration is invalid.
    #[error(transparent)]
    Access(#[from] AccessConfigError),
    /// The archive location is invalid.
    #[error("PULSE_ARCHIVE: {0}")]
    Archive(#[from] ArchiveLocationError),
    /// The threads for exports cannot be started.
    #[error("the threads for exports cannot be started: {0}")]
    Threads(#[from] ThreadPoolBuildError),
    /// The archive belongs to another app or is in a newer format.
    #[error("PULSE_ARCHIVE: {location}: {reason}")]
    ArchiveOwner {
        /// The location of the archive.
        location: ArchiveLocation,
        /// Why the archive cannot be used.
        reason: OwnershipError,
    },
}

/// The gateway, ready to be served.
pub struct Gateway {
    /// All routes with their layers.
    pub router: Router,
    /// Serves cached responses before the router runs.
    pub response_cache: Arc<ResponseCache>,
    /// The archive of final days and its location; `None` if archiving is disabled.
    pub archive: Option<(Arc<Archive>, ArchiveLocation)>,
    /// Fills the archive.
    pub backfiller: Backfiller,
    /// Backfill jobs. [`BackfillJobs::resume`] continues the jobs of an earlier process.
    pub backfill_jobs: BackfillJobs,
    /// Routes of probes and metrics, for a separate address.
    pub operations: Router,
    /// Prefetching and deletion of days, started by [`Maintenance::run`].
    pub maintenance: Maintenance,
    /// Authenticates callers, and [reloads](Authenticator::watch) the keys file.
    pub authenticator: Arc<Authenticator>,
    /// If set, probes report that the process is shutting down.
    pub draining: Arc<AtomicBool>,
    /// Listener, TLS and limits.
    pub server: ServerConfig,
}

/// How long startup waits for the ownership marker of the archive. After a timeout startup continues: requests are
/// served from Feishu, and the archive is not used until its owner is known.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);

impl Gateway {
    /// Checks that the archive belongs to this app, and writes the ownership marker.
    ///
    /// # Errors
    /// [`BuildError::ArchiveOwner`] if the archive belongs to another app. An unreachable archive is not an error.
    pub async fn claim_archive(&self) -> Result<(), BuildError> {
        let Some((archive, location)) = &self.archive else { return Ok(()) };
        match tokio::time::timeout(CLAIM_TIMEOUT, archive.claim()).await {
            Ok(Err(reason @ (OwnershipError::OtherOwner { .. } | OwnershipError::UnknownRecord { .. }))) => {
                Err(BuildError::ArchiveOwner { location: location.clone(), reason })
            }
            // The archive logs this failure, and retries.
            Ok(Ok(()) | Err(OwnershipError::Storage(_))) | Err(_) => Ok(()),
        }
    }
}

/// Builds the gateway. No request is sent to upstream before the gateway receives one.
///
/// # Errors
/// [`BuildError`] if a component cannot be set up.
pub fn build(config: GatewayConfig, clock: Arc<dyn Clock>) -> Result<Gateway, BuildError> {
    let authenticator = Arc::new(Authenticator::new(&config.access)?);
    let rollup_bytes = config.cache_bytes / ROLLUP_CACHE_DIVISOR;
    let day_bytes = config.cache_bytes - config.cache_bytes / RESPONSE_CACHE_DIVISOR - rollup_bytes;
    let memory = Arc::new(Memory::new(day_bytes, config.freshness, Arc::clone(&clock)));
    let access_tokens = AccessTokens::new(&config.feishu.credentials.app_secret);
    let dictionaries = Arc::new(Dictionaries::default());
    let feishu = FeishuSource::new(config.feishu, Arc::clone(&dictionaries), Arc::clone(&clock))?;
    let quota = Arc::clone(feishu.quota());
    let throttle = feishu.throttle().clone();
    let calls: CallCount = Arc::new(move || throttle.snapshot().sent);
    let http_metrics = Arc::<HttpMetrics>::default();
    let upstream: Arc<dyn Collector> = Arc::new(feishu.clone());
    let process: Arc<dyn Collector> = Arc::new(ProcessCollector::new(clock.now()));
    let folder = if let ArchiveLocation::Folder(path) = &config.archive { Some(path.clone()) } else { None };
    let archive = config
        .archive
        .open()?
        .map(|store| Archive::new(store, Arc::clone(&dictionaries), config.owner).in_folder(folder));
    let archive = archive.map(Arc::new);
    let ReadPath { source, flights } = read_path(&memory, archive.as_ref(), feishu);

    let draining = Arc::new(AtomicBool::new(false));
    let mut collectors: Vec<Arc<dyn Collector>> =
        vec![process, upstream, dictionaries, flights, http_metrics.clone(), authenticator.clone()];
    collectors.extend(archive.clone().map(|archive| archive as Arc<dyn Collector>));
    let engine = QueryEngine::new(source, memory.catalog().clone(), rollup_bytes);
    collectors.push(Arc::new(MemoryMetrics {
        memory: Arc::clone(&memory),
        monthly_rollups: engine.monthly_rollups().clone(),
    }));
    let views = ViewEngines::new(engine.clone(), Arc::clone(&memory), authenticator.pseudonymizer().cloned());
    let response_cache = Arc::new(ResponseCache::new(
        config.cache_bytes / RESPONSE_CACHE_DIVISOR,
        engine.clone(),
        http_metrics.clone(),
        authenticator.clone(),
    ));
    collectors.push(response_cache.clone());
    let backfiller = Backfiller::new(engine.clone(), archive.clone(), calls);
    let backfill_jobs = BackfillJobs::new(backfiller.clone());
    let geos: Arc<[Geo]> = config.geos.into();
    collectors.push(Arc::new(backfill_jobs.clone()));
    collectors.push(Arc::new(LatestDayMetrics {
        memory,
        geos: Arc::clone(&geos),
        warm_days: config.maintenance.warm_days,
        business_metrics: config.business_metrics,
    }));
    let maintenance = Maintenance {
        config: config.maintenance,
        views: views.clone(),
        archive: archive.clone(),
        geos: Arc::clone(&geos),
        policy: config.freshness,
        clock,
    };
    let state = ApiState {
        authenticator: Arc::clone(&authenticator),
        views,
        backfills: backfill_jobs.clone(),
        collectors: Collectors::new(collectors),
        http_metrics,
        response_cache: Arc::clone(&response_cache),
        archive: archive.clone(),
        quota,
        geos,
        access_tokens,
        drop_in_extended: config.drop_in_extended,
        min_group_size: config.min_group_size,
        cors: api::cors_layer(&config.cors_origins),
        request_timeout: config.request_timeout,
        log_filter: config.log_filter,
        export_pool: ExportPool::start()?,
        draining: Arc::clone(&draining),
    };
    let operations = api::operations_router(state.clone());
    let limits = RequestLimits::new(config.server.max_requests.get(), config.request_timeout);
    let router = api::router(state, config.metrics, limits);
    let (archive, server) = (archive.map(|archive| (archive, config.archive)), config.server);
    Ok(Gateway {
        router,
        response_cache,
        archive,
        backfiller,
        backfill_jobs,
        operations,
        maintenance,
        authenticator,
        draining,
        server,
    })
}
