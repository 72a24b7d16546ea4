//! The HTTP server and its pipeline: caching, limits, TLS, shutdown, metrics, traces and logs.

mod caching;
mod connection_limit;
mod metrics;
mod ranges;
mod server;
mod shutdown;
mod traces;
