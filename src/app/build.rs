//! Builds the gateway from its configuration.

use std::{sync::Arc, time::Duration};

use rayon::ThreadPoolBuildError;

use super::{
    config::{GatewayConfig, ServerConfig},
    maintenance::Maintenance,
    process_metrics::ProcessCollector,
};
use crate::{
    access::{AccessConfigError, Authenticator},
    api::{AccessTokens, ApiConfig, ApiParts, ApiState},
    feishu::FeishuSource,
    model::Clock,
    prometheus::Collector,
    query::{BackfillJobs, Backfiller, CallCount, LatestDayMetrics, QueryEngine},
    source::DaySource,
    store::{
        Archive, ArchiveLocation, ArchiveTier, FillCache, Memory, NarrowFromWhole, ReadCache, SingleFlight,
        archive::{ArchiveLocationError, OwnershipError},
    },
    table::Dictionaries,
};

/// The response cache gets 1/16 of `cache_bytes`.
const RESPONSE_CACHE_DIVISOR: u64 = 16;

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
    /// The HTTP API. [`serve`](fn@super::serve) starts its backfill jobs and the reloading of its keys file.
    pub api: ApiState,
    /// The archive of final days and its location; `None` if archiving is disabled.
    pub archive: Option<(Arc<Archive>, ArchiveLocation)>,
    /// Fills the archive.
    pub backfiller: Backfiller,
    /// Prefetching and deletion of days, started by [`Maintenance::run`].
    pub maintenance: Maintenance,
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
    let memory = Arc::new(Memory::new(
        config.cache_bytes - config.cache_bytes / RESPONSE_CACHE_DIVISOR,
        config.freshness,
        Arc::clone(&clock),
    ));
    let access_tokens = AccessTokens::new(&config.feishu.credentials.app_secret);
    let dictionaries = Arc::new(Dictionaries::default());
    let feishu = FeishuSource::new(config.feishu, Arc::clone(&dictionaries), Arc::clone(&clock))?;
    let quota = Arc::clone(feishu.quota());
    let throttle = feishu.throttle().clone();
    let calls: CallCount = Arc::new(move || throttle.snapshot().sent);
    let upstream: Arc<dyn Collector> = Arc::new(feishu.clone());
    let process: Arc<dyn Collector> = Arc::new(ProcessCollector::new(clock.now()));
    let folder = if let ArchiveLocation::Folder(path) = &config.archive { Some(path.clone()) } else { None };
    let archive = config
        .archive
        .open()?
        .map(|store| Archive::new(store, Arc::clone(&dictionaries), config.owner).in_folder(folder));
    let archive = archive.map(Arc::new);
    // The lower tiers of the read path: Feishu, behind the archive if there is one.
    let lower_tiers: Arc<dyn DaySource> = match &archive {
        Some(archive) => Arc::new(ArchiveTier::new(Arc::clone(archive), Arc::clone(&memory), feishu)),
        None => Arc::new(feishu),
    };

    // The upper tiers. At most one fetch per day runs at a time, and it always runs to its end. Its result is cached
    // even if all waiting requests were cancelled.
    let single_flight = Arc::new(SingleFlight::new(FillCache::new(Arc::clone(&memory), lower_tiers)));
    let cached = ReadCache::new(Arc::clone(&memory), Arc::clone(&single_flight));
    // The day of one person is derived from a cached day of everyone. This check comes before all fetches.
    let source: Arc<dyn DaySource> = Arc::new(NarrowFromWhole::new(Arc::clone(&memory), cached));

    let mut collectors: Vec<Arc<dyn Collector>> = vec![process, upstream, memory.clone(), dictionaries, single_flight];
    collectors.extend(archive.clone().map(|archive| archive as Arc<dyn Collector>));
    let engine = QueryEngine::new(source, memory, Arc::clone(&clock)).with_archive(archive.clone());
    let backfiller = Backfiller::new(engine.clone(), archive.clone(), calls);
    collectors.push(Arc::new(LatestDayMetrics {
        engine: engine.clone(),
        geos: config.geos.as_slice().into(),
        warm_days: config.maintenance.warm_days,
        business_metrics: config.business_metrics,
    }));
    let maintenance = Maintenance {
        config: config.maintenance,
        engine: engine.clone(),
        archive: archive.clone(),
        geos: config.geos.as_slice().into(),
        policy: config.freshness,
        clock: Arc::clone(&clock),
    };
    let parts = ApiParts {
        engine,
        archive: archive.clone(),
        backfills: BackfillJobs::new(backfiller.clone()),
        quota,
        authenticator,
        access_tokens,
        clock,
        collectors,
    };
    let api = ApiState::new(
        parts,
        ApiConfig {
            request_timeout: config.request_timeout,
            max_requests: config.server.max_requests,
            response_cache_bytes: config.cache_bytes / RESPONSE_CACHE_DIVISOR,
            min_group_size: config.min_group_size,
            drop_in_extended: config.drop_in_extended,
            cors_origins: config.cors_origins,
            metrics_listener: config.metrics,
            log_filter: config.log_filter,
            ..ApiConfig::new(config.geos)
        },
    )?;
    let archive = archive.map(|archive| (archive, config.archive));
    Ok(Gateway { api, archive, backfiller, maintenance, server: config.server })
}
