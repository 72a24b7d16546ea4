//! Tests of the gateway through its API, with a simulated Feishu as the upstream.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sdk;
#[path = "../support/mod.rs"]
mod support;
mod truth;

mod caching;
mod calls;
mod check;
mod collapsing;
mod connection_limit;
mod drop_in;
mod drop_in_errors;
mod faulty_requests;
mod freshness;
mod limits;
mod lookahead;
mod main_job;
mod metrics;
mod openapi;
mod pages;
mod priorities;
mod process;
mod quota;
mod selection;
mod server;
mod shutdown;
mod token;
mod traces;
mod waiting;
