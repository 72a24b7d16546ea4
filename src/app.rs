//! Floor 6: the process. Builds the stack, serves it, and tells what it does.

pub mod build;
pub mod serve;
pub mod telemetry;

pub use build::{BuildError, Gateway, GatewayConfig, build};
pub use serve::{serve, shutdown_signal};
