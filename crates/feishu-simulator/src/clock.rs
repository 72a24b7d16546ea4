//! The simulator's source of calendar time.

use std::fmt;

use jiff::Timestamp;

/// A function that returns the current time. A test passes a clock that it can set.
pub(crate) struct WallClock(Box<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    pub(crate) fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Box::new(now))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WallClock").field(&self.now()).finish()
    }
}
