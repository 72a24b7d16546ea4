//! Finds the unknown rate limit of a server, and keeps calls just below it.
//!
//! Every call waits for a [`Permit`] from [`Throttle::acquire`] and reports its outcome to the permit. From the
//! outcomes alone, the throttle estimates the limit, stays just below it, and keeps as many calls in flight as the rate
//! needs at the measured latency. Waiting calls are ordered by [`TrafficClass`], and callers of one class take turns.
//!
//! ```
//! use adaptive_throttle::{RateLimitHints, Throttle, ThrottleConfig, TrafficClass};
//!
//! # struct Reply { status: u16, limit: Option<String>, reset: Option<String> }
//! # async fn send() -> std::io::Result<Reply> { Ok(Reply { status: 200, limit: None, reset: None }) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let throttle = Throttle::new(&ThrottleConfig::default());
//!
//! let caller = "reports";
//! let permit = throttle.acquire(caller, TrafficClass::Interactive).await;
//! match send().await {
//!     Ok(reply) => {
//!         let hints = RateLimitHints::parse(reply.limit.as_deref(), reply.reset.as_deref());
//!         if reply.status == 429 { permit.refused(&hints) } else { permit.accepted(&hints) }
//!     }
//!     // Without a reply nothing is known about the limit.
//!     Err(_) => drop(permit),
//! }
//!
//! assert_eq!(throttle.snapshot().sent, 1);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The crate has three parts: [`RateController`] decides when the next call may be sent, a queue decides which call it
//! is, and [`Throttle`] adds the clock and the waiting. The first two are pure, so that they can be simulated.
//! `docs/throttle.md` describes the method and gives measured results.
//!
//! The published limits of Feishu serve as prior knowledge: an estimate close to one of them is rounded to it. Other
//! limits are found too, more slowly.

mod call_queue;
mod config;
mod learned_limit;
mod rate_controller;
mod rate_limit_hints;
mod recent_calls;
mod throttle;

pub use call_queue::{CallerKey, TrafficClass};
pub use config::ThrottleConfig;
pub use learned_limit::LearnedLimit;
pub use rate_controller::{NextSend, RateController, WindowLimit};
pub use rate_limit_hints::RateLimitHints;
pub use recent_calls::RecentCalls;
pub use throttle::{Permit, Throttle, ThrottleSnapshot};
