//! The calendar clock, injected so that tests can set it. Durations are measured with `tokio::time` instead.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// A source of the current calendar time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The system clock. No other code in this crate reads it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that changes only when it is set. For tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl ManualClock {
    /// A clock that shows `now`, truncated to milliseconds.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millisecond()))
    }

    /// Sets the clock to `now`, truncated to milliseconds.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millisecond(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}
