//! The gateway as its callers meet it, before a simulated Feishu: one file per promise.

#[path = "../support/mod.rs"]
mod support;
mod truth;

mod calls;
mod collapsing;
mod faulty_requests;
mod freshness;
mod limits;
mod openapi;
mod pages;
mod process;
mod selection;
mod token;
