//! Floor 6: the process. Builds the stack, serves it, and tells what it does.

mod audit_lines;
pub mod build;
mod host;
mod log_writer;
pub mod process;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod upkeep;

pub use build::{BuildError, Gateway, GatewayConfig, build};
pub use serve::{ServerConfig, serve, serve_operations, shutdown_signal};
pub use tls::{TlsFiles, UnusableTls};
