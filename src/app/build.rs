//! The whole gateway, put together in one place.

use std::{
    num::NonZeroU64,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::{Router, http::HeaderValue};
use rayon::ThreadPoolBuildError;

use super::{
    process::Process,
    serve::ServerConfig,
    upkeep::{Upkeep, UpkeepConfig},
};
use crate::{
    access::{AccessConfig, Gatekeeper, UnusableAccess},
    api::{self, AccessTokens, ApiState, Bounds, Front, LogFilter, MetricsPlace, Traffic, work::Desks},
    feishu::{FeishuConfig, FeishuSource},
    meter::{Meter, Meters},
    model::{Clock, Geo},
    query::{Backfills, CallCount, Engine, Filler, Newest, Views},
    source::DaySource,
    store::{
        Archive, Archived, Keep, Location, Memory, Owner, Policy, Recall, SingleFlight, Subset,
        archive::{NotOurs, UnusableLocation},
    },
    table::Directories,
};

/// The share of the memory that whole answers may take.
const ANSWERS: u64 = 16;

/// Everything that can be set, as the parts want it.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How upstream is reached.
    pub feishu: FeishuConfig,
    /// The geos that are served; the first is the tenant's own.
    pub geos: Vec<Geo>,
    /// Bytes of days that memory may hold.
    pub cache_bytes: u64,
    /// How long a request may wait for days.
    pub request_timeout: Duration,
    /// When a day can still change.
    pub freshness: Policy,
    /// Where final days are archived.
    pub archive: Location,
    /// Who archives there.
    pub owner: Owner,
    /// What is done though nobody has asked.
    pub upkeep: UpkeepConfig,
    /// Where `/metrics` is served.
    pub metrics: MetricsPlace,
    /// Whether it tells how many people are active.
    pub business_metrics: bool,
    /// Changes what is logged, where the caller lets others do so.
    pub log_filter: Option<LogFilter>,
    /// How access is controlled.
    pub access: AccessConfig,
    /// The size of the smallest group of people whose figures are shown to callers who may not see rows; `None`: any.
    pub least_group: Option<NonZeroU64>,
    /// Origins whose web pages may read answers.
    pub cors_origins: Vec<HeaderValue>,
    /// Whether callers with an official SDK get the wider limits without asking for them.
    pub drop_in_extended: bool,
    /// How all of it is served.
    pub server: ServerConfig,
}

impl GatewayConfig {
    /// A gateway before that Feishu, in every other way as by default. The first of the `geos` is the tenant's own; without
    /// an archive.
    #[must_use]
    pub fn new(feishu: FeishuConfig, geos: Vec<Geo>) -> Self {
        let upstream = feishu.base_url.as_str().trim_end_matches('/').to_owned();
        Self {
            owner: Owner { app_id: feishu.credentials.app_id.clone(), upstream },
            feishu,
            geos,
            cache_bytes: 1 << 30,
            request_timeout: Duration::from_secs(60),
            freshness: Policy::default(),
            archive: Location::Nowhere,
            upkeep: UpkeepConfig::default(),
            metrics: MetricsPlace::default(),
            business_metrics: false,
            log_filter: None,
            access: AccessConfig::default(),
            least_group: None,
            cors_origins: Vec::new(),
            drop_in_extended: false,
            server: ServerConfig::default(),
        }
    }
}

/// Why a gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up, which is nearly always a missing CA bundle.
    #[error("TLS cannot be set up; is there a CA bundle (package ca-certificates)? {0:?}")]
    Tls(#[from] reqwest::Error),
    /// Access cannot be controlled as it is set.
    #[error(transparent)]
    Access(#[from] UnusableAccess),
    /// The place of the archive cannot be used.
    #[error("PULSE_ARCHIVE: {0}")]
    Archive(#[from] UnusableLocation),
    /// There are no threads to write exports.
    #[error("threads for exports: {0}")]
    Threads(#[from] ThreadPoolBuildError),
    /// The archive is somebody else's.
    #[error("PULSE_ARCHIVE: {location}: {reason}")]
    NotOurs {
        /// The place of the archive.
        location: Location,
        /// Whose it is.
        reason: NotOurs,
    },
}

/// The gateway, ready to be served.
pub struct Gateway {
    /// All routes with their layers.
    pub router: Router,
    /// Answers before the routes do, where it can.
    pub front: Arc<Front>,
    /// Where final days are kept, with its place; `None` where they are not.
    pub archive: Option<(Arc<Archive>, Location)>,
    /// Fills the archive.
    pub filler: Filler,
    /// The same as jobs. Those that an earlier process left are taken up by [`Backfills::resume`].
    pub backfills: Backfills,
    /// Probes and metrics alone, for an address of their own.
    pub operations: Router,
    /// What is to be done though nobody has asked, once it [runs](Upkeep::run).
    pub upkeep: Upkeep,
    /// Decides who is let in, and [watches](Gatekeeper::watch) its keys.
    pub gatekeeper: Arc<Gatekeeper>,
    /// Set it to tell probes that the process is about to end.
    pub draining: Arc<AtomicBool>,
    /// How it is to be served.
    pub server: ServerConfig,
}

/// How long a start waits for the archive to say whose it is. Longer than that, it fails: then requests are answered
/// from Feishu, and nothing is read or written before it has said so.
const CLAIMING: Duration = Duration::from_secs(3);

impl Gateway {
    /// Sees that the archive is not somebody else's, and marks it as ours.
    ///
    /// # Errors
    /// [`BuildError::NotOurs`]. An archive that cannot be asked is no error.
    pub async fn claim_archive(&self) -> Result<(), BuildError> {
        let Some((archive, location)) = &self.archive else { return Ok(()) };
        match tokio::time::timeout(CLAIMING, archive.claim()).await {
            Ok(Err(reason @ (NotOurs::Another { .. } | NotOurs::Unknown { .. }))) => {
                Err(BuildError::NotOurs { location: location.clone(), reason })
            }
            // Whatever is wrong has been logged, or will be when it is known.
            Ok(Ok(()) | Err(NotOurs::NotDone(_))) | Err(_) => Ok(()),
        }
    }
}

/// Builds the gateway. Nothing is asked of upstream until somebody asks the gateway.
///
/// # Errors
/// [`BuildError`] says what cannot be set up.
pub fn build(config: GatewayConfig, clock: Arc<dyn Clock>) -> Result<Gateway, BuildError> {
    let gatekeeper = Arc::new(Gatekeeper::new(&config.access)?);
    let memory =
        Arc::new(Memory::new(config.cache_bytes - config.cache_bytes / ANSWERS, config.freshness, Arc::clone(&clock)));
    let access_tokens = AccessTokens::new(&config.feishu.credentials.app_secret);
    let directories = Arc::new(Directories::default());
    let feishu = FeishuSource::new(config.feishu, Arc::clone(&directories), Arc::clone(&clock))?;
    let quota = Arc::clone(feishu.quota());
    let throttle = feishu.throttle().clone();
    let calls: CallCount = Arc::new(move || throttle.snapshot().sent);
    let traffic = Arc::<Traffic>::default();
    let upstream: Arc<dyn Meter> = Arc::new(feishu.clone());
    let process: Arc<dyn Meter> = Arc::new(Process::new(clock.now()));
    let folder = if let Location::Folder(path) = &config.archive { Some(path.clone()) } else { None };
    let archive = config
        .archive
        .open()?
        .map(|store| Archive::new(store, Arc::clone(&directories), config.owner).in_folder(folder));
    let archive = archive.map(Arc::new);
    // The bottom of the read path: Feishu, behind what outlives the process, where anything shall.
    let lasting: Arc<dyn DaySource> = match &archive {
        Some(archive) => Arc::new(Archived::new(Arc::clone(archive), Arc::clone(&memory), feishu)),
        None => Arc::new(feishu),
    };

    // The read path, from Feishu outwards. One fetch serves all who ask for a day, and runs to its end;
    let flight = Arc::new(SingleFlight::new(Keep::new(
        // what it brings is kept, though everyone may have left;
        Arc::clone(&memory),
        // and it comes from the archive, or from Feishu.
        lasting,
    )));
    // Before anything is fetched,
    let source: Arc<dyn DaySource> = Arc::new(Subset::new(
        // a person's day is taken from the day of everyone, where that is held;
        Arc::clone(&memory),
        Recall::new(
            // a day in memory is answered at once;
            Arc::clone(&memory),
            // otherwise it is fetched.
            Arc::clone(&flight),
        ),
    ));

    let draining = Arc::new(AtomicBool::new(false));
    let mut meters: Vec<Arc<dyn Meter>> =
        vec![process, upstream, memory.clone(), directories, flight, traffic.clone(), gatekeeper.clone()];
    meters.extend(archive.clone().map(|archive| archive as Arc<dyn Meter>));
    let engine = Engine::new(source, memory, Arc::clone(&clock)).with_archive(archive.clone());
    let front = Arc::new(Front::new(config.cache_bytes / ANSWERS, engine.clone(), traffic.clone(), gatekeeper.clone()));
    meters.push(front.clone());
    let filler = Filler::new(engine.clone(), archive.clone(), calls);
    let backfills = Backfills::new(filler.clone());
    let geos: Arc<[Geo]> = config.geos.into();
    meters.push(Arc::new(backfills.clone()));
    meters.push(Arc::new(Newest {
        engine: engine.clone(),
        geos: Arc::clone(&geos),
        warm_days: config.upkeep.warm_days,
        business: config.business_metrics,
    }));
    let upkeep = Upkeep {
        config: config.upkeep,
        engine: engine.clone(),
        archive: archive.clone(),
        geos: Arc::clone(&geos),
        policy: config.freshness,
        clock,
    };
    let state = ApiState {
        gatekeeper: Arc::clone(&gatekeeper),
        views: Views::new(engine, gatekeeper.pseudonyms().cloned()),
        backfills: backfills.clone(),
        meters: Meters::new(meters),
        traffic,
        front: Arc::clone(&front),
        archive: archive.clone(),
        quota,
        geos,
        access_tokens,
        drop_in_extended: config.drop_in_extended,
        least_group: config.least_group,
        cors: api::cors(&config.cors_origins),
        request_timeout: config.request_timeout,
        log_filter: config.log_filter,
        desks: Desks::open()?,
        draining: Arc::clone(&draining),
    };
    let operations = api::operations(state.clone());
    let bounds = Bounds::new(config.server.max_requests.get(), config.request_timeout);
    let router = api::router(state, config.metrics, bounds);
    let (archive, server) = (archive.map(|archive| (archive, config.archive)), config.server);
    Ok(Gateway { router, front, archive, filler, backfills, operations, upkeep, gatekeeper, draining, server })
}
