//! A backlog that never ends, worked off against hidden limits: a discrete-event simulation in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use fastrand::Rng;
use feishu_pulse::{
    feishu::throttle::{
        Hints,
        controller::{Controller, Slot},
    },
    sim::limit::{Limits, Refusal},
};

/// Whoever decides when the next call goes.
pub(crate) trait Client {
    /// When the next call may go.
    fn slot(&mut self, now: Duration) -> Slot;
    /// A call is sent.
    fn on_sent(&mut self, now: Duration);
    /// The call sent at `sent` was taken.
    fn on_accepted(&mut self, sent: Duration, now: Duration);
    /// The call sent at `sent` was refused.
    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &Hints);
}

/// What a refusal says of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headers {
    /// The limit, and the reset to the microsecond.
    Exact,
    /// The limit, and the reset in whole seconds, rounded up.
    Whole,
    /// Nothing.
    Absent,
}

/// The simulated upstream and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// Limits, each with the time from which it holds; the first from zero.
    pub(crate) limits: Vec<(Duration, Limits)>,
    /// What refusals say.
    pub(crate) headers: Headers,
    /// The shortest and the longest round trip; every call's is drawn evenly between, and its way out is 30–70 % of it.
    pub(crate) latency: (Duration, Duration),
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// When calls were sent.
    pub(crate) sent: Vec<Duration>,
    /// When calls arrived, and whether they were taken.
    pub(crate) arrived: Vec<(Duration, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival { call: usize },
    Reply { call: usize },
    Wake,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    sent: Duration,
    replied: Duration,
    refusal: Option<Refusal>,
}

struct Simulation<'a> {
    client: &'a mut dyn Client,
    upstream: Upstream,
    chance: Rng,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    calls: BTreeMap<usize, Call>,
    wake: Option<Duration>,
    run: Run,
}

/// Lets `client` work off a backlog for `length`.
pub(crate) fn simulate(client: &mut dyn Client, upstream: Upstream, length: Duration, seed: u64) -> Run {
    let mut simulation = Simulation {
        client,
        upstream,
        chance: Rng::with_seed(seed),
        events: BinaryHeap::from([Reverse((Duration::ZERO, Event::Wake))]),
        calls: BTreeMap::new(),
        wake: Some(Duration::ZERO),
        run: Run::default(),
    };
    while let Some(Reverse((now, event))) = simulation.events.pop().filter(|Reverse((now, _))| *now < length) {
        simulation.handle(now, event);
    }
    simulation.run
}

impl Simulation<'_> {
    fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Arrival { call } => return self.arrive(now, call),
            Event::Reply { call } => self.reply(now, call),
            Event::Wake if self.wake == Some(now) => self.wake = None,
            Event::Wake => return,
        }
        self.send(now);
    }

    fn arrive(&mut self, now: Duration, call: usize) {
        let limits = self.upstream.limits.iter_mut().rfind(|(from, _)| *from <= now);
        let refusal = limits.and_then(|(_, limits)| limits.admit(now).err());
        self.run.arrived.push((now, refusal.is_none()));
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.refusal = refusal;
            self.events.push(Reverse((entry.replied, Event::Reply { call })));
        }
    }

    fn reply(&mut self, now: Duration, call: usize) {
        let Some(call) = self.calls.remove(&call) else { return };
        match call.refusal {
            None => self.client.on_accepted(call.sent, now),
            Some(refusal) => self.client.on_refused(call.sent, now, &self.upstream.headers.of(&refusal)),
        }
    }

    fn send(&mut self, now: Duration) {
        while let Slot::At(at) = self.client.slot(now) {
            if at > now {
                return self.wake_at(now, at);
            }
            self.client.on_sent(now);
            let (shortest, longest) = self.upstream.latency;
            let trip = shortest + longest.saturating_sub(shortest).mul_f64(self.chance.f64());
            let out = trip.mul_f64(0.3 + 0.4 * self.chance.f64());
            let call = self.run.sent.len();
            self.run.sent.push(now);
            self.calls.insert(call, Call { sent: now, replied: now + trip, refusal: None });
            self.events.push(Reverse((now + out, Event::Arrival { call })));
        }
    }

    /// Timers are up to 1.2 ms late, as tokio's are.
    fn wake_at(&mut self, now: Duration, at: Duration) {
        let late = Duration::from_secs_f64(0.0012 * self.chance.f64());
        if self.wake.is_none_or(|wake| wake <= now || wake < at || wake > at + Duration::from_millis(2)) {
            self.wake = Some(at + late);
            self.events.push(Reverse((at + late, Event::Wake)));
        }
    }
}

impl Headers {
    fn of(self, refusal: &Refusal) -> Hints {
        let limit = Some(f64::from(refusal.calls));
        match self {
            Self::Exact => Hints { limit, reset: Some(refusal.reset) },
            Self::Whole => {
                Hints { limit, reset: Some(Duration::from_secs_f64(refusal.reset.as_secs_f64().ceil().max(1.0))) }
            }
            Self::Absent => Hints::default(),
        }
    }
}

impl Run {
    /// Calls taken and refused from `from` on, before `to`.
    pub(crate) fn counted(&self, from: Duration, to: Duration) -> (usize, usize) {
        let within = self.arrived.iter().filter(|(at, _)| (from..to).contains(at));
        within.fold((0, 0), |(taken, refused), (_, ok)| (taken + usize::from(*ok), refused + usize::from(!ok)))
    }

    /// The most calls refused with none taken in between: what went into one closed window.
    pub(crate) fn worst_closure(&self) -> usize {
        self.arrived.split(|(_, taken)| *taken).map(<[_]>::len).max().unwrap_or(0)
    }
}

impl Client for Controller {
    fn slot(&mut self, now: Duration) -> Slot {
        Self::slot(self, now)
    }

    fn on_sent(&mut self, now: Duration) {
        Self::on_sent(self, now);
    }

    fn on_accepted(&mut self, sent: Duration, now: Duration) {
        Self::on_accepted(self, sent, now, &Hints::default());
    }

    fn on_refused(&mut self, sent: Duration, now: Duration, hints: &Hints) {
        Self::on_refused(self, sent, now, hints);
    }
}
