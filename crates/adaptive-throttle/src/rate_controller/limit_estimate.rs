//! The limit as it is believed to be, and how each reply changes the belief.

use super::{
    closure::Refusal,
    log::Log,
    phase::Phase,
    probing::{Measure, Probing},
    window::Window,
};

/// The share of the limit that is left unused at first, where the phase is not known.
const MARGIN: f64 = 0.02;
/// A minute's windows feel no jitter.
const MINUTE_MARGIN: f64 = 0.005;
/// The least share to leave unused.
const LEAST_MARGIN: f64 = 0.002;
/// A margin this wide means that the limit itself is another.
const WIDEST_MARGIN: f64 = 0.3;
/// What an accepted call takes off the margin, as a share of what a refusal adds: settles at this share of refusals.
const REFUSED_SHARE: f64 = 0.004;
/// Refusals closer together than this many accepted calls call for larger steps.
const CLOSE: f64 = 25.0;

/// A limit, and how close to it calls may be sent.
///
/// Fixed windows of a second are filled in step with their [`Phase`]. Everything else is paced at the limit less a
/// margin that a refusal widens and accepted calls narrow.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    pub(super) window: Window,
    /// Calls that a window takes.
    pub(super) calls: f64,
    pub(super) phase: Option<Phase>,
    /// What a header said of the limit.
    named: Option<f64>,
    /// The calls with which filling windows went wrong.
    out_of_step: Option<f64>,
    margin: f64,
    step: f64,
    /// Calls accepted since the last refusal or try for more, at full rate.
    quiet: f64,
    probing: Probing,
}

impl Belief {
    /// A belief in `calls` a window; `named` is what a header said.
    pub(super) fn new(window: Window, calls: f64, phase: Option<Phase>, named: Option<f64>) -> Self {
        let phase = phase.filter(|_| window == Window::Second);
        let margin = if window == Window::Second { MARGIN } else { MINUTE_MARGIN };
        let first = (2.0 * calls).clamp(6.0, 100.0);
        let probing = Probing::new(first, usual_patience(window, calls), (calls * 0.02).max(1.0));
        Self {
            window,
            calls,
            phase,
            named,
            out_of_step: None,
            margin,
            step: (0.2 / calls).clamp(0.004, 0.04),
            quiet: 0.0,
            probing,
        }
    }

    /// The same belief, in mind of `former` calls a window that were taken before.
    pub(super) fn after(mut self, former: f64) -> Self {
        self.probing.remember(former);
        self
    }

    /// Calls a window that may be sent at present.
    pub(super) fn allowance(&self) -> f64 {
        self.calls + self.probing.extra()
    }

    /// Calls per second that may be sent at present.
    pub(super) fn rate(&self) -> f64 {
        self.allowance() * self.share() / self.window.seconds()
    }

    /// The calls of one window are answered over a little more than its length.
    pub(super) fn span(&self) -> f64 {
        self.window.seconds() * (1.0 + self.margin / 2.0)
    }

    /// A call sent at `sent` was accepted.
    pub(super) fn on_accepted(&mut self, sent: f64, now: f64, latency: f64, accepted: &Log) {
        let window = self.window.seconds();
        // What was not put to use teaches nothing.
        if accepted.between(sent - window, sent) < 0.7 * self.rate() * window {
            return;
        }
        self.quiet += 1.0;
        match &mut self.phase {
            Some(phase) => phase.on_accepted(),
            None => self.narrow(),
        }
        self.probe(now, latency, accepted);
    }

    /// The limit closed while it was believed in.
    pub(super) fn on_refused(&mut self, refusal: &Refusal, accepted: &Log) {
        let quiet = std::mem::take(&mut self.quiet);
        if let Some(phase) = &mut self.phase {
            phase.on_reset(refusal);
        }
        if self.probing.on_refused() {
            // A limit on fixed windows that is neither published nor named is a rare thing: it may be none.
            if self.probing.failures() > 2 && !self.is_certain() {
                self.forget_phase();
            }
            return;
        }
        match &mut self.phase {
            Some(phase) => {
                if !phase.on_refused(refusal) {
                    self.forget_phase();
                }
            }
            None => self.widen(quiet, refusal, accepted),
        }
    }

    /// Whether filling windows was tried and never went well: then that was wrong, rather than the limit.
    pub(super) fn is_out_of_step(&self) -> bool {
        self.phase.as_ref().is_some_and(|phase| !phase.went_well(2.0 * self.calls))
    }

    /// Whether upstream publishes or named this very limit.
    fn is_certain(&self) -> bool {
        self.window.publishes(self.calls) || self.named.is_some_and(|named| (named - self.calls).abs() < 0.5)
    }

    fn share(&self) -> f64 {
        if self.phase.is_some() { 1.0 } else { 1.0 - self.margin }
    }

    fn narrow(&mut self) {
        let haste = if self.quiet > 4.0 / REFUSED_SHARE {
            8.0
        } else if self.quiet > 2.0 / REFUSED_SHARE {
            3.0
        } else {
            1.0
        };
        self.margin = (self.margin - haste * REFUSED_SHARE * self.step).max(LEAST_MARGIN);
    }

    fn widen(&mut self, quiet: f64, refusal: &Refusal, accepted: &Log) {
        let taken = accepted.between(refusal.sent - self.window.seconds(), refusal.sent);
        if self.window == Window::Minute && self.calls > 30.0 && taken < 0.97 * self.calls {
            self.calls = taken.max(0.9 * self.calls);
        }
        let least = (0.2 / self.calls).clamp(0.003, 0.01);
        self.step = if quiet < CLOSE { (self.step * 1.5).min(0.1) } else { (self.step * 0.8).max(least) };
        self.margin += self.step;
        if self.margin > WIDEST_MARGIN {
            self.calls *= 1.0 - self.margin;
            self.margin = MARGIN;
        }
        self.settle(refusal);
    }

    /// A pace that refusals bring down to a published level may have met fixed windows of just that level.
    fn settle(&mut self, refusal: &Refusal) {
        let rate = self.calls * (1.0 - self.margin);
        let near = |level: &f64| {
            (0.85..=1.05).contains(&(rate / level)) && self.out_of_step.is_none_or(|tried| tried > 1.05 * level)
        };
        let level = self.window.levels().iter().copied().find(near).filter(|_| self.window == Window::Second);
        if let Some(level) = level {
            *self = Self::new(self.window, level, Some(Phase::new(refusal.sent)), self.named);
        }
    }

    /// Goes on at a pace.
    pub(super) fn forget_phase(&mut self) {
        self.phase = None;
        self.out_of_step = Some(self.calls);
        self.margin = MARGIN;
        let patience = usual_patience(self.window, self.calls);
        self.probing = Probing::new(patience, patience, self.calls * 0.03);
    }

    fn probe(&mut self, now: f64, latency: f64, accepted: &Log) {
        let measure = Measure { calls: self.calls, window: self.window.seconds(), share: self.share(), latency };
        if let Some(won) = self.probing.end(now, accepted, &measure) {
            self.calls += won;
            self.quiet = 0.0;
            if won > 0.0 {
                self.probing.begin(now, &Measure { calls: self.calls, ..measure });
            }
            return;
        }
        let at_the_limit = self.phase.is_some() || self.margin <= LEAST_MARGIN * 1.01;
        if at_the_limit && self.probing.is_due(self.quiet) {
            self.quiet = 0.0;
            self.probing.begin(now, &measure);
        }
    }
}

/// Accepted calls between two tries for more: some minutes' worth.
fn usual_patience(window: Window, calls: f64) -> f64 {
    (calls / window.seconds() * 150.0).clamp(80.0, 300.0)
}
