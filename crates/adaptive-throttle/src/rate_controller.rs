//! When the next call may go. Pure: time is an argument, counted from an epoch of the caller's choice.
//!
//! While nothing is known, the rate grows a little faster than what has been accepted (`caution` where a minute's
//! limit may lie). The first `closure` tells what the limit is (`window`); from then on a `belief` is held and
//! corrected, filled in step with its `phase` where that helps, and doubted by `probing` for more. A closure that
//! the belief does not explain starts it afresh.

use std::time::Duration;

use super::{config::ThrottleConfig, hints::Hints};

mod belief;
mod caution;
mod closure;
mod log;
mod phase;
mod probing;
mod window;

use belief::Belief;
use caution::Caution;
use closure::{Closure, Refusal};
use log::Log;
use phase::{Filling, Phase};
use window::Window;

/// Seconds for which accepted calls are remembered: a minute before a closure that lasts one, and some.
const ACCEPTED_KEPT: f64 = 200.0;
/// Seconds for which calls sent are remembered: the longest window, and some.
const SENT_KEPT: f64 = 65.0;
/// Seconds that a late timer may make good.
const CATCH_UP: f64 = 0.02;
/// Calls in flight that may always be, however much that is per second.
const ALWAYS_IN_FLIGHT: f64 = 4.0;
/// Calls per second above what has been accepted within one, while no limit is known.
const GROWTH: f64 = 1.5;
/// The latency of a call before any was measured, in seconds.
const LATENCY: f64 = 0.3;

/// When the next call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// At this time; now, where it has passed.
    At(Duration),
    /// Not before a call that is on its way has ended.
    AfterReply,
}

/// Finds the limit and stays just under it.
///
/// Tell it of every call that is sent and of how it ended, in the order in which that becomes known.
#[derive(Clone, Debug)]
pub struct Controller {
    ceiling: Option<Ceiling>,
    max_in_flight: usize,
    start_rate: f64,
    in_flight: usize,
    latency: Latency,
    accepted: Log,
    sent: Log,
    /// The pace's next call, in seconds since the epoch.
    next: f64,
    /// The most calls accepted within a second.
    best: f64,
    /// The limit that a header named last.
    named: Option<f64>,
    belief: Option<Belief>,
    closure: Option<Closure>,
    caution: Caution,
}

/// At most `calls` in any `span` seconds.
#[derive(Clone, Copy, Debug)]
struct Ceiling {
    rate: f64,
    calls: usize,
    span: f64,
}

/// Seconds from sending to knowing: on average, and lately at most.
#[derive(Clone, Copy, Debug)]
struct Latency {
    mean: f64,
    peak: f64,
}

impl Controller {
    /// A controller that knows nothing of the limit yet.
    #[must_use]
    pub fn new(config: &ThrottleConfig) -> Self {
        let ceiling = config.ceiling.map(Ceiling::new);
        Self {
            max_in_flight: config.max_in_flight.max(1),
            start_rate: config.start_rate.max(0.001),
            in_flight: 0,
            latency: Latency { mean: LATENCY, peak: LATENCY },
            accepted: Log::new(ACCEPTED_KEPT),
            sent: Log::new(ceiling.map_or(SENT_KEPT, |ceiling| SENT_KEPT.max(2.0 * ceiling.span))),
            next: 0.0,
            best: 0.0,
            named: None,
            belief: None,
            closure: None,
            caution: Caution::default(),
            ceiling,
        }
    }

    /// When the next call may go.
    #[must_use]
    pub fn slot(&self, now: Duration) -> Slot {
        let now = now.as_secs_f64();
        if self.in_flight >= self.concurrency(now) {
            return Slot::AfterReply;
        }
        let open = self.closure.as_ref().map_or(0.0, Closure::until);
        let under = self.ceiling.and_then(|ceiling| ceiling.slot(&self.sent)).unwrap_or(0.0);
        Slot::At(Duration::from_secs_f64(self.pace(now).max(open).max(under).max(0.0)))
    }

    /// A call is sent.
    pub fn on_sent(&mut self, now: Duration) {
        let now = now.as_secs_f64();
        let gap = 1.0 / self.rate();
        self.in_flight += 1;
        self.sent.add(now);
        self.next = self.next.max(now - CATCH_UP.min(gap)) + gap;
    }

    /// A call that [`Self::on_sent`] was told of at `sent` is not sent after all: its slot is free again.
    pub fn on_unsent(&mut self, sent: Duration) {
        self.on_lost();
        self.sent.remove(sent.as_secs_f64());
        self.next -= 1.0 / self.rate();
    }

    /// A call ended in a way that says nothing of the limit.
    pub fn on_lost(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Upstream took the call sent at `sent`, as is known `now`.
    pub fn on_accepted(&mut self, sent: Duration, now: Duration, hints: &Hints) {
        let (sent, now) = self.ended(sent, now, hints);
        self.accepted.add(sent);
        self.best = self.best.max(self.accepted.between(sent - 1.0, sent));
        self.caution.observe(now, self.accepted.between(now - 60.0, now));
        if let Some(closure) = self.closure.take_if(|closure| sent >= closure.known) {
            self.reopen(&closure);
        }
        if let Some(closure) = &mut self.closure {
            closure.interrupt();
        }
        if let Some(belief) = &mut self.belief {
            belief.on_accepted(sent, now, self.latency.peak, &self.accepted);
        }
    }

    /// Upstream refused the call sent at `sent` for its rate limit, as is known `now`.
    pub fn on_refused(&mut self, sent: Duration, now: Duration, hints: &Hints) {
        let (sent, known) = self.ended(sent, now, hints);
        let reset = hints.reset.map(|reset| reset.as_secs_f64()).filter(|reset| *reset > 0.0);
        let refusal = Refusal { sent, known, reset };
        let window = self.window();
        if let Some(closure) = &mut self.closure {
            closure.extend(&refusal, window, self.latency.peak);
            return;
        }
        self.closure = Some(Closure::begin(&refusal, window, self.latency.peak));
        if let Some(belief) = &mut self.belief {
            belief.on_refused(&refusal, &self.accepted);
        }
    }

    /// Calls per second at present.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = self.belief.as_ref().map_or_else(|| self.search_rate(), Belief::rate);
        rate.min(self.ceiling.map_or(f64::INFINITY, |ceiling| ceiling.rate))
    }

    /// Calls per window and the window, once known.
    #[must_use]
    pub fn limit(&self) -> Option<(f64, Duration)> {
        let belief = self.belief.as_ref()?;
        Some((belief.calls, Duration::from_secs_f64(belief.window.seconds())))
    }

    /// Begins with a limit that was known before: `calls`, a positive number, in each `window`.
    pub fn recall(&mut self, calls: f64, window: Duration) {
        let per_second = calls / window.as_secs_f64();
        let kind = if window < Duration::from_secs(2) { Window::Second } else { Window::Minute };
        let calls = per_second * kind.seconds();
        // Where its windows begin is anybody's guess, and the first refusal's to tell.
        self.belief = Some(Belief::new(kind, calls, Some(Phase::new(0.0)), Some(calls)));
        self.caution.pass(per_second * 60.0);
    }

    /// Calls on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How long a call takes to be answered, on average.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_secs_f64(self.latency.mean)
    }

    /// What every answer has in common. Returns both times in seconds.
    fn ended(&mut self, sent: Duration, now: Duration, hints: &Hints) -> (f64, f64) {
        self.on_lost();
        self.latency.observe(now.saturating_sub(sent).as_secs_f64());
        self.named = hints.limit.or(self.named);
        (sent.as_secs_f64(), now.as_secs_f64())
    }

    fn window(&self) -> Option<Window> {
        self.belief.as_ref().map(|belief| belief.window)
    }

    /// While nothing is known: a little more than what was accepted, or what keeps a handful in flight.
    fn search_rate(&self) -> f64 {
        let unhurried = (ALWAYS_IN_FLIGHT / self.latency.peak).min(2.0 * self.best);
        self.start_rate.max(self.best + GROWTH).max(unhurried)
    }

    /// Calls that may be in flight: what the rate needs at the measured latency (Little's law), with headroom.
    fn concurrency(&self, now: f64) -> usize {
        if self.closure.as_ref().is_some_and(|closure| closure.is_probed(self.window())) {
            return 1;
        }
        let squeeze = self.filling().map_or(1.0, |filling| 1.0 / (1.0 - 2.0 * filling.guard));
        let needed = whole((1.4 * self.rate() * self.latency.peak * squeeze).ceil()) + 2;
        let bound = self.bound(now).unwrap_or(usize::MAX);
        needed.min(self.max_in_flight).min(bound)
    }

    fn bound(&self, now: f64) -> Option<usize> {
        if self.window() == Some(Window::Minute) {
            return None;
        }
        let on_their_way = u32::try_from(self.in_flight).map_or(f64::INFINITY, f64::from);
        self.caution.bound(now, self.accepted.between(now - 60.0, now) + on_their_way)
    }

    /// When the next call may go as far as the rate is concerned.
    fn pace(&self, now: f64) -> f64 {
        match &self.belief {
            Some(Belief { phase: Some(phase), .. }) => {
                self.filling().map_or(self.next, |filling| phase.slot(now, &self.sent, filling))
            }
            Some(belief) if belief.window == Window::Minute => self.minute_pace(now, belief),
            _ => self.next,
        }
    }

    /// After an idle minute the first half of a minute's calls need not be spread over it.
    fn minute_pace(&self, now: f64, belief: &Belief) -> f64 {
        let span = belief.span();
        let full = self.sent.nth_newest(whole(belief.allowance()).max(1)).map_or(0.0, |oldest| oldest + span);
        let idle = self.sent.between(now - span, now) < (belief.calls / 2.0).floor();
        let next = self.sent.newest().map_or(0.0, |newest| newest + 1.0 / self.start_rate);
        if idle { next.min(self.next).max(full) } else { self.next.max(full) }
    }

    /// How to fill windows whose phase is known: clear of the edges by half the latency, but never so tightly that
    /// the calls in flight would not suffice.
    fn filling(&self) -> Option<Filling> {
        let belief = self.belief.as_ref().filter(|belief| belief.phase.is_some())?;
        let calls = belief.allowance();
        let connections = u32::try_from(self.max_in_flight).map_or(f64::INFINITY, f64::from);
        let spare = (1.0 - calls * self.latency.peak / (0.85 * connections)) / 2.0;
        Some(Filling { calls, guard: (0.5 * self.latency.peak).clamp(0.08, 0.25).min(spare).max(0.03) })
    }

    /// The limit is open again: what did the closure tell of it?
    fn reopen(&mut self, closure: &Closure) {
        let window = self.window_of(closure);
        let Some(belief) = &mut self.belief else { return self.believe(window, f64::INFINITY, closure) };
        let (known, calls) = (belief.window, belief.calls);
        let taken = self.accepted.between(closure.first - known.seconds(), closure.first);
        if known == Window::Second && window == Window::Minute {
            self.believe(window, f64::INFINITY, closure);
        } else if is_surprise(closure, known, taken) {
            if belief.is_out_of_step() {
                belief.forget_phase();
            } else {
                self.believe(known, calls, closure);
            }
        }
    }

    fn window_of(&self, closure: &Closure) -> Window {
        let sent_meanwhile = closure.first + 0.5 * self.latency.peak;
        let shut = closure.lasted() > 1.05 && self.accepted.between(sent_meanwhile, closure.last) < 1.0;
        if closure.reset.is_some_and(|reset| reset > 1.0) || (closure.is_unexplained() && shut) {
            Window::Minute
        } else {
            Window::Second
        }
    }

    /// Reads the limit from what was accepted before the closure. It is less than `disproved` calls.
    fn believe(&mut self, window: Window, disproved: f64, closure: &Closure) {
        let counted = self.accepted.between(closure.first - window.seconds(), closure.first);
        let named = self.named.filter(|_| closure.reset.is_some());
        let fit = window.fit(counted, named);
        let calls = if fit < 0.95 * disproved { fit } else { (0.8 * disproved).max(1.0) };
        let belief = Belief::new(window, calls, Some(Phase::new(closure.boundary())), named);
        self.belief = Some(if disproved.is_finite() { belief.after(disproved) } else { belief });
    }
}

/// Whether the limit must be another than the one believed in, of which `taken` calls had been used.
fn is_surprise(closure: &Closure, window: Window, taken: f64) -> bool {
    let long = window == Window::Minute && closure.lasted() > 0.25 * window.seconds();
    let swamped = closure.refused > 3 && f64::from(closure.refused) > 0.5 * taken + 1.0;
    long || swamped
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of calls, saturating")]
fn whole(number: f64) -> usize {
    number as usize
}

impl Ceiling {
    /// A whole number of calls in a span of at most a second, or one call in a longer one.
    fn new(rate: f64) -> Self {
        let rate = rate.max(1e-6);
        let calls = whole(rate).max(1);
        Self { rate, calls, span: u32::try_from(calls).map_or(1.0, f64::from) / rate }
    }

    fn slot(&self, sent: &Log) -> Option<f64> {
        // A microsecond more than the span, which must not be lost in rounding.
        sent.nth_newest(self.calls).map(|oldest| oldest + self.span + 1e-6)
    }
}

impl Latency {
    fn observe(&mut self, latency: f64) {
        self.mean += (latency - self.mean) / 16.0;
        self.peak = (self.peak * 0.98).max(latency);
    }
}
