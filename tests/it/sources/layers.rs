//! The layers under test: each above a stub source, and the Feishu source above the simulator.

use std::sync::Arc;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    feishu::{FeishuConfig, FeishuSource, token::AppCredentials},
    model::{Clock, Geo, ManualClock},
    source::{DaySource, Depth, LoadError, UpstreamDetail},
    store::{
        Archive, ArchiveOwner, ArchiveTier, FillCache, FilteredView, FreshnessPolicy, Memory, NarrowFromWhole,
        ReadCache, SingleFlight, read_path,
    },
    table::AccessView,
};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, Simulator, SimulatorConfig};
use object_store::memory::InMemory;

use crate::sources::stub::{PEOPLE, Stub};

/// A layer of the read path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Feishu,
    ArchiveTier,
    FillCache,
    SingleFlight,
    ReadCache,
    NarrowFromWhole,
    FilteredView,
    /// All layers above the stub, in the gateway's order.
    Stack,
    /// All layers of a view above all layers of the whole days.
    ViewStack,
}

/// A layer under test, with the source below it.
pub(crate) struct Subject {
    pub(crate) source: Arc<dyn DaySource>,
    below: Below,
}

enum Below {
    Stub(Arc<Stub>),
    Feishu(Box<Simulator>),
}

impl Layer {
    /// Whether concurrent loads of the same day share one load from the source below.
    pub(crate) const fn is_single_flight(self) -> bool {
        matches!(self, Self::Feishu | Self::SingleFlight | Self::Stack | Self::ViewStack)
    }

    /// Whether a day that was loaded at `depth` is not loaded from the source below again.
    pub(crate) const fn stores_days(self, depth: Depth) -> bool {
        match self {
            Self::ArchiveTier | Self::FillCache | Self::Stack | Self::ViewStack => true,
            // It stores the digests that it computes from rows.
            Self::ReadCache => matches!(depth, Depth::Digest),
            Self::Feishu | Self::SingleFlight | Self::NarrowFromWhole | Self::FilteredView => false,
        }
    }

    /// Whether a loaded day is in memory afterwards.
    pub(crate) const fn has_stored_days(self) -> bool {
        matches!(self, Self::Stack | Self::ViewStack)
    }

    /// Whether a load runs to its end after all callers were dropped.
    pub(crate) const fn survives_dropped_callers(self) -> bool {
        matches!(self, Self::SingleFlight | Self::Stack | Self::ViewStack)
    }

    pub(crate) async fn subject(self) -> Subject {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().expect("an instant")));
        if self == Self::Feishu {
            return feishu(clock).await;
        }
        let stub = Stub::new();
        let memory = Arc::new(Memory::new(64 << 20, FreshnessPolicy::default(), clock));
        let owner = ArchiveOwner { app_id: "cli_a".to_owned(), upstream: "https://feishu.test".to_owned() };
        let archive = Arc::new(Archive::new(Arc::new(InMemory::new()), Arc::clone(&stub.dictionaries), owner));
        let inner = Arc::clone(&stub);
        let source: Arc<dyn DaySource> = match self {
            Self::Feishu | Self::ArchiveTier => Arc::new(ArchiveTier::new(archive, memory.catalog().clone(), inner)),
            Self::FillCache => Arc::new(FillCache::new(memory, inner)),
            Self::SingleFlight => Arc::new(SingleFlight::new(inner)),
            Self::ReadCache => Arc::new(ReadCache::new(memory, inner)),
            Self::NarrowFromWhole => Arc::new(NarrowFromWhole::new(memory, inner)),
            Self::FilteredView => Arc::new(FilteredView::new(AccessView::default(), None, Arc::default(), inner)),
            Self::Stack => read_path(&memory, Some(&archive), inner).source,
            Self::ViewStack => {
                let whole = read_path(&memory, Some(&archive), inner).source;
                let filtered = FilteredView::new(AccessView::default(), None, Arc::default(), whole);
                read_path(&Arc::new(memory.for_new_view()), None, filtered).source
            }
        };
        Subject { source, below: Below::Stub(stub) }
    }
}

async fn feishu(clock: Arc<dyn Clock>) -> Subject {
    let people = u32::try_from(PEOPLE).expect("a few");
    let simulation = SimulatorConfig { users: people, turnover: 0.0, ..SimulatorConfig::default() };
    let credentials =
        AppCredentials { app_id: simulation.app_id.clone(), app_secret: simulation.app_secret.as_str().into() };
    let simulator = Simulator::start(simulation, {
        let clock = Arc::clone(&clock);
        move || clock.now()
    })
    .await
    .expect("a simulator");
    let config = FeishuConfig {
        throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
        ..FeishuConfig::new(simulator.base_url().parse().expect("a URL"), credentials, Geo::Cn)
    };
    let source = FeishuSource::new(config, Arc::default(), clock).expect("a source");
    Subject { source: Arc::new(source), below: Below::Feishu(Box::new(simulator)) }
}

impl Subject {
    /// Number of loads from the source below.
    pub(crate) fn loads(&self) -> usize {
        match &self.below {
            Below::Stub(stub) => stub.loads(),
            Below::Feishu(simulator) => simulator.call_log().stats_calls().len(),
        }
    }

    /// The stub, if it is the source below.
    pub(crate) fn stub(&self) -> Option<&Stub> {
        match &self.below {
            Below::Stub(stub) => Some(stub),
            Below::Feishu(_) => None,
        }
    }

    /// Makes the source below forbid all requests.
    pub(crate) fn forbid(&self) {
        match &self.below {
            Below::Stub(stub) => {
                let upstream = UpstreamDetail { code: Some(1_051_002), log_id: Some("a log id".into()) };
                stub.fail(Some(LoadError::Forbidden { upstream, reason: "configured to fail".into() }));
            }
            Below::Feishu(simulator) => {
                simulator
                    .faults()
                    .push(InjectedFault::new(FaultKind::error_code(1_051_002)).on(FaultTarget::Stats).times(u32::MAX));
            }
        }
    }

    /// Reverts [`Self::forbid`].
    pub(crate) fn allow(&self) {
        match &self.below {
            Below::Stub(stub) => stub.fail(None),
            Below::Feishu(simulator) => simulator.faults().clear(),
        }
    }
}
