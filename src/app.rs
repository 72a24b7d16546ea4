//! The process: builds the gateway, serves it, and sets up logs, traces and maintenance.

mod audit_log;
pub mod binding_check;
pub mod build;
pub mod config;
mod file_descriptors;
pub mod fleet;
pub mod fleet_config;
pub mod fleet_tls;
mod log_writer;
pub mod maintenance;
pub mod process_metrics;
pub mod serve;
mod server;
pub mod shutdown_signals;
mod stream_guard;
pub mod telemetry;
pub mod tls;

pub use build::{BuildError, Gateway, build};
pub use config::{GatewayConfig, ServerConfig};
pub use fleet::serve_fleet;
pub use fleet_config::{FleetConfig, FleetStore, FleetStoreError, UNREACHABLE_LIMIT};
pub use fleet_tls::FleetTlsFiles;
pub use serve::{serve, serve_operations, serve_until};
pub use shutdown_signals::ShutdownSignals;
pub use tls::{TlsError, TlsFiles};
