//! The throttle against hidden limits, in virtual and in paused time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod controller;
mod front;
