//! The estimated limit, and how each reply changes the estimate.

use super::{
    call_times::CallTimes,
    limit_probe::{LimitProbe, ProbeBaseline},
    limit_window::LimitWindow,
    lockout::RefusedCall,
    window_phase::WindowPhase,
};

// The margin of paced sending: the share of the limit that is left unused. A refusal adds a step to it, accepted calls
// reduce it.

/// The first margin for limits per second: room for the variation of the trip until the feedback has adjusted the
/// margin.
const INITIAL_SECOND_MARGIN: f64 = 0.02;
/// The first margin for limits per minute. The variation of the trip is small compared with a minute.
const INITIAL_MINUTE_MARGIN: f64 = 0.005;
/// The smallest margin. At this margin, probes test for a higher limit instead.
const MIN_MARGIN: f64 = 0.002;
/// A margin above this shows that the limit itself is lower than estimated.
const MAX_MARGIN: f64 = 0.3;
/// The share of refused calls at which the margin settles: an accepted call takes this part of a step off the margin.
/// Smaller leaves more of the limit unused on sliding windows; the goal is at most 1 % of refused calls.
const TARGET_REFUSED_SHARE: f64 = 0.004;
/// Accepted calls in a row above which the margin shrinks by [`FAST_FACTOR`]: twice the usual number between two
/// refusals.
const FAST_AFTER_CALLS: f64 = 2.0 / TARGET_REFUSED_SHARE;
/// How much faster the margin shrinks then.
const FAST_FACTOR: f64 = 3.0;
/// Accepted calls in a row above which the margin shrinks by [`VERY_FAST_FACTOR`]: four times the usual number.
const VERY_FAST_AFTER_CALLS: f64 = 4.0 / TARGET_REFUSED_SHARE;
/// How much faster the margin shrinks then.
const VERY_FAST_FACTOR: f64 = 8.0;
/// The part of the margin by which the calls of a minute window are spread over more than its length.
const SPAN_MARGIN_SHARE: f64 = 0.5;
/// The margin counts as the smallest up to this factor, to allow for rounding.
const MIN_MARGIN_TOLERANCE: f64 = 1.01;

// The step by which a refusal widens the margin. Large steps adapt quickly, small ones leave less unused.

/// A step corresponds to this part of a call per window, within the bounds below.
const STEP_CALLS: f64 = 0.2;
/// The smallest first step, as a share of the limit; applies from 50 calls per window.
const MIN_INITIAL_STEP: f64 = 0.004;
/// The largest first step, as a share of the limit; applies up to 5 calls per window.
const MAX_INITIAL_STEP: f64 = 0.04;
/// The smallest later step, as a share of the limit, for large limits.
const MIN_STEP_LARGE_LIMIT: f64 = 0.003;
/// The smallest later step, as a share of the limit, for small limits.
const MIN_STEP_SMALL_LIMIT: f64 = 0.01;
/// The largest later step, as a share of the limit.
const MAX_STEP: f64 = 0.1;
/// Refusals closer together than this number of accepted calls enlarge the step. It is a tenth of the usual number, so
/// that chance is unlikely.
const CLOSE_REFUSALS_CALLS: f64 = 25.0;
/// The factor by which refusals close together enlarge the step.
const STEP_GROWTH_FACTOR: f64 = 1.5;
/// The factor by which any other refusal reduces the step.
const STEP_DECAY_FACTOR: f64 = 0.8;

// Lowering an estimate per minute that is refused early.

/// The smallest limit per minute that is lowered in this way. For smaller ones a single call is a large share.
const MIN_LOWERED_CALLS: f64 = 30.0;
/// If less than this share of the limit per minute was accepted before a refusal, the limit is lowered to what was
/// accepted.
const EARLY_REFUSAL_SHARE: f64 = 0.97;
/// One refusal does not lower the limit below this share, because other causes are possible.
const MAX_LOWERING_SHARE: f64 = 0.9;

// Whether windows are fixed.

/// Phase-aligned sending works if the calls of this number of windows were accepted in a row.
const PHASE_PROOF_WINDOWS: f64 = 2.0;
/// Calls by which a header's limit may differ from the estimate and still confirm it: half a call, because limits are
/// whole numbers.
const HEADER_TOLERANCE_CALLS: f64 = 0.5;
/// After more refused probes of the smallest size than this, a limit that is neither published nor in a header is no
/// longer treated as one on fixed windows. It is more likely a token bucket or a sliding window.
const MAX_UNCONFIRMED_FAILURES: u32 = 2;
/// If refusals bring the paced rate to this share of a published level or more, the windows may be fixed ones of that
/// level: at fixed windows, paced calls stay below the level because of the variation of the trip.
const MIN_LEVEL_SHARE: f64 = 0.85;
/// The largest such share. A higher paced rate contradicts the level.
const MAX_LEVEL_SHARE: f64 = 1.05;
/// Phase-aligned sending that failed at a limit is tried again only at a level below that limit by this factor.
const RETRY_LEVEL_FACTOR: f64 = 1.05;

// Whether the estimate is proven.

/// An estimate is proven if the calls of this number of seconds were accepted near the full rate. Shorter would prove
/// phase-aligned sending at a token bucket that is not empty yet.
const PROOF_SECONDS: f64 = 60.0;
/// The calls of this number of windows must also have been accepted since the last refusal: the estimate is not proven
/// while a disturbance changes it.
const PROOF_WINDOWS_IN_A_ROW: f64 = 2.0;
/// The fewest such calls.
const MIN_PROOF_CALLS_IN_A_ROW: f64 = 10.0;
/// The most such calls: below the usual number between two refusals of paced calls.
const MAX_PROOF_CALLS_IN_A_ROW: f64 = 100.0;

// Probes.

/// The smallest share of the rate that must have been used for an accepted call to count: calls far below the limit
/// say nothing about it.
const MIN_USED_SHARE: f64 = 0.7;
/// Without a header that confirms the estimate, the first probe follows after the calls of this number of windows:
/// early, because such an estimate is the least certain one. With such a header, the longest interval applies.
const FIRST_PROBE_WINDOWS: f64 = 2.0;
/// The fewest accepted calls before the first probe.
const MIN_FIRST_PROBE_CALLS: f64 = 6.0;
/// The most accepted calls before the first probe.
const MAX_FIRST_PROBE_CALLS: f64 = 100.0;
/// The calls between two probes are those of this number of seconds at the full rate. Less has more calls refused, more
/// notices a rise later.
const PROBE_INTERVAL_SECONDS: f64 = 150.0;
/// The fewest accepted calls between two probes; applies to limits below about one call in two seconds.
const MIN_PROBE_INTERVAL_CALLS: f64 = 80.0;
/// The most accepted calls between two probes; applies from 2 calls per second. At a limit that stays, one refused
/// probe in 300 calls is a third of the goal of 1 %.
const MAX_PROBE_INTERVAL_CALLS: f64 = 300.0;
/// The smallest probe as a share of the limit.
const PROBE_SHARE: f64 = 0.02;
/// The smallest probe in calls per window.
const MIN_PROBE_CALLS: f64 = 1.0;
/// The smallest probe as a share of the limit when calls are paced. It can be a fraction of a call per window.
const PACED_PROBE_SHARE: f64 = 0.03;

/// An estimated limit, and how close to it calls may be sent.
///
/// With fixed windows of a second, calls are aligned with the [`WindowPhase`]. With all other limits, calls are paced:
/// sent evenly at the limit less a margin.
#[derive(Clone, Debug)]
pub(super) struct LimitEstimate {
    pub(super) window: LimitWindow,
    /// Calls per window.
    pub(super) calls: f64,
    /// The phase of fixed windows; `None`: calls are paced.
    pub(super) phase: Option<WindowPhase>,
    /// The limit in a header, in calls.
    header_limit: Option<f64>,
    /// The limit in calls per window at which phase-aligned sending failed.
    phase_failed_at: Option<f64>,
    margin: f64,
    step: f64,
    /// Calls accepted near the full rate since the last refusal or probe.
    accepted_in_a_row: f64,
    /// Calls accepted near the full rate since the limit was estimated or raised.
    accepted: f64,
    probe: LimitProbe,
}

impl LimitEstimate {
    /// Estimates the limit at `calls` per window. `header_limit` is the limit in a header, if there was one.
    pub(super) fn new(window: LimitWindow, calls: f64, phase: Option<WindowPhase>, header_limit: Option<f64>) -> Self {
        let phase = phase.filter(|_| window == LimitWindow::Second);
        let margin = if window == LimitWindow::Second { INITIAL_SECOND_MARGIN } else { INITIAL_MINUTE_MARGIN };
        let usual_interval = usual_probe_interval(window, calls);
        let first_interval = if is_in_header(calls, header_limit) {
            LimitProbe::longest_interval(usual_interval)
        } else {
            early_probe_interval(calls)
        };
        let min_probe = (calls * PROBE_SHARE).max(MIN_PROBE_CALLS);
        Self {
            window,
            calls,
            phase,
            header_limit,
            phase_failed_at: None,
            margin,
            step: (STEP_CALLS / calls).clamp(MIN_INITIAL_STEP, MAX_INITIAL_STEP),
            accepted_in_a_row: 0.0,
            accepted: 0.0,
            probe: LimitProbe::new(first_interval, usual_interval, min_probe),
        }
    }

    /// The same estimate; before it, the limit was `former` calls per window.
    pub(super) fn with_former_limit(mut self, former: f64) -> Self {
        self.probe.set_former_limit(former, early_probe_interval(self.calls));
        self
    }

    /// Calls per window that may be sent at present, including a probe.
    pub(super) fn allowance(&self) -> f64 {
        self.calls + self.probe.additional_calls()
    }

    /// Calls per second that may be sent at present.
    pub(super) fn rate(&self) -> f64 {
        self.allowance() * self.used_share() / self.window.seconds()
    }

    /// Seconds over which the calls of one window are spread: its length and half the margin.
    pub(super) fn span(&self) -> f64 {
        self.window.seconds() * (1.0 + self.margin * SPAN_MARGIN_SHARE)
    }

    /// Records that the call sent at `sent` was accepted. `latency` is the peak latency in seconds.
    pub(super) fn on_accepted(&mut self, sent: f64, now: f64, latency: f64, accepted: &CallTimes) {
        let window = self.window.seconds();
        if accepted.count_between(sent - window, sent) < MIN_USED_SHARE * self.rate() * window {
            return;
        }
        self.accepted_in_a_row += 1.0;
        self.accepted += 1.0;
        match &mut self.phase {
            Some(phase) => phase.on_accepted(),
            None => self.narrow_margin(),
        }
        self.update_probe(now, latency, accepted);
    }

    /// Records the first refusal of a lockout.
    pub(super) fn on_refused(&mut self, refused: &RefusedCall, accepted: &CallTimes) {
        let accepted_in_a_row = std::mem::take(&mut self.accepted_in_a_row);
        if let Some(phase) = &mut self.phase {
            phase.observe_reset(refused);
        }
        if self.probe.on_refused() {
            if self.probe.failures() > MAX_UNCONFIRMED_FAILURES && !self.is_confirmed() {
                self.switch_to_paced();
            }
            return;
        }
        match &mut self.phase {
            Some(phase) => {
                if !phase.on_refused(refused) {
                    self.switch_to_paced();
                }
            }
            None => self.widen_margin(accepted_in_a_row, refused, accepted),
        }
    }

    /// Whether the limit is published or in a header.
    pub(super) fn is_confirmed(&self) -> bool {
        self.window.is_published(self.calls) || is_in_header(self.calls, self.header_limit)
    }

    /// Whether enough calls were accepted for the estimate to be relied on, and no probe is in progress.
    pub(super) fn is_proven(&self) -> bool {
        let calls = self.calls / self.window.seconds() * PROOF_SECONDS;
        let in_a_row = (PROOF_WINDOWS_IN_A_ROW * self.calls).clamp(MIN_PROOF_CALLS_IN_A_ROW, MAX_PROOF_CALLS_IN_A_ROW);
        self.accepted_in_a_row >= in_a_row && self.accepted >= calls && self.probe.additional_calls() <= 0.0
    }

    /// The same estimate, to be proven again.
    pub(super) fn with_proof_restarted(mut self) -> Self {
        self.accepted = 0.0;
        self
    }

    /// Whether phase-aligned sending is in use and has never worked. Then the phase is wrong rather than the limit.
    pub(super) fn has_unproven_phase(&self) -> bool {
        self.phase.as_ref().is_some_and(|phase| !phase.has_accepted_in_a_row(PHASE_PROOF_WINDOWS * self.calls))
    }

    /// Continues with paced sending.
    pub(super) fn switch_to_paced(&mut self) {
        self.phase = None;
        self.accepted = 0.0;
        self.phase_failed_at = Some(self.calls);
        self.margin = INITIAL_SECOND_MARGIN;
        let interval = usual_probe_interval(self.window, self.calls);
        self.probe = LimitProbe::new(interval, interval, self.calls * PACED_PROBE_SHARE);
    }

    fn used_share(&self) -> f64 {
        if self.phase.is_some() { 1.0 } else { 1.0 - self.margin }
    }

    fn narrow_margin(&mut self) {
        let factor = if self.accepted_in_a_row > VERY_FAST_AFTER_CALLS {
            VERY_FAST_FACTOR
        } else if self.accepted_in_a_row > FAST_AFTER_CALLS {
            FAST_FACTOR
        } else {
            1.0
        };
        self.margin = (self.margin - factor * TARGET_REFUSED_SHARE * self.step).max(MIN_MARGIN);
    }

    fn widen_margin(&mut self, accepted_in_a_row: f64, refused: &RefusedCall, accepted: &CallTimes) {
        let counted = accepted.count_between(refused.sent - self.window.seconds(), refused.sent);
        let is_early = counted < EARLY_REFUSAL_SHARE * self.calls;
        if self.window == LimitWindow::Minute && self.calls > MIN_LOWERED_CALLS && is_early {
            self.calls = counted.max(MAX_LOWERING_SHARE * self.calls);
            self.accepted = 0.0;
        }
        let min_step = (STEP_CALLS / self.calls).clamp(MIN_STEP_LARGE_LIMIT, MIN_STEP_SMALL_LIMIT);
        self.step = if accepted_in_a_row < CLOSE_REFUSALS_CALLS {
            (self.step * STEP_GROWTH_FACTOR).min(MAX_STEP)
        } else {
            (self.step * STEP_DECAY_FACTOR).max(min_step)
        };
        self.margin += self.step;
        if self.margin > MAX_MARGIN {
            self.calls *= 1.0 - self.margin;
            self.accepted = 0.0;
            self.margin = INITIAL_SECOND_MARGIN;
        }
        self.retry_phase_at_published_level(refused);
    }

    /// Tries phase-aligned sending if refusals have brought the paced rate down to a published level per second: the
    /// windows may be fixed ones of that level.
    fn retry_phase_at_published_level(&mut self, refused: &RefusedCall) {
        if self.window != LimitWindow::Second {
            return;
        }
        let rate = self.calls * (1.0 - self.margin);
        let is_candidate = |level: &f64| {
            (MIN_LEVEL_SHARE..=MAX_LEVEL_SHARE).contains(&(rate / level))
                && self.phase_failed_at.is_none_or(|failed_at| failed_at > RETRY_LEVEL_FACTOR * level)
        };
        if let Some(level) = self.window.published_levels().iter().copied().find(is_candidate) {
            *self = Self::new(self.window, level, Some(WindowPhase::new(refused.sent)), self.header_limit);
        }
    }

    /// Ends a probe that is over, and starts one that is due. After a success the next one follows at once.
    fn update_probe(&mut self, now: f64, latency: f64, accepted: &CallTimes) {
        let baseline = ProbeBaseline { calls: self.calls, window: self.window, share: self.used_share(), latency };
        if let Some(gained) = self.probe.finish(now, accepted, &baseline) {
            self.calls += gained;
            self.accepted_in_a_row = 0.0;
            if gained > 0.0 {
                self.accepted = 0.0;
                self.probe.start(now, &ProbeBaseline { calls: self.calls, ..baseline });
            }
            return;
        }
        let is_at_limit = self.phase.is_some() || self.margin <= MIN_MARGIN * MIN_MARGIN_TOLERANCE;
        if is_at_limit && self.probe.is_due(self.accepted_in_a_row) {
            self.accepted_in_a_row = 0.0;
            self.probe.start(now, &baseline);
        }
    }
}

/// Whether a limit is the one in a header.
fn is_in_header(calls: f64, header_limit: Option<f64>) -> bool {
    header_limit.is_some_and(|limit| (limit - calls).abs() < HEADER_TOLERANCE_CALLS)
}

/// Accepted calls before the first probe of an uncertain estimate.
fn early_probe_interval(calls: f64) -> f64 {
    (FIRST_PROBE_WINDOWS * calls).clamp(MIN_FIRST_PROBE_CALLS, MAX_FIRST_PROBE_CALLS)
}

/// Accepted calls between two probes.
fn usual_probe_interval(window: LimitWindow, calls: f64) -> f64 {
    (calls / window.seconds() * PROBE_INTERVAL_SECONDS).clamp(MIN_PROBE_INTERVAL_CALLS, MAX_PROBE_INTERVAL_CALLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_proven_by_the_calls_of_a_minute_and_not_while_a_probe_is_in_progress() {
        let mut estimate = LimitEstimate::new(LimitWindow::Second, 50.0, Some(WindowPhase::new(0.0)), None);
        let (mut accepted, mut proven_at, mut probes) = (CallTimes::new(200.0), None, 0);
        for call in 1..=6000 {
            let sent = f64::from(call) / 50.0;
            accepted.insert(sent);
            estimate.on_accepted(sent, sent, 0.1, &accepted);
            let is_probing = estimate.allowance() > estimate.calls;
            probes += u32::from(is_probing);
            assert!(!(is_probing && estimate.is_proven()));
            proven_at = proven_at.or_else(|| estimate.is_proven().then_some(sent));
        }
        assert!(probes > 0);
        assert!(proven_at.is_some_and(|at| at > PROOF_SECONDS), "{proven_at:?}");
    }
}
