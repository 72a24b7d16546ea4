//! Floor 5: HTTP. Parses what callers ask, hands it to the engine, writes what comes back.

pub mod answer;
pub mod audit;
pub mod bounds;
pub mod caching;
pub mod compat;
mod cors;
pub mod cursor;
pub mod data_request;
pub mod docs;
pub mod envelope;
pub mod gate;
pub mod layers;
pub mod log_level;
pub mod needs;
pub mod negotiate;
pub mod ops;
pub mod params;
pub mod prefer;
pub mod problem;
pub mod request_id;
pub mod responses;
pub mod router;
pub mod selection;
pub mod state;
pub mod trace;
pub mod traffic;
pub mod v1;
pub mod work;

pub use bounds::{Bounds, Crowded};
pub use caching::Front;
pub use compat::AccessTokens;
pub use cors::cors;
pub use log_level::LogFilter;
pub use router::{MetricsPlace, openapi, operations, router};
pub use state::ApiState;
pub use traffic::Traffic;
