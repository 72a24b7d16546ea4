//! Trying for more: once in a while a few calls above the limit that is believed in, in case it has risen.

use super::log::Log;

/// How many times its first value the patience between two tries may reach.
const LONGEST: f64 = 4.0;

/// When to try for more, and by how much.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    running: Option<Probe>,
    /// Calls a window to add the next time.
    extra: f64,
    /// The fewest calls a window worth trying for.
    unit: f64,
    /// Calls to be accepted without a refusal before the next try.
    patience: f64,
    usual_patience: f64,
    /// Tries for the least that were refused, one after the other.
    failures: u32,
    /// The limit that there once was: where it begins to rise again, it may be back.
    former: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    extra: f64,
    from: f64,
    until: f64,
}

/// What a try is measured by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Calls a window without the try.
    pub(super) calls: f64,
    /// The window in seconds.
    pub(super) window: f64,
    /// The share of the calls that is sent, 0 to 1.
    pub(super) share: f64,
    /// Seconds until a call is answered.
    pub(super) latency: f64,
}

impl Probing {
    /// After `first` accepted calls for the first time, later after `usual` and more; by `unit` calls a window at least.
    pub(super) fn new(first: f64, usual: f64, unit: f64) -> Self {
        Self { running: None, extra: unit, unit, patience: first, usual_patience: usual, failures: 0, former: None }
    }

    /// Keeps in mind that the limit was `calls` a window before it dropped.
    pub(super) fn remember(&mut self, calls: f64) {
        self.former = Some(calls);
    }

    /// Calls a window to send above the limit at present.
    pub(super) fn extra(&self) -> f64 {
        self.running.map_or(0.0, |probe| probe.extra)
    }

    /// Whether it is time for a try after `quiet` accepted calls without a refusal.
    pub(super) fn is_due(&self, quiet: f64) -> bool {
        self.running.is_none() && quiet > self.patience
    }

    /// Tries for more from `now` on.
    pub(super) fn begin(&mut self, now: f64, measure: &Measure) {
        let windows = if measure.window > 1.0 { 2.1 } else { 3.0_f64.max(3.0 / self.extra) };
        let until = now + windows * measure.window + measure.latency;
        self.running = Some(Probe { extra: self.extra, from: now, until });
    }

    /// Ends a try whose time has come: with the calls a window won, or with none where not enough was sent to tell.
    pub(super) fn end(&mut self, now: f64, accepted: &Log, measure: &Measure) -> Option<f64> {
        let probe = self.running.filter(|probe| now > probe.until)?;
        let settled = probe.until - measure.latency;
        let expected = (measure.calls + 0.6 * probe.extra) * measure.share / measure.window * (settled - probe.from);
        self.running = None;
        if accepted.between(probe.from, settled) < expected - 0.5 {
            return Some(0.0);
        }
        self.failures = 0;
        self.extra = self.next_extra(probe.extra, measure);
        Some(probe.extra)
    }

    /// A minute's limit costs a handful wherever it is met; a second's costs what it is exceeded by.
    fn next_extra(&mut self, won: f64, measure: &Measure) -> f64 {
        if measure.window <= 1.0 {
            return (2.0 * won).min(self.unit.max(4.0));
        }
        let to_former = self.former.take().map(|former| former - measure.calls - won);
        let step = to_former.filter(|step| *step > won).unwrap_or((4.0 * won).min(0.7 * measure.calls));
        step.max(self.unit)
    }

    /// Takes note of a refusal: true where a running try explains it. The try is given up, and the next is smaller,
    /// or comes later.
    pub(super) fn on_refused(&mut self) -> bool {
        let Some(probe) = self.running.take() else { return false };
        if probe.extra > self.unit * 1.01 {
            self.extra = (probe.extra / 4.0).max(self.unit);
            self.patience = self.usual_patience / 4.0;
        } else {
            self.failures += 1;
            self.patience = (self.patience * 2.0).clamp(self.usual_patience, self.usual_patience * LONGEST);
        }
        true
    }

    /// Tries for the least that were refused, one after the other.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURE: Measure = Measure { calls: 10.0, window: 1.0, share: 1.0, latency: 0.1 };

    fn accepted(per_second: u32) -> Log {
        let mut log = Log::new(60.0);
        (0..per_second * 4).for_each(|call| log.add(f64::from(call) / f64::from(per_second)));
        log
    }

    #[test]
    fn a_try_that_was_used_and_not_refused_wins_its_calls_and_asks_for_more() {
        let mut probing = Probing::new(10.0, 300.0, 1.0);
        probing.begin(0.0, &MEASURE);

        assert_eq!(probing.end(3.0, &accepted(11), &MEASURE), None);
        assert_eq!(probing.end(3.2, &accepted(11), &MEASURE), Some(1.0));

        probing.begin(3.2, &MEASURE);
        assert!((probing.extra() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_try_that_was_not_used_proves_nothing() {
        let mut probing = Probing::new(10.0, 300.0, 1.0);
        probing.begin(0.0, &MEASURE);
        assert_eq!(probing.end(3.2, &accepted(10), &MEASURE), Some(0.0));
    }

    #[test]
    fn tries_that_are_refused_become_rare() {
        let mut probing = Probing::new(10.0, 300.0, 1.0);
        for quiet in [300.0, 600.0, 1200.0, 1200.0] {
            probing.begin(0.0, &MEASURE);
            assert!(probing.on_refused());
            assert!(!probing.is_due(quiet) && probing.is_due(quiet + 1.0), "{quiet}");
        }
        assert!(!probing.on_refused());
    }
}
