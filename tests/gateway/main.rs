//! The gateway as its callers meet it, before a simulated Feishu: one file per promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sdk;
#[path = "../support/mod.rs"]
mod support;
mod truth;

mod caching;
mod calls;
mod check;
mod collapsing;
mod crowd;
mod drain;
mod dropin;
mod dropin_errors;
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
mod token;
mod traces;
mod waiting;
