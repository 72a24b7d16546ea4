//! The whole gateway, put together in one place.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::Router;

use crate::{
    api::{self, ApiState, work::Desks},
    feishu::{FeishuConfig, FeishuSource},
    model::{Clock, Geo},
    query::Engine,
    source::DaySource,
    store::{Keep, Memory, Policy, Recall, SingleFlight, Subset},
    table::Directories,
};

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
}

/// The gateway, ready to be served.
#[derive(Debug)]
pub struct Gateway {
    /// All routes with their layers.
    pub router: Router,
    /// Set it to tell probes that the process is about to end.
    pub draining: Arc<AtomicBool>,
}

/// Builds the gateway. Nothing is asked of upstream until somebody asks the gateway.
///
/// # Errors
/// Where TLS cannot be set up, which is nearly always a missing CA bundle.
pub fn build(config: GatewayConfig, clock: Arc<dyn Clock>) -> Result<Gateway, reqwest::Error> {
    let memory = Arc::new(Memory::new(config.cache_bytes, config.freshness, Arc::clone(&clock)));
    let feishu = FeishuSource::new(config.feishu, Arc::new(Directories::default()), Arc::clone(&clock))?;

    let quota = Arc::clone(feishu.quota());

    // The read path, from the question inwards:
    let source: Arc<dyn DaySource> = Arc::new(Subset::new(
        // a person's day is taken from the day of everyone, where that is held;
        Arc::clone(&memory),
        Recall::new(
            // a day in memory is answered at once;
            Arc::clone(&memory),
            // otherwise one fetch serves all who ask for it, and runs to its end;
            Arc::new(SingleFlight::new(Keep::new(
                // what it brings is kept, though everyone may have left;
                Arc::clone(&memory),
                // and it comes from Feishu.
                feishu,
            ))),
        ),
    ));

    let draining = Arc::new(AtomicBool::new(false));
    let state = ApiState {
        engine: Engine::new(source, memory, clock),
        quota,
        geos: config.geos.into(),
        request_timeout: config.request_timeout,
        desks: Desks::default(),
        draining: Arc::clone(&draining),
    };
    Ok(Gateway { router: api::router(state), draining })
}
