//! When the next call may go. Pure: time is an argument, counted from an epoch of the caller's choice.

use std::time::Duration;

use super::{config::ThrottleConfig, hints::Hints, learned::Learned};

/// When the next call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// At this time; now, where it has passed.
    At(Duration),
    /// Not before a call that is on its way has ended.
    AfterReply,
}

/// Finds the limit and stays just under it.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    max_in_flight: usize,
    ceiling: f64,
    rate: f64,
    latency: Duration,
    in_flight: usize,
    next: Duration,
    refused_at: Duration,
}

impl Controller {
    pub(super) fn new(config: &ThrottleConfig) -> Self {
        let ceiling = config.ceiling.unwrap_or(f64::INFINITY);
        Self {
            max_in_flight: config.max_in_flight.max(1),
            ceiling,
            rate: config.start_rate.min(ceiling),
            latency: Duration::from_millis(200),
            in_flight: 0,
            next: Duration::ZERO,
            refused_at: Duration::ZERO,
        }
    }

    pub(super) fn slot(&self) -> Slot {
        if self.in_flight < self.max_in_flight { Slot::At(self.next) } else { Slot::AfterReply }
    }

    pub(super) fn on_sent(&mut self, now: Duration) {
        self.in_flight += 1;
        self.next = now + Duration::from_secs_f64(1.0 / self.rate);
    }

    pub(super) fn on_lost(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(super) fn on_accepted(&mut self, sent_at: Duration, now: Duration, _hints: &Hints) {
        self.on_lost();
        self.latency = (self.latency * 7 + now.saturating_sub(sent_at)) / 8;
        self.rate = (self.rate + 1.0 / self.rate).min(self.ceiling);
    }

    pub(super) fn on_refused(&mut self, sent_at: Duration, now: Duration, hints: &Hints) {
        self.on_lost();
        if sent_at >= self.refused_at {
            self.rate = (self.rate * 0.7).max(0.01);
            self.refused_at = now;
        }
        self.next = self.next.max(now + hints.reset.unwrap_or(Duration::from_secs(1)));
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn latency(&self) -> Duration {
        self.latency
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Calls per window and the window, once known.
    pub(super) fn limit(&self) -> Option<(f64, Duration)> {
        None
    }

    pub(super) fn recall(&mut self, learned: &Learned) {
        self.rate = learned.rate().min(self.ceiling);
    }
}
