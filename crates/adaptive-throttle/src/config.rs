//! The settings of the throttle. None has to be changed.

/// Settings of a throttle. The default is what production uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleConfig {
    /// The highest rate in calls per second, even if the server allows more; positive. `None`: only the server's limit
    /// applies.
    pub ceiling: Option<f64>,
    /// The most calls in flight, 1 or more. Fewer are used if fewer suffice.
    pub max_in_flight: usize,
    /// The rate in calls per second while nothing is known about the limit; positive.
    pub start_rate: f64,
    /// While calls of both traffic classes wait, every n-th permit goes to a background call; 2 or more.
    pub background_every: u32,
}

/// The highest number of calls in flight by default. 64 suffice for 100 calls per second at a latency of 450 ms,
/// with headroom; each call in flight is one more that can be refused when a limit drops.
const DEFAULT_MAX_IN_FLIGHT: usize = 64;
/// The start rate by default, in calls per second: one of the lower published limits, so that most limits accept it.
const DEFAULT_START_RATE: f64 = 5.0;
/// The default share of background calls is one in 10: a backfill delays interactive calls by 10 % at most.
const DEFAULT_BACKGROUND_EVERY: u32 = 10;

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            ceiling: None,
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            start_rate: DEFAULT_START_RATE,
            background_every: DEFAULT_BACKGROUND_EVERY,
        }
    }
}
