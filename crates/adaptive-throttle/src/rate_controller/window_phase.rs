//! Phase-aligned sending: calls are placed inside fixed windows of one second, whose start is learned from refusals.
//!
//! An evenly paced client reaches at most the share W/(W+J) of the limit, with windows of W seconds and a trip to the
//! server that varies by J seconds. A client that knows when windows begin sends no calls near their edges and reaches
//! the whole limit.

use super::{call_times::CallTimes, lockout::RefusedCall};

/// The length of the windows, in seconds.
const WINDOW_SECONDS: f64 = 1.0;

// Placement of calls in a window.

/// Edges of a window near which no calls are sent: its start and its end.
const EDGES: f64 = 2.0;
/// The smallest distance between two calls, as a share of the even distance. Below 1, so that a call that is late does
/// not delay all later calls of its window; above 0, so that late calls do not form a burst.
const MIN_SPACING_SHARE: f64 = 0.5;
/// Where a call is sent within its even share of the window: in the middle.
const POSITION_IN_SHARE: f64 = 0.5;
/// Windows that are searched for a free position, counted from the present one. The present one can be full or nearly
/// over, and the next can be full if the estimated start has moved.
const WINDOWS_SEARCHED: u8 = 3;

// Learning from refusals.

/// Unexpected refusals, less those compensated by accepted calls, above which the windows are assumed not to be fixed.
/// Fewer would give up fixed windows after a few late calls; more would cost refusals on sliding windows.
const MAX_REFUSAL_SCORE: f64 = 3.0;
/// The part of a refusal that one accepted call compensates. Phase-aligned sending continues as long as less than 0.6 %
/// of the calls are refused, which is below the goal of 1 %.
const COMPENSATION_PER_ACCEPTED: f64 = 0.006;
/// Seconds from sending an unexpectedly refused call to the end of its window, if no header has it. Small, because such
/// a call was sent shortly before the end.
const ASSUMED_WINDOW_END_SECONDS: f64 = 0.03;
/// The smallest weight of an exact reset in the estimated start. Smaller averages more, larger follows a moving start
/// faster.
const MIN_EXACT_WEIGHT: f64 = 0.1;
/// The smallest weight of a refusal without an exact reset. It is larger than [`MIN_EXACT_WEIGHT`], because such
/// refusals are rare and must still move the estimate.
const MIN_ASSUMED_WEIGHT: f64 = 0.3;

/// An estimate of when fixed windows of one second begin, in terms of when calls are sent.
#[derive(Clone, Debug)]
pub(super) struct WindowPhase {
    /// The start of one window, in seconds since the epoch.
    start: f64,
    /// Observations of a boundary so far.
    observations: u32,
    /// Unexpected refusals, less those compensated by accepted calls.
    refusal_score: f64,
    /// Calls accepted since the last unexpected refusal.
    accepted_in_a_row: f64,
    /// The largest value of `accepted_in_a_row` so far.
    max_accepted_in_a_row: f64,
}

/// How calls are placed in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowPlan {
    /// Calls per window.
    pub(super) calls: f64,
    /// Seconds at each edge in which no call is sent.
    pub(super) guard: f64,
}

impl WindowPlan {
    /// Seconds of the window in which calls are sent.
    pub(super) fn usable_seconds(self) -> f64 {
        WINDOW_SECONDS - EDGES * self.guard
    }

    /// The guard in seconds at which `usable` seconds of the window remain.
    pub(super) fn guard_for(usable: f64) -> f64 {
        (WINDOW_SECONDS - usable) / EDGES
    }

    /// Seconds between two calls that are spread evenly.
    fn spacing(self) -> f64 {
        self.usable_seconds() / self.calls
    }
}

impl WindowPhase {
    /// Assumes that a window begins at `start`.
    pub(super) fn new(start: f64) -> Self {
        Self { start, observations: 0, refusal_score: 0.0, accepted_in_a_row: 0.0, max_accepted_in_a_row: 0.0 }
    }

    /// When the next call after those in `sent` may be sent.
    pub(super) fn next_send(&self, now: f64, sent: &CallTimes, plan: WindowPlan) -> f64 {
        let spaced = sent.newest().map_or(0.0, |newest| newest + plan.spacing() * MIN_SPACING_SHARE);
        let window = ((now - self.start) / WINDOW_SECONDS).floor();
        (0..WINDOWS_SEARCHED)
            .find_map(|ahead| self.next_send_in(window + f64::from(ahead), now, sent, plan))
            .unwrap_or(now + WINDOW_SECONDS)
            .max(spaced)
    }

    /// Records an accepted call.
    pub(super) fn on_accepted(&mut self) {
        self.refusal_score = (self.refusal_score - COMPENSATION_PER_ACCEPTED).max(0.0);
        self.accepted_in_a_row += 1.0;
        self.max_accepted_in_a_row = self.max_accepted_in_a_row.max(self.accepted_in_a_row);
    }

    /// Whether `calls` calls in a row have been accepted at least once.
    pub(super) fn has_accepted_in_a_row(&self, calls: f64) -> bool {
        self.max_accepted_in_a_row >= calls
    }

    /// Adjusts the start if the refusal has an exact reset. This is valid for every refusal, also for one that a probe
    /// caused.
    pub(super) fn observe_reset(&mut self, refused: &RefusedCall) {
        if let Some(reset) = refused.exact_reset().filter(|reset| *reset <= WINDOW_SECONDS) {
            self.observe_boundary(refused.sent + reset, MIN_EXACT_WEIGHT);
        }
    }

    /// Records an unexpected refusal and adjusts the start. Returns false if there have been too many, so that the
    /// windows are probably not fixed.
    pub(super) fn on_refused(&mut self, refused: &RefusedCall) -> bool {
        self.refusal_score += 1.0;
        self.accepted_in_a_row = 0.0;
        if refused.exact_reset().is_none() {
            self.observe_boundary(refused.sent + ASSUMED_WINDOW_END_SECONDS, MIN_ASSUMED_WEIGHT);
        }
        self.refusal_score <= MAX_REFUSAL_SCORE
    }

    /// When the next call may be sent in one window, which is `window` windows after the estimated start.
    fn next_send_in(&self, window: f64, now: f64, sent: &CallTimes, plan: WindowPlan) -> Option<f64> {
        let spacing = plan.spacing();
        let begin = self.start + window * WINDOW_SECONDS;
        let used = sent.count_between(begin, begin + WINDOW_SECONDS);
        let at = begin + plan.guard + (used + POSITION_IN_SHARE) * spacing;
        let in_time = at.max(now) <= begin + WINDOW_SECONDS - plan.guard + spacing;
        (used + 1.0 <= plan.calls && in_time).then_some(at)
    }

    /// Moves the start towards an observed boundary. The n-th observation has the weight 1/n, but at least
    /// `min_weight`.
    fn observe_boundary(&mut self, boundary: f64, min_weight: f64) {
        self.observations += 1;
        let weight = (1.0 / f64::from(self.observations)).max(min_weight);
        self.start += weight * nearest_offset(boundary - self.start);
    }
}

/// The equivalent offset between two boundaries that lies within half a window around zero.
fn nearest_offset(offset: f64) -> f64 {
    let ahead = offset.rem_euclid(WINDOW_SECONDS);
    if ahead > WINDOW_SECONDS / 2.0 { ahead - WINDOW_SECONDS } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: WindowPlan = WindowPlan { calls: 5.0, guard: 0.25 };

    fn send_until(phase: &WindowPhase, until: f64) -> Vec<f64> {
        let mut sent = CallTimes::new(10.0);
        let mut now = 0.0;
        std::iter::from_fn(|| {
            now = phase.next_send(now, &sent, PLAN).max(now);
            sent.insert(now);
            (now < until).then_some(now)
        })
        .collect()
    }

    #[test]
    fn every_window_is_filled_and_its_edges_stay_clear() {
        let sent = send_until(&WindowPhase::new(0.4), 10.4);

        let sent = sent.into_iter().filter(|at| *at > 0.4).collect::<Vec<_>>();
        assert_eq!(sent.len(), 50);
        assert!(sent.iter().map(|at| (at - 0.4).rem_euclid(1.0)).all(|at| (0.25..=0.76).contains(&at)));
    }

    #[test]
    fn an_exact_reset_moves_the_estimated_start() {
        let mut phase = WindowPhase::new(0.0);
        phase.observe_reset(&RefusedCall { sent: 7.1, replied: 7.2, reset: Some(0.2) });
        assert!((phase.start - 0.3).abs() < 1e-9);
    }

    #[test]
    fn repeated_refusals_show_that_windows_are_not_fixed() {
        let mut phase = WindowPhase::new(0.0);
        let refused = RefusedCall { sent: 7.1, replied: 7.2, reset: None };
        assert!((0..3).all(|_| phase.on_refused(&refused)));
        assert!(!phase.on_refused(&refused));
    }
}
