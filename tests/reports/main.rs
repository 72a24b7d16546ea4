//! Every report equals a naive computation: on random small tenants without a network, and over HTTP against the
//! simulator.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests are tests, and of this binary alone")]

mod endpoints;
mod formats;
mod naive;
mod parquet;
mod properties;
#[path = "../support/mod.rs"]
mod support;
mod tenant;
mod worked_example;
