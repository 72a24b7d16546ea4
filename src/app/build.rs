//! Builds the gateway from its configuration.

use std::{sync::Arc, time::Duration};

use rayon::ThreadPoolBuildError;
use tokio::sync::watch;

use super::{
    config::{GatewayConfig, ServerConfig},
    fleet::Fleet,
    fleet_config::{FleetConfig, FleetStoreError},
    fleet_tls::FleetTlsFiles,
    maintenance::Maintenance,
    process_metrics::ProcessCollector,
    tls::TlsError,
};
use crate::{
    access::{AccessConfigError, Authenticator},
    api::{AccessTokens, ApiConfig, ApiParts, ApiState},
    feishu::{FeishuConfig, FeishuSource, fetch_observer::FetchObserver},
    fleet::{FleetKey, FleetLink, FleetTls, ForwardToLeader, LeaderClient, Leadership, PreparedMember, Transport},
    model::Clock,
    prometheus::Collector,
    query::{BackfillJobs, Backfiller, CallCount, LatestDayMetrics, MemoryMetrics, QueryEngine, ViewEngines},
    source::{ChainCheckpoints, DaySource},
    store::{
        Archive, ArchiveLocation, ArchiveOwner, DiskCache, DiskCacheConfig, HistoryFile, Memory, ReadPath,
        archive::{ArchiveLocationError, NotACacheError, OwnershipError},
        read_path,
    },
    table::Dictionaries,
};

/// The response cache gets 1/16 of `cache_bytes`.
const RESPONSE_CACHE_DIVISOR: u64 = 16;

/// Cached responses above 4 MiB get 1/16 of `cache_bytes`: by default 64 MiB, the maximum size of one.
const EXPORT_CACHE_DIVISOR: u64 = 16;

/// Response bodies that clients have not read may take 1/8 of `cache_bytes` in addition, but at least
/// [`MIN_UNREAD_BODY_BYTES`].
const UNREAD_BODY_DIVISOR: u64 = 8;

/// The largest page of JSON has about 10 MB.
const MIN_UNREAD_BODY_BYTES: u64 = 32 << 20;

/// Rows that are being fetched may take 1/4 of `cache_bytes` in addition.
const LOADING_DIVISOR: u64 = 4;

/// Days are fetched more slowly if those that wait for the archive take more than 1/8 of `cache_bytes`.
const BACKLOG_DIVISOR: u64 = 8;

/// Monthly roll-ups get 1/20 of `cache_bytes`.
const ROLLUP_CACHE_DIVISOR: u64 = 20;

/// The department memberships that archived digests share get 1/16 of `cache_bytes`.
const MEMBERSHIP_CACHE_DIVISOR: u64 = 16;

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
    #[error(transparent)]
    Archive(#[from] ArchiveLocationError),
    /// The folder of the disk cache contains other files.
    #[error(transparent)]
    ArchiveCache(#[from] NotACacheError),
    /// The store cannot hold the record of the fleet.
    #[error(transparent)]
    FleetStore(#[from] FleetStoreError),
    /// The files of TLS between replicas cannot be used.
    #[error("{error}")]
    FleetTls {
        /// The files.
        files: FleetTlsFiles,
        /// Why they cannot be used.
        error: TlsError,
    },
    /// The thread that renews the lease cannot be started.
    #[error("the thread of the fleet cannot be started: {0}")]
    FleetThread(std::io::Error),
    /// The threads for exports cannot be started.
    #[error("the threads for exports cannot be started: {0}")]
    Threads(#[from] ThreadPoolBuildError),
    /// The archive belongs to another app or is in a newer format.
    #[error("{location}: {reason}")]
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
    /// The upstream client; `None` if days come from elsewhere, as in benchmarks.
    pub upstream: Option<FeishuSource>,
    /// This replica in its fleet; `None` if it is the only one.
    pub fleet: Option<Fleet>,
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

/// How the memory limit is shared, in bytes. The last three are in addition to it.
struct MemoryShares {
    days: u64,
    responses: u64,
    exports: u64,
    rollups: u64,
    memberships: u64,
    loading: u64,
    backlog: u64,
    unread_bodies: u64,
}

impl MemoryShares {
    fn of(cache_bytes: u64) -> Self {
        let (responses, exports) = (cache_bytes / RESPONSE_CACHE_DIVISOR, cache_bytes / EXPORT_CACHE_DIVISOR);
        let (rollups, memberships) = (cache_bytes / ROLLUP_CACHE_DIVISOR, cache_bytes / MEMBERSHIP_CACHE_DIVISOR);
        Self {
            days: cache_bytes - responses - exports - rollups - memberships,
            responses,
            exports,
            rollups,
            memberships,
            loading: cache_bytes / LOADING_DIVISOR,
            backlog: cache_bytes / BACKLOG_DIVISOR,
            unread_bodies: (cache_bytes / UNREAD_BODY_DIVISOR).max(MIN_UNREAD_BODY_BYTES),
        }
    }
}

/// Opens the archive at this location, and its disk cache; `None` if there is none.
fn open_archive(
    location: &ArchiveLocation,
    cache: Option<DiskCacheConfig>,
    owner: ArchiveOwner,
    dictionaries: &Arc<Dictionaries>,
    bytes: &MemoryShares,
    leadership: Leadership,
) -> Result<Option<Arc<Archive>>, BuildError> {
    let folder = if let ArchiveLocation::Folder(path) = location { Some(path.clone()) } else { None };
    let Some(store) = location.open()? else { return Ok(None) };
    let cache = cache.map(|cache| DiskCache::open(cache, location.to_string(), owner.clone())).transpose()?;
    let archive = Archive::with_disk_cache(store, Arc::clone(dictionaries), owner, cache)
        .in_folder(folder)
        .with_backlog_bytes(bytes.backlog)
        .with_membership_bytes(bytes.memberships)
        .with_leadership(leadership);
    Ok(Some(Arc::new(archive)))
}

/// The configuration of the upstream client with the parts of the gateway that it uses.
fn upstream_config(
    config: FeishuConfig,
    memory: &Memory,
    loading_bytes: u64,
    leadership: Leadership,
    archive: Option<Arc<Archive>>,
) -> FeishuConfig {
    let (catalog, history) = (memory.catalog().clone(), Arc::clone(memory.catalog().history()));
    let observer = FetchObserver {
        // A day is judged by the row counts around it, so all days of a fetch are recorded before one of them is judged.
        record: Arc::new(move |day| catalog.record_fetch(day)),
        rows_per_day: Arc::new(move |geo, user_id_type| history.rows_per_day(geo, user_id_type)),
    };
    let checkpoints = archive.map(|archive| archive as Arc<dyn ChainCheckpoints>);
    FeishuConfig { leadership, observer, loading_bytes, checkpoints, ..config }
}

fn watch_fleet_tls(files: FleetTlsFiles) -> Result<watch::Receiver<FleetTls>, BuildError> {
    files.clone().load_and_watch().map_err(|error| BuildError::FleetTls { files, error })
}

/// Builds the gateway. In a fleet, this replica joins it. No request is sent to upstream before the gateway receives one.
///
/// # Errors
/// [`BuildError`] if a component cannot be set up.
pub fn build(config: GatewayConfig, clock: Arc<dyn Clock>) -> Result<Gateway, BuildError> {
    let authenticator = Arc::new(Authenticator::new(&config.access)?);
    let bytes = MemoryShares::of(config.cache_bytes);
    let memory = Arc::new(Memory::new(bytes.days, config.freshness, Arc::clone(&clock)));
    if let Some(path) = config.history_file {
        HistoryFile::open(path, Arc::clone(memory.catalog().history())).spawn_writer();
    }
    let access_tokens = AccessTokens::new(&config.feishu.credentials.app_secret);
    let dictionaries = Arc::clone(memory.dictionaries());
    let key = FleetKey::new(&config.feishu.credentials.app_secret);
    let fleet = config.fleet.map(|fleet| (fleet.prepare(key.clone()), fleet));
    let leadership = fleet.as_ref().map_or_else(Leadership::sole, |(prepared, _)| prepared.leadership());
    let owner = config.owner.clone();
    let archive =
        open_archive(&config.archive, config.archive_cache, owner, &dictionaries, &bytes, leadership.clone())?;
    let feishu = upstream_config(config.feishu, &memory, bytes.loading, leadership.clone(), archive.clone());
    let feishu = FeishuSource::new(feishu, Arc::clone(&dictionaries), Arc::clone(&clock))?;
    let join = |(prepared, fleet): (PreparedMember, FleetConfig)| {
        let tls = fleet.tls.clone().map(watch_fleet_tls).transpose()?;
        let transport = tls.clone().map_or_else(Transport::plain, |tls| Ok(Transport::Tls(tls)))?;
        let store = fleet.open_store(&config.archive, &config.owner)?;
        let member = prepared.join(store, Arc::new(feishu.clone())).map_err(BuildError::FleetThread)?;
        let client = LeaderClient::new(transport, key.clone(), Arc::clone(member.replica_id()), Arc::clone(&clock));
        let link = FleetLink::new(&member, client, Arc::clone(&dictionaries), fleet.patience());
        let (reachability, unreachable_limit) = (Arc::clone(feishu.reachability()), fleet.unreachable_limit);
        Ok::<_, BuildError>(Fleet { member, link, key, tls, reachability, unreachable_limit })
    };
    let fleet = fleet.map(join).transpose()?;
    let link = fleet.as_ref().map(|fleet| fleet.link.clone());
    let quota = Arc::clone(feishu.quota());
    let throttle = feishu.throttle().clone();
    let calls: CallCount = Arc::new(move || throttle.snapshot().sent);
    let upstream_metrics: Arc<dyn Collector> = Arc::new(feishu.clone());
    let process: Arc<dyn Collector> = Arc::new(ProcessCollector::new(clock.now()));
    let upstream = Some(feishu.clone());
    let feishu: Arc<dyn DaySource> = match link.clone() {
        Some(link) => Arc::new(ForwardToLeader::new(feishu, link)),
        None => Arc::new(feishu),
    };
    let ReadPath { source, flights } = read_path(&memory, archive.as_ref(), feishu);

    let mut collectors: Vec<Arc<dyn Collector>> = vec![process, upstream_metrics, dictionaries, flights];
    collectors.extend(fleet.as_ref().map(|fleet| Arc::clone(fleet.member.metrics()) as Arc<dyn Collector>));
    collectors.extend(link.as_ref().map(|link| Arc::clone(link.client.metrics()) as Arc<dyn Collector>));
    collectors.extend(archive.clone().map(|archive| archive as Arc<dyn Collector>));
    let engine = QueryEngine::new(source, memory.catalog().clone(), bytes.rollups);
    collectors.push(Arc::new(MemoryMetrics {
        memory: Arc::clone(&memory),
        monthly_rollups: engine.monthly_rollups().clone(),
    }));
    let views = ViewEngines::new(engine.clone(), Arc::clone(&memory), authenticator.pseudonymizer().cloned());
    let backfiller = Backfiller::new(engine.clone(), archive.clone(), calls);
    collectors.push(Arc::new(LatestDayMetrics {
        memory,
        geos: config.geos.as_slice().into(),
        warm_days: config.maintenance.warm_days,
        business_metrics: config.business_metrics,
    }));
    let maintenance = Maintenance {
        config: config.maintenance,
        views: views.clone(),
        archive: archive.clone(),
        geos: config.geos.as_slice().into(),
        policy: config.freshness,
        clock: Arc::clone(&clock),
        leadership,
        member: link.as_ref().map(|link| link.member.clone()),
    };
    let parts = ApiParts {
        views,
        archive: archive.clone(),
        backfills: BackfillJobs::new(backfiller.clone()),
        fleet: link,
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
            max_exports: config.server.max_exports,
            response_cache_bytes: bytes.responses,
            export_cache_bytes: bytes.exports,
            unread_body_bytes: bytes.unread_bodies,
            min_group_size: config.min_group_size,
            drop_in_extended: config.drop_in_extended,
            cors_origins: config.cors_origins,
            cors_loopback: config.cors_loopback,
            admin_hosts: config.admin_hosts,
            public_url: config.public_url,
            dashboard: config.dashboard,
            metrics_listener: config.metrics,
            log_filter: config.log_filter,
            ..ApiConfig::new(config.geos)
        },
    )?;
    let archive = archive.map(|archive| (archive, config.archive));
    Ok(Gateway { api, archive, backfiller, maintenance, server: config.server, upstream, fleet })
}
