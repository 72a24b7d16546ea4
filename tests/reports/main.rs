//! Every report against a naive count: over random small tenants without a network, and over the simulator's socket.

mod endpoints;
mod formats;
mod naive;
mod properties;
#[path = "../support/mod.rs"]
mod support;
mod tenant;
