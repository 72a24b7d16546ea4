//! A simulated Feishu: an HTTP server with a generated tenant, for tests and demos.
//!
//! It serves the two endpoints that a client of Feishu's `admin_user_stats` API needs, and reproduces Feishu's
//! documented and observed behaviour: rate limits, a monthly quota, late and revised days, values whose types differ
//! from the documentation. [`Simulator::faults`] injects errors, [`Simulator::call_log`] records all calls, and
//! [`Simulator::tenant`] returns the rows that a client should receive.
//!
//! The crate shares no code with the gateway. Field names and codes come from Feishu's documentation alone: with a
//! shared table, a misspelled field would be wrong on both sides and no test would notice.
//!
//! The binary `feishu-simulator` runs the simulator alone; see `feishu-simulator --help`.
//!
//! # Example
//!
//! ```
//! use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, Simulator, SimulatorConfig, TenantGeo};
//! use jiff::{Timestamp, civil::date};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let now: Timestamp = "2026-11-22T04:00:00Z".parse()?;
//! let config = SimulatorConfig { users: 20, limits: "50/s".parse()?, ..SimulatorConfig::default() };
//! let simulator = Simulator::start(config, move || now).await?;
//!
//! // The next two calls with a page token receive error 2200 (internal error).
//! let fault = InjectedFault::new(FaultKind::error_code(2200)).on(FaultTarget::LaterPages).times(2);
//! simulator.faults().push(fault);
//!
//! // … let a client call `simulator.base_url()` and compare its result with the expected rows …
//! let expected = simulator.tenant().rows_of(TenantGeo::Cn, date(2026, 11, 21));
//!
//! assert!(expected.len() <= 20);
//! assert_eq!(simulator.call_log().stats_calls().len(), 0);
//! simulator.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod api;
mod args;
mod call_log;
mod clock;
mod config;
mod date;
mod faults;
mod geo;
mod id_kind;
mod permutation;
pub mod rate_limit;
mod seeded_rng;
mod server;
mod tenant;

pub use self::{
    api::StatsRequest,
    args::SimulateArgs,
    call_log::{CallLog, CallRecord, CallResult, Endpoint},
    config::{
        AccessTokenStyle, OverLimitStatus, PageTokenStyle, RateLimitHeaders, ResetHeader, RowOrder, SchemaDrift,
        SimulatorConfig, TenantProfile,
    },
    faults::{FaultInjector, FaultKind, FaultTarget, InjectedFault, PageFault},
    geo::{ParseTenantGeoError, TenantGeo},
    id_kind::{DepartmentIdKind, ParseIdKindError, UserIdKind},
    rate_limit::RateLimits,
    server::Simulator,
    tenant::{GroundTruthRow, ProductionStates, Tenant, TenantDepartment, UsageCounters},
};
