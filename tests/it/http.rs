//! The HTTP server and its pipeline: caching, limits, TLS, shutdown, metrics, traces and logs.

mod caching;
mod connection_limit;
mod cross_site;
mod dashboard;
mod hosts;
mod metrics;
mod public_path;
mod ranges;
mod server;
mod shutdown;
mod traces;
mod unread_responses;
