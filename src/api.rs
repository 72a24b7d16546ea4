//! Floor 5: HTTP. Parses what callers ask, hands it to the engine, writes what comes back.

pub mod cursor;
pub mod docs;
pub mod envelope;
pub mod layers;
pub mod negotiate;
pub mod ops;
pub mod params;
pub mod prefer;
pub mod problem;
pub mod responses;
pub mod router;
pub mod selection;
pub mod traffic;
pub mod v1;

pub use docs::openapi;
pub use router::{ApiState, MetricsPlace, operations, router};
pub use traffic::Traffic;
