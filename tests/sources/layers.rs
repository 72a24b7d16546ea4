//! Each layer by itself above the stub, and Feishu above the simulator.

use std::sync::Arc;

use feishu_pulse::{
    feishu::{FeishuConfig, FeishuSource, throttle::ThrottleConfig, token::Credentials},
    model::{Clock, Geo, ManualClock},
    sim::{Calls, Fault, Mishap, SimConfig, Simulator},
    source::{DaySource, LoadError, Upstream},
    store::{Archive, Archived, Keep, Memory, Owner, Policy, Recall, SingleFlight, Subset},
};
use object_store::memory::InMemory;

use crate::stub::{PEOPLE, Stub};

/// A layer of the read path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Feishu,
    Archived,
    Keep,
    SingleFlight,
    Recall,
    Subset,
    /// All of them, as the gateway has them.
    Stack,
}

/// A layer to be tested, with what is below it.
pub(crate) struct Subject {
    pub(crate) source: Arc<dyn DaySource>,
    below: Below,
}

enum Below {
    Stub(Arc<Stub>),
    Feishu(Box<Simulator>),
}

impl Layer {
    /// Whether many who ask for the same day at once cost as much as one.
    pub(crate) const fn shares(self) -> bool {
        matches!(self, Self::Feishu | Self::SingleFlight | Self::Stack)
    }

    /// Whether a day that was loaded is loaded from below no more.
    pub(crate) const fn remembers(self) -> bool {
        matches!(self, Self::Archived | Self::Keep | Self::Stack)
    }

    /// Whether a load runs to its end when nobody waits for it any more.
    pub(crate) const fn outlives_its_callers(self) -> bool {
        matches!(self, Self::SingleFlight | Self::Stack)
    }

    pub(crate) async fn subject(self) -> Subject {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().expect("an instant")));
        if self == Self::Feishu {
            return feishu(clock).await;
        }
        let stub = Stub::new();
        let memory = Arc::new(Memory::new(64 << 20, Policy::default(), clock));
        let owner = Owner { app_id: "cli_a".to_owned(), upstream: "https://feishu.test".to_owned() };
        let archive = Arc::new(Archive::new(Arc::new(InMemory::new()), Arc::clone(&stub.directories), owner));
        let inner = Arc::clone(&stub);
        let source: Arc<dyn DaySource> = match self {
            Self::Feishu | Self::Archived => Arc::new(Archived::new(archive, memory, inner)),
            Self::Keep => Arc::new(Keep::new(memory, inner)),
            Self::SingleFlight => Arc::new(SingleFlight::new(inner)),
            Self::Recall => Arc::new(Recall::new(memory, inner)),
            Self::Subset => Arc::new(Subset::new(memory, inner)),
            Self::Stack => {
                let lasting = Archived::new(archive, Arc::clone(&memory), inner);
                let flight = SingleFlight::new(Keep::new(Arc::clone(&memory), lasting));
                Arc::new(Subset::new(Arc::clone(&memory), Recall::new(memory, Arc::new(flight))))
            }
        };
        Subject { source, below: Below::Stub(stub) }
    }
}

async fn feishu(clock: Arc<dyn Clock>) -> Subject {
    let people = u32::try_from(PEOPLE).expect("a few");
    let simulation = SimConfig { users: people, turnover: 0.0, ..SimConfig::default() };
    let credentials =
        Credentials { app_id: simulation.app_id.clone(), app_secret: simulation.app_secret.as_str().into() };
    let simulator = Simulator::start(simulation, Arc::clone(&clock)).await.expect("a simulator");
    let config = FeishuConfig {
        throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
        ..FeishuConfig::new(simulator.base_url().parse().expect("a URL"), credentials, Geo::Cn)
    };
    let source = FeishuSource::new(config, Arc::default(), clock).expect("a source");
    Subject { source: Arc::new(source), below: Below::Feishu(Box::new(simulator)) }
}

impl Subject {
    /// How often what is below was asked.
    pub(crate) fn loads(&self) -> usize {
        match &self.below {
            Below::Stub(stub) => stub.loads(),
            Below::Feishu(simulator) => simulator.ledger().stats_calls().len(),
        }
    }

    /// The stub below, where there is one.
    pub(crate) fn stub(&self) -> Option<&Stub> {
        match &self.below {
            Below::Stub(stub) => Some(stub),
            Below::Feishu(_) => None,
        }
    }

    /// Makes what is below forbid everything.
    pub(crate) fn forbid(&self) {
        match &self.below {
            Below::Stub(stub) => {
                let upstream = Upstream { code: Some(1_051_002), log_id: Some("a log id".into()) };
                stub.fail(Some(LoadError::Forbidden { upstream, reason: "told to".into() }));
            }
            Below::Feishu(simulator) => {
                simulator.faults().push(Fault::new(Mishap::code(1_051_002)).on(Calls::Stats).times(u32::MAX));
            }
        }
    }

    /// Ends that.
    pub(crate) fn allow(&self) {
        match &self.below {
            Below::Stub(stub) => stub.fail(None),
            Below::Feishu(simulator) => simulator.faults().clear(),
        }
    }
}
