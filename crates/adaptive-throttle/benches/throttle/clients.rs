//! The clients that the throttle is compared with.

use std::time::Duration;

use adaptive_throttle::{NextSend, RateLimitHints};

use crate::simulation::SimulatedClient;

/// The most calls that [`CubicClient`] has in flight.
const WORKERS: usize = 16;
/// How long [`SequentialClient`] waits after a refusal without a reset.
const DEFAULT_RESET: Duration = Duration::from_secs(1);

/// Sends one call after the other, as the official SDKs do. After a refusal it waits for the reset.
#[derive(Debug, Default)]
pub(crate) struct SequentialClient {
    is_in_flight: bool,
    wait_until: Duration,
}

impl SimulatedClient for SequentialClient {
    fn next_send(&mut self, _: Duration) -> NextSend {
        if self.is_in_flight { NextSend::AfterReply } else { NextSend::At(self.wait_until) }
    }

    fn on_sent(&mut self, _: Duration) {
        self.is_in_flight = true;
    }

    fn on_accepted(&mut self, _: Duration, _: Duration) {
        self.is_in_flight = false;
    }

    fn on_refused(&mut self, _: Duration, now: Duration, hints: &RateLimitHints) {
        self.is_in_flight = false;
        self.wait_until = now + hints.reset.unwrap_or(DEFAULT_RESET);
    }
}

/// Sends calls evenly at a fixed rate, whatever the outcome.
#[derive(Debug)]
pub(crate) struct FixedRateClient {
    interval: f64,
    next_send: f64,
}

impl FixedRateClient {
    /// Sends `rate` calls per second.
    pub(crate) fn new(rate: f64) -> Self {
        Self { interval: 1.0 / rate, next_send: 0.0 }
    }
}

impl SimulatedClient for FixedRateClient {
    fn next_send(&mut self, _: Duration) -> NextSend {
        NextSend::At(Duration::from_secs_f64(self.next_send))
    }

    fn on_sent(&mut self, _: Duration) {
        self.next_send += self.interval;
    }

    fn on_accepted(&mut self, _: Duration, _: Duration) {}

    fn on_refused(&mut self, _: Duration, _: Duration, _: &RateLimitHints) {}
}

/// The client-side rate limiter of the AWS SDKs' adaptive retry mode: a token bucket whose fill rate follows CUBIC.
/// Has up to 16 calls in flight.
#[derive(Debug, Default)]
pub(crate) struct CubicClient {
    in_flight: usize,
    /// Whether a refusal has switched the token bucket on.
    is_limiting: bool,
    tokens: f64,
    filled_at: f64,
    fill_rate: f64,
    measured_rate: f64,
    measured_until: f64,
    replies: u32,
    last_max_rate: f64,
    throttled_at: f64,
}

impl CubicClient {
    // The constants of the AWS SDKs.
    const SCALE: f64 = 0.4;
    const BETA: f64 = 0.7;
    const SMOOTHING: f64 = 0.8;
    const MIN_FILL_RATE: f64 = 0.5;
    const MIN_CAPACITY: f64 = 1.0;
    const MAX_MEASURED_MULTIPLE: f64 = 2.0;
    /// The rate is measured over half a second.
    const MEASUREMENTS_PER_SECOND: f64 = 2.0;
    /// Tokens that rounding may leave missing.
    const TOKEN_TOLERANCE: f64 = 1e-6;

    fn refill(&mut self, now: f64) {
        let filled = self.tokens + (now - self.filled_at) * self.fill_rate;
        self.tokens = filled.min(self.fill_rate.max(Self::MIN_CAPACITY));
        self.filled_at = now;
    }

    fn measure(&mut self, now: f64) {
        let until = (now * Self::MEASUREMENTS_PER_SECOND).floor() / Self::MEASUREMENTS_PER_SECOND;
        self.replies += 1;
        if until > self.measured_until {
            let rate = f64::from(self.replies) / (until - self.measured_until);
            self.measured_rate = rate * Self::SMOOTHING + self.measured_rate * (1.0 - Self::SMOOTHING);
            self.replies = 0;
            self.measured_until = until;
        }
    }

    fn set_fill_rate(&mut self, now: f64, rate: f64) {
        self.refill(now);
        self.fill_rate = rate.min(Self::MAX_MEASURED_MULTIPLE * self.measured_rate).max(Self::MIN_FILL_RATE);
        self.tokens = self.tokens.min(self.fill_rate.max(Self::MIN_CAPACITY));
    }
}

impl SimulatedClient for CubicClient {
    fn next_send(&mut self, now: Duration) -> NextSend {
        if self.in_flight >= WORKERS {
            return NextSend::AfterReply;
        }
        if !self.is_limiting {
            return NextSend::At(now);
        }
        self.refill(now.as_secs_f64());
        let missing = (1.0 - self.tokens).max(0.0);
        let is_available = missing < Self::TOKEN_TOLERANCE;
        NextSend::At(if is_available { now } else { now + Duration::from_secs_f64(missing / self.fill_rate) })
    }

    fn on_sent(&mut self, _: Duration) {
        self.in_flight += 1;
        self.tokens -= 1.0;
    }

    fn on_accepted(&mut self, _: Duration, now: Duration) {
        let now = now.as_secs_f64();
        self.in_flight -= 1;
        self.measure(now);
        if self.is_limiting {
            let time_window = (self.last_max_rate * (1.0 - Self::BETA) / Self::SCALE).cbrt();
            let since = now - self.throttled_at - time_window;
            self.set_fill_rate(now, Self::SCALE * since.powi(3) + self.last_max_rate);
        }
    }

    fn on_refused(&mut self, _: Duration, now: Duration, _: &RateLimitHints) {
        let now = now.as_secs_f64();
        self.in_flight -= 1;
        self.measure(now);
        self.last_max_rate = if self.is_limiting { self.measured_rate.min(self.fill_rate) } else { self.measured_rate };
        self.is_limiting = true;
        self.throttled_at = now;
        self.set_fill_rate(now, self.last_max_rate * Self::BETA);
    }
}
