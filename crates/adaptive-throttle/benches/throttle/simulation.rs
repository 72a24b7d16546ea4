//! A discrete-event simulation in virtual time: a client with an endless backlog against a server with hidden limits.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use adaptive_throttle::{NextSend, RateController, RateLimitHints};
use fastrand::Rng;
use feishu_simulator::rate_limit::{RateLimitExceeded, RateLimits};

/// The longest delay of a simulated timer, in seconds. Tokio's timers have a resolution of 1 ms.
const MAX_TIMER_DELAY_SECONDS: f64 = 0.0012;
/// A wake-up that is up to this much later than needed is not replaced.
const WAKE_UP_TOLERANCE: Duration = Duration::from_millis(2);
/// The shortest share of a round trip that a call needs to reach the server.
const MIN_OUTWARD_SHARE: f64 = 0.3;
/// The range of that share above its minimum, so that it is 30 % to 70 %.
const OUTWARD_SHARE_RANGE: f64 = 0.4;

/// Decides when a simulated client sends calls.
pub(crate) trait SimulatedClient {
    /// When the next call may be sent.
    fn next_send(&mut self, now: Duration) -> NextSend;
    /// A call is sent.
    fn on_sent(&mut self, now: Duration);
    /// The call sent at `sent` was accepted.
    fn on_accepted(&mut self, sent: Duration, now: Duration);
    /// The call sent at `sent` was refused.
    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints);
}

/// The rate-limit headers of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalHeaders {
    /// The limit, and the reset to the microsecond.
    Exact,
    /// The limit, and the reset in whole seconds, rounded up.
    Whole,
    /// None.
    Absent,
}

/// A simulated server and the network to it.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedServer {
    /// The limits, each with the time from which it holds; the first from zero.
    pub(crate) limits: Vec<(Duration, RateLimits)>,
    /// The headers of refusals.
    pub(crate) headers: RefusalHeaders,
    /// The shortest round trip.
    pub(crate) min_latency: Duration,
    /// The longest round trip. Each round trip is drawn evenly from the range, and 30–70 % of it is the way to the
    /// server.
    pub(crate) max_latency: Duration,
}

/// The calls of one simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulationResult {
    /// When calls were sent.
    pub(crate) sent: Vec<Duration>,
    /// The calls in the order in which they reached the server.
    pub(crate) arrivals: Vec<Arrival>,
}

/// A call that reached the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// When it reached the server.
    pub(crate) at: Duration,
    /// Whether the server accepted it.
    pub(crate) is_accepted: bool,
}

/// Numbers of calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallCounts {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { call: usize },
    Reply { call: usize },
    WakeUp,
}

#[derive(Clone, Copy, Debug)]
struct InFlightCall {
    sent: Duration,
    replied: Duration,
    refusal: Option<RateLimitExceeded>,
}

struct Simulation<'a> {
    client: &'a mut dyn SimulatedClient,
    server: SimulatedServer,
    rng: Rng,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    calls: BTreeMap<usize, InFlightCall>,
    wake_up_at: Option<Duration>,
    result: SimulationResult,
}

/// Runs `client` against `server` for `length`.
pub(crate) fn simulate(
    client: &mut dyn SimulatedClient,
    server: SimulatedServer,
    length: Duration,
    seed: u64,
) -> SimulationResult {
    let mut simulation = Simulation {
        client,
        server,
        rng: Rng::with_seed(seed),
        events: BinaryHeap::from([Reverse((Duration::ZERO, Event::WakeUp))]),
        calls: BTreeMap::new(),
        wake_up_at: Some(Duration::ZERO),
        result: SimulationResult::default(),
    };
    while let Some(Reverse((now, event))) = simulation.events.pop().filter(|Reverse((now, _))| *now < length) {
        simulation.handle(now, event);
    }
    simulation.result
}

impl Simulation<'_> {
    fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Arrival { call } => return self.handle_arrival(now, call),
            Event::Reply { call } => self.handle_reply(now, call),
            Event::WakeUp if self.wake_up_at == Some(now) => self.wake_up_at = None,
            Event::WakeUp => return,
        }
        self.send_due_calls(now);
    }

    fn handle_arrival(&mut self, now: Duration, call: usize) {
        let limits = self.server.limits.iter_mut().rfind(|(from, _)| *from <= now);
        let refusal = limits.and_then(|(_, limits)| limits.admit(now).err());
        self.result.arrivals.push(Arrival { at: now, is_accepted: refusal.is_none() });
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.refusal = refusal;
            self.events.push(Reverse((entry.replied, Event::Reply { call })));
        }
    }

    fn handle_reply(&mut self, now: Duration, call: usize) {
        let Some(call) = self.calls.remove(&call) else { return };
        match call.refusal {
            None => self.client.on_accepted(call.sent, now),
            Some(refusal) => self.client.on_refused(call.sent, now, &self.server.headers.hints(&refusal)),
        }
    }

    fn send_due_calls(&mut self, now: Duration) {
        while let NextSend::At(at) = self.client.next_send(now) {
            if at > now {
                return self.schedule_wake_up(now, at);
            }
            self.client.on_sent(now);
            let SimulatedServer { min_latency, max_latency, .. } = self.server;
            let round_trip = min_latency + max_latency.saturating_sub(min_latency).mul_f64(self.rng.f64());
            let outward = round_trip.mul_f64(MIN_OUTWARD_SHARE + OUTWARD_SHARE_RANGE * self.rng.f64());
            let call = self.result.sent.len();
            self.result.sent.push(now);
            self.calls.insert(call, InFlightCall { sent: now, replied: now + round_trip, refusal: None });
            self.events.push(Reverse((now + outward, Event::Arrival { call })));
        }
    }

    fn schedule_wake_up(&mut self, now: Duration, at: Duration) {
        let delay = Duration::from_secs_f64(MAX_TIMER_DELAY_SECONDS * self.rng.f64());
        let is_needed = |wake_up: Duration| wake_up <= now || wake_up < at || wake_up > at + WAKE_UP_TOLERANCE;
        if self.wake_up_at.is_none_or(is_needed) {
            self.wake_up_at = Some(at + delay);
            self.events.push(Reverse((at + delay, Event::WakeUp)));
        }
    }
}

impl RefusalHeaders {
    fn hints(self, refusal: &RateLimitExceeded) -> RateLimitHints {
        let limit = Some(f64::from(refusal.calls));
        let whole_seconds = refusal.reset.as_secs_f64().ceil().max(1.0);
        match self {
            Self::Exact => RateLimitHints { limit, reset: Some(refusal.reset) },
            Self::Whole => RateLimitHints { limit, reset: Some(Duration::from_secs_f64(whole_seconds)) },
            Self::Absent => RateLimitHints::default(),
        }
    }
}

impl SimulationResult {
    /// The calls that reached the server from `from` on and before `to`.
    pub(crate) fn count_between(&self, from: Duration, to: Duration) -> CallCounts {
        let arrivals = self.arrivals.iter().filter(|arrival| (from..to).contains(&arrival.at));
        arrivals.fold(CallCounts::default(), |counts, arrival| CallCounts {
            accepted: counts.accepted + usize::from(arrival.is_accepted),
            refused: counts.refused + usize::from(!arrival.is_accepted),
        })
    }

    /// The most calls refused in a row: the calls that one lockout cost.
    pub(crate) fn longest_lockout(&self) -> usize {
        self.arrivals.split(|arrival| arrival.is_accepted).map(<[_]>::len).max().unwrap_or(0)
    }
}

impl SimulatedClient for RateController {
    fn next_send(&mut self, now: Duration) -> NextSend {
        Self::next_send(self, now)
    }

    fn on_sent(&mut self, now: Duration) {
        Self::on_sent(self, now);
    }

    fn on_accepted(&mut self, sent: Duration, now: Duration) {
        Self::on_accepted(self, sent, now, &RateLimitHints::default());
    }

    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        Self::on_refused(self, sent, now, hints);
    }
}
