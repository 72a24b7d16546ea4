//! The gateway as its callers meet it, before a simulated Feishu: one file per promise.

#[path = "../support/mod.rs"]
mod support;

mod faulty_requests;
mod openapi;
