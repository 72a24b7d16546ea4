//! The clients that the throttle is compared with.

use std::time::Duration;

use feishu_pulse::feishu::throttle::{Hints, controller::Slot};

use crate::simulation::Client;

/// Calls that a client with workers has in flight at once.
const WORKERS: usize = 16;

/// Pages as the official SDKs do: one call after the other; a refused one waits for its reset, or a second.
#[derive(Debug, Default)]
pub(crate) struct Sequential {
    busy: bool,
    until: Duration,
}

impl Client for Sequential {
    fn slot(&mut self, _: Duration) -> Slot {
        if self.busy { Slot::AfterReply } else { Slot::At(self.until) }
    }

    fn on_sent(&mut self, _: Duration) {
        self.busy = true;
    }

    fn on_accepted(&mut self, _: Duration, _: Duration) {
        self.busy = false;
    }

    fn on_refused(&mut self, _: Duration, now: Duration, hints: &Hints) {
        self.busy = false;
        self.until = now + hints.reset.unwrap_or(Duration::from_secs(1));
    }
}

/// Knows the limit, and sends evenly at a share of it.
#[derive(Debug)]
pub(crate) struct Informed {
    gap: f64,
    next: f64,
}

impl Informed {
    /// Sends `rate` calls a second.
    pub(crate) fn new(rate: f64) -> Self {
        Self { gap: 1.0 / rate, next: 0.0 }
    }
}

impl Client for Informed {
    fn slot(&mut self, _: Duration) -> Slot {
        Slot::At(Duration::from_secs_f64(self.next))
    }

    fn on_sent(&mut self, _: Duration) {
        self.next += self.gap;
    }

    fn on_accepted(&mut self, _: Duration, _: Duration) {}

    fn on_refused(&mut self, _: Duration, _: Duration, _: &Hints) {}
}

/// The client-side rate limiter of the AWS SDKs' adaptive retry mode (CUBIC), with 16 workers.
#[derive(Debug, Default)]
pub(crate) struct Adaptive {
    in_flight: usize,
    limiting: bool,
    tokens: f64,
    filled_at: f64,
    fill_rate: f64,
    measured: f64,
    bucket: f64,
    replies: u32,
    last_max: f64,
    throttled_at: f64,
}

impl Adaptive {
    const SCALE: f64 = 0.4;
    const BETA: f64 = 0.7;
    const SMOOTH: f64 = 0.8;
    const LEAST: f64 = 0.5;

    fn fill(&mut self, now: f64) {
        self.tokens = (self.tokens + (now - self.filled_at) * self.fill_rate).min(self.fill_rate.max(1.0));
        self.filled_at = now;
    }

    fn measure(&mut self, now: f64) {
        let bucket = (now * 2.0).floor() / 2.0;
        self.replies += 1;
        if bucket > self.bucket {
            let current = f64::from(self.replies) / (bucket - self.bucket);
            self.measured = current * Self::SMOOTH + self.measured * (1.0 - Self::SMOOTH);
            self.replies = 0;
            self.bucket = bucket;
        }
    }

    fn adapt(&mut self, now: f64, rate: f64) {
        self.fill(now);
        self.fill_rate = rate.min(2.0 * self.measured).max(Self::LEAST);
        self.tokens = self.tokens.min(self.fill_rate.max(1.0));
    }
}

impl Client for Adaptive {
    fn slot(&mut self, now: Duration) -> Slot {
        if self.in_flight >= WORKERS {
            return Slot::AfterReply;
        }
        if !self.limiting {
            return Slot::At(now);
        }
        self.fill(now.as_secs_f64());
        let missing = (1.0 - self.tokens).max(0.0);
        Slot::At(if missing < 1e-6 { now } else { now + Duration::from_secs_f64(missing / self.fill_rate) })
    }

    fn on_sent(&mut self, _: Duration) {
        self.in_flight += 1;
        self.tokens -= 1.0;
    }

    fn on_accepted(&mut self, _: Duration, now: Duration) {
        let now = now.as_secs_f64();
        self.in_flight -= 1;
        self.measure(now);
        if self.limiting {
            let window = (self.last_max * (1.0 - Self::BETA) / Self::SCALE).cbrt();
            let since = now - self.throttled_at - window;
            self.adapt(now, Self::SCALE * since.powi(3) + self.last_max);
        }
    }

    fn on_refused(&mut self, _: Duration, now: Duration, _: &Hints) {
        let now = now.as_secs_f64();
        self.in_flight -= 1;
        self.measure(now);
        self.last_max = if self.limiting { self.measured.min(self.fill_rate) } else { self.measured };
        self.limiting = true;
        self.throttled_at = now;
        self.adapt(now, self.last_max * Self::BETA);
    }
}
