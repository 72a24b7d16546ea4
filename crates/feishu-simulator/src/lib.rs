//! The simulated Feishu: a real socket, an invented tenant, and everything upstream is known to do wrong.
//!
//! It knows nothing of the gateway's own reading of upstream: a misspelt field would cancel out on both sides. What it
//! says it takes from upstream's documentation alone.
//!
//! ```
//! use std::sync::Arc;
//!
//! use feishu_pulse::{
//!     model::{Geo, ManualClock},
//!     sim::{Calls, Fault, Mishap, SimConfig, Simulator},
//! };
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let clock = Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse()?));
//! let config = SimConfig { users: 20, limits: "50/s".parse()?, ..SimConfig::default() };
//! let simulator = Simulator::start(config, clock).await?;
//!
//! // Two of the calls to come will be told of an internal error.
//! simulator.faults().push(Fault::new(Mishap::code(2200)).on(Calls::LaterPages).times(2));
//! // … point the gateway at `simulator.base_url()` and ask it something …
//! let truth = simulator.tenant().rows_of(Geo::Cn, "2026-11-21".parse()?);
//!
//! assert!(truth.len() <= 20);
//! assert_eq!(simulator.ledger().stats_calls().len(), 0);
//! simulator.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api;
mod args;
mod chance;
mod config;
mod faults;
mod ledger;
pub mod limit;
mod permutation;
mod server;
mod shared;
mod tenant;

pub use self::{
    api::StatsQuery,
    args::SimulateArgs,
    config::{Drift, PageTokenStyle, RateHints, RefusalStatus, ResetHint, RowOrder, SimConfig, TokenStyle},
    faults::{Calls, Fault, Faults, Mishap, Twist},
    ledger::{Call, Ledger, Outcome, PathKind},
    limit::Limits,
    server::Simulator,
    tenant::{Counters, Department, Production, Tenant, TruthRow},
};
