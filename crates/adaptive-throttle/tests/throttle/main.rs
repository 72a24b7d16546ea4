//! Tests of the controller in virtual time and of the throttle in tokio's paused time.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod rate_controller;
mod throttle;
