//! A discrete-event simulation in virtual time: clients with an endless backlog against a server with hidden limits.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Range,
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
    /// When the server refuses every call, whatever its limits, with a reset that counts to the end of this time.
    pub(crate) outage: Range<Duration>,
    /// The headers of refusals.
    pub(crate) headers: RefusalHeaders,
    /// The shortest round trip.
    pub(crate) min_latency: Duration,
    /// The longest round trip. Each round trip is drawn evenly from the range, and 30–70 % of it is the way to the
    /// server.
    pub(crate) max_latency: Duration,
}

/// A client and the time in which it sends calls.
pub(crate) struct Participant<'a> {
    pub(crate) client: &'a mut dyn SimulatedClient,
    pub(crate) active: Range<Duration>,
}

/// The calls of one client in one simulation.
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
    WakeUp { client: usize },
}

#[derive(Clone, Copy, Debug)]
struct InFlightCall {
    client: usize,
    sent: Duration,
    replied: Duration,
    refusal: Option<RateLimitExceeded>,
}

struct ClientState<'a> {
    participant: Participant<'a>,
    wake_up_at: Option<Duration>,
    result: SimulationResult,
}

struct Simulation<'a> {
    clients: Vec<ClientState<'a>>,
    server: SimulatedServer,
    rng: Rng,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    calls: BTreeMap<usize, InFlightCall>,
    sent: usize,
}

/// Runs `client` against `server` for `length`.
pub(crate) fn simulate(
    client: &mut dyn SimulatedClient,
    server: SimulatedServer,
    length: Duration,
    seed: u64,
) -> SimulationResult {
    let participant = Participant { client, active: Duration::ZERO..length };
    simulate_together(vec![participant], server, length, seed).pop().unwrap_or_default()
}

/// Runs several clients against one `server` for `length`. The results are in the order of the participants.
pub(crate) fn simulate_together(
    participants: Vec<Participant<'_>>,
    server: SimulatedServer,
    length: Duration,
    seed: u64,
) -> Vec<SimulationResult> {
    let wake_ups = participants.iter().map(|participant| participant.active.start).enumerate();
    let events = wake_ups.map(|(client, at)| Reverse((at, Event::WakeUp { client }))).collect();
    let clients = participants.into_iter().map(|participant| ClientState {
        wake_up_at: Some(participant.active.start),
        participant,
        result: SimulationResult::default(),
    });
    let mut simulation = Simulation {
        clients: clients.collect(),
        server,
        rng: Rng::with_seed(seed),
        events,
        calls: BTreeMap::new(),
        sent: 0,
    };
    while let Some(Reverse((now, event))) = simulation.events.pop().filter(|Reverse((now, _))| *now < length) {
        simulation.handle(now, event);
    }
    simulation.clients.into_iter().map(|client| client.result).collect()
}

impl Simulation<'_> {
    fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Arrival { call } => self.handle_arrival(now, call),
            Event::Reply { call } => self.handle_reply(now, call),
            Event::WakeUp { client } => {
                let wake_up_at = &mut self.clients[client].wake_up_at;
                if *wake_up_at == Some(now) {
                    *wake_up_at = None;
                    self.send_due_calls(now, client);
                }
            }
        }
    }

    fn handle_arrival(&mut self, now: Duration, call: usize) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        entry.refusal = self.server.refusal(now);
        let arrival = Arrival { at: now, is_accepted: entry.refusal.is_none() };
        self.clients[entry.client].result.arrivals.push(arrival);
        self.events.push(Reverse((entry.replied, Event::Reply { call })));
    }

    fn handle_reply(&mut self, now: Duration, call: usize) {
        let Some(call) = self.calls.remove(&call) else { return };
        let client = &mut self.clients[call.client].participant.client;
        match call.refusal {
            None => client.on_accepted(call.sent, now),
            Some(refusal) => client.on_refused(call.sent, now, &self.server.headers.hints(&refusal)),
        }
        self.send_due_calls(now, call.client);
    }

    fn send_due_calls(&mut self, now: Duration, index: usize) {
        if self.clients[index].participant.active.end <= now {
            return;
        }
        while let NextSend::At(at) = self.clients[index].participant.client.next_send(now) {
            if at > now {
                return self.schedule_wake_up(now, at, index);
            }
            let client = &mut self.clients[index];
            client.participant.client.on_sent(now);
            client.result.sent.push(now);
            let SimulatedServer { min_latency, max_latency, .. } = self.server;
            let round_trip = min_latency + max_latency.saturating_sub(min_latency).mul_f64(self.rng.f64());
            let outward = round_trip.mul_f64(MIN_OUTWARD_SHARE + OUTWARD_SHARE_RANGE * self.rng.f64());
            let call = self.sent;
            self.sent += 1;
            let entry = InFlightCall { client: index, sent: now, replied: now + round_trip, refusal: None };
            self.calls.insert(call, entry);
            self.events.push(Reverse((now + outward, Event::Arrival { call })));
        }
    }

    fn schedule_wake_up(&mut self, now: Duration, at: Duration, client: usize) {
        let delay = Duration::from_secs_f64(MAX_TIMER_DELAY_SECONDS * self.rng.f64());
        let is_needed = |wake_up: Duration| wake_up <= now || wake_up < at || wake_up > at + WAKE_UP_TOLERANCE;
        if self.clients[client].wake_up_at.is_none_or(is_needed) {
            self.clients[client].wake_up_at = Some(at + delay);
            self.events.push(Reverse((at + delay, Event::WakeUp { client })));
        }
    }
}

impl SimulatedServer {
    /// Why a call that arrives at `now` is refused. `None`: it is accepted.
    fn refusal(&mut self, now: Duration) -> Option<RateLimitExceeded> {
        if self.outage.contains(&now) {
            let reset = self.outage.end.saturating_sub(now);
            return Some(RateLimitExceeded { reset, window: reset, calls: 1 });
        }
        let (_, limits) = self.limits.iter_mut().rfind(|(from, _)| *from <= now)?;
        limits.admit(now).err()
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

    /// The most calls refused in a row in a part of the simulation: the calls that one lockout cost.
    pub(crate) fn longest_lockout_in(&self, range: Range<Duration>) -> usize {
        let arrivals = self.arrivals.iter().filter(|arrival| range.contains(&arrival.at)).collect::<Vec<_>>();
        arrivals.split(|arrival| arrival.is_accepted).map(<[_]>::len).max().unwrap_or(0)
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
