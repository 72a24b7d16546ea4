//! The return to a proven estimate after a short disturbance.
//!
//! A second client under the same limit and refusals without a reason lower the estimate, although the limit has not
//! changed. So the last estimate that worked is kept. Some seconds after the last refusal it is tried again.

use super::{limit_estimate::LimitEstimate, limit_window::LimitWindow};

/// An estimate below this share of the proven one is a departure from it. The margin of paced calls varies by less.
const DEPARTED_SHARE: f64 = 0.9;
/// Seconds without a refusal before the first trial. Shorter would have more calls refused while the disturbance lasts,
/// longer would leave more of the limit unused after it.
const FIRST_TRIAL_AFTER_SECONDS: f64 = 5.0;
/// The factor by which this time grows with each trial. With 2, a trial follows at the latest when the disturbance has
/// been over for about as long as it lasted.
const TRIAL_INTERVAL_GROWTH_FACTOR: f64 = 2.0;
/// Trials after which the proven estimate is given up: the limit has probably changed. They take 75 s.
const MAX_TRIALS: i32 = 4;
/// Windows that a trial lasts at least: the longer ones of the two estimates.
const TRIAL_WINDOWS: f64 = 1.1;
/// Seconds that a trial lasts at least.
const MIN_TRIAL_SECONDS: f64 = 5.0;
/// Refused calls that a trial may have in addition to [`MAX_TRIAL_REFUSED_SHARE`]: late calls.
const MAX_TRIAL_REFUSALS: f64 = 3.0;
/// The share of a trial's calls that may be refused. Paced calls and probes have up to 1 %.
const MAX_TRIAL_REFUSED_SHARE: f64 = 0.02;

/// Keeps the last estimate that worked, and decides when to try it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    proven: Option<LimitEstimate>,
    trial: Option<Trial>,
    /// When a call was last refused, in seconds since the epoch.
    refused_at: f64,
    /// Trials since the estimate was proven.
    trials: i32,
}

/// A trial of the proven estimate.
#[derive(Clone, Debug)]
struct Trial {
    /// The estimate that holds if the trial fails.
    fallback: LimitEstimate,
    until: f64,
    accepted: f64,
    refused: f64,
}

impl Recovery {
    /// Records an estimate that worked, or gives the proven one up.
    pub(super) fn set_proven(&mut self, proven: Option<LimitEstimate>) {
        *self = Self { proven, ..Self::default() };
    }

    /// The proven limit in calls per window, if it counts over `window`.
    pub(super) fn proven_calls(&self, window: LimitWindow) -> Option<f64> {
        self.proven.as_ref().filter(|proven| proven.window == window).map(|proven| proven.calls)
    }

    /// Records at `now` an accepted call. Replaces the estimate if a trial begins.
    pub(super) fn on_accepted(&mut self, now: f64, estimate: &mut LimitEstimate) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| now < trial.until) {
            trial.accepted += 1.0;
            return;
        }
        self.trial = None;
        let has_departed = self.proven.as_ref().is_some_and(|proven| has_departed(estimate, proven));
        if !has_departed && estimate.is_proven() {
            self.set_proven(Some(estimate.clone()));
        }
        let wait = FIRST_TRIAL_AFTER_SECONDS * TRIAL_INTERVAL_GROWTH_FACTOR.powi(self.trials);
        if has_departed && now - self.refused_at > wait {
            self.begin_trial(now, estimate);
        }
    }

    /// Records at `now` a refused call. Replaces the estimate if a trial fails.
    pub(super) fn on_refused(&mut self, now: f64, estimate: &mut LimitEstimate) {
        self.refused_at = now;
        if let Some(trial) = &mut self.trial {
            trial.refused += 1.0;
            if trial.refused > MAX_TRIAL_REFUSALS + MAX_TRIAL_REFUSED_SHARE * trial.accepted {
                self.fail_trial(estimate);
            }
        }
    }

    /// Records that a lockout led to a lower estimate per minute. Replaces it by the proven one if that has not been
    /// tried yet: the lockout was long enough, and the calls of the minute before would delay calls at the lower rate.
    pub(super) fn on_minute_lowered(&mut self, now: f64, estimate: &mut LimitEstimate) {
        if self.trials == 0 {
            self.begin_trial(now, estimate);
        }
    }

    fn begin_trial(&mut self, now: f64, estimate: &mut LimitEstimate) {
        let Some(proven) = &self.proven else { return };
        if self.trials >= MAX_TRIALS {
            return self.set_proven(None);
        }
        self.trials += 1;
        let window = proven.window.seconds().max(estimate.window.seconds());
        let until = now + (TRIAL_WINDOWS * window).max(MIN_TRIAL_SECONDS);
        let fallback = std::mem::replace(estimate, proven.clone().with_proof_restarted());
        self.trial = Some(Trial { fallback, until, accepted: 0.0, refused: 0.0 });
    }

    /// Whether a trial is in progress.
    pub(super) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Ends a trial that has failed and replaces the estimate.
    pub(super) fn fail_trial(&mut self, estimate: &mut LimitEstimate) {
        if let Some(trial) = self.trial.take() {
            *estimate = trial.fallback;
        }
    }
}

/// Whether `estimate` is so far below the proven one that a disturbance is likely. If its calls are no longer aligned
/// with windows, any lower rate is.
fn has_departed(estimate: &LimitEstimate, proven: &LimitEstimate) -> bool {
    let has_lost_phase = proven.phase.is_some() && estimate.phase.is_none();
    let share = if has_lost_phase { 1.0 } else { DEPARTED_SHARE };
    estimate.rate() < share * proven.rate()
}

#[cfg(test)]
mod tests {
    use super::{super::window_phase::WindowPhase, *};

    fn estimate(calls: f64) -> LimitEstimate {
        LimitEstimate::new(LimitWindow::Second, calls, Some(WindowPhase::new(0.0)), None)
    }

    fn proven(calls: f64) -> Recovery {
        let mut recovery = Recovery::default();
        recovery.set_proven(Some(estimate(calls)));
        recovery
    }

    /// Refuses calls at `now` until the trial fails.
    fn fail_trial(recovery: &mut Recovery, now: f64, estimate: &mut LimitEstimate) {
        (0..4).for_each(|_| recovery.on_refused(now, estimate));
    }

    #[test]
    fn the_proven_estimate_returns_some_seconds_after_the_last_refusal() {
        let (mut recovery, mut lowered) = (proven(50.0), estimate(25.0));
        recovery.on_refused(100.0, &mut lowered);

        recovery.on_accepted(104.0, &mut lowered);
        assert!((lowered.calls - 25.0).abs() < f64::EPSILON);
        recovery.on_accepted(105.1, &mut lowered);

        assert!((lowered.calls - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_refused_trial_returns_to_the_lower_estimate_and_the_next_one_comes_later() {
        let (mut recovery, mut lowered) = (proven(50.0), estimate(25.0));
        recovery.on_accepted(100.0, &mut lowered);
        assert!((lowered.calls - 50.0).abs() < f64::EPSILON);

        fail_trial(&mut recovery, 101.0, &mut lowered);
        assert!((lowered.calls - 25.0).abs() < f64::EPSILON);
        recovery.on_accepted(110.0, &mut lowered);
        assert!((lowered.calls - 25.0).abs() < f64::EPSILON);
        recovery.on_accepted(111.1, &mut lowered);

        assert!((lowered.calls - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn after_some_trials_the_lower_estimate_stays() {
        let (mut recovery, mut lowered) = (proven(50.0), estimate(25.0));
        let mut trials = 0;
        for minute in 1..100 {
            let now = 60.0 * f64::from(minute);
            recovery.on_accepted(now, &mut lowered);
            if lowered.calls > 25.0 {
                trials += 1;
                fail_trial(&mut recovery, now, &mut lowered);
            }
        }
        assert_eq!(trials, MAX_TRIALS);
    }

    #[test]
    fn a_paced_estimate_above_the_proven_one_stays() {
        let (mut recovery, mut raised) = (proven(3.0), estimate(4.0));
        raised.switch_to_paced();

        recovery.on_accepted(100.0, &mut raised);

        assert!((raised.calls - 4.0).abs() < f64::EPSILON);
    }
}
