//! Floor 6: the process. Builds the stack, serves it, and tells what it does.

pub mod build;
pub mod process;
pub mod serve;
pub mod telemetry;
pub mod upkeep;

pub use build::{BuildError, Gateway, GatewayConfig, build};
pub use serve::{serve, serve_operations, shutdown_signal};
