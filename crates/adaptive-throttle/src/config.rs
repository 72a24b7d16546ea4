//! What an operator may set about the rate of upstream calls. Nothing has to be set.

/// The throttle's settings; the default is what production runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleConfig {
    /// Calls per second never to be exceeded, whatever upstream would allow; any positive number. `None`: only
    /// upstream's own limit counts.
    pub ceiling: Option<f64>,
    /// Calls that may be on their way at once, 1 or more. Fewer are used where fewer do.
    pub max_in_flight: usize,
    /// Calls per second to begin with while nothing is known of the limit; any positive number.
    pub start_rate: f64,
    /// While both kinds wait, one slot in so many goes to a background call, 2 or more.
    pub background_every: u32,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self { ceiling: None, max_in_flight: 64, start_rate: 5.0, background_every: 10 }
    }
}
