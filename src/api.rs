//! Floor 5: HTTP. Parses what callers ask, hands it to the engine, writes what comes back.

pub mod answer;
pub mod bounds;
pub mod caching;
pub mod compat;
pub mod cursor;
pub mod data_request;
pub mod docs;
pub mod envelope;
pub mod layers;
pub mod log_level;
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

pub use bounds::Bounds;
pub use caching::Front;
pub use compat::AccessTokens;
pub use log_level::LogFilter;
pub use router::{MetricsPlace, openapi, operations, router};
pub use state::ApiState;
pub use traffic::Traffic;
