//! Integration tests of the gateway in one binary, with a simulated Feishu as the upstream. The modules mirror the product.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests are tests, and of this binary alone")]

mod access;
mod api;
mod archive;
mod cli;
mod differential;
mod drop_in;
mod fleet;
mod http;
mod reports;
mod sources;
mod support;
mod upstream;
