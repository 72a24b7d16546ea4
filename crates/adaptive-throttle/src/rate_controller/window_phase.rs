//! Sending in step with a second's window: where the window begins is learned from refusals.
//!
//! A paced sender that does not know the phase reaches W/(W+J), J being the spread of the way to upstream. One that
//! knows it keeps clear of the edges and reaches everything.

use super::{closure::Refusal, log::Log};

/// The length of the windows, in seconds.
const WINDOW: f64 = 1.0;
/// Refusals, less what calls accepted since have made good, after which the windows are not fixed ones after all.
const GIVE_UP: f64 = 3.0;
/// How much of a refusal one accepted call makes good.
const MAKES_GOOD: f64 = 0.006;
/// How long after a call refused without a header its window is taken to end.
const SHORTLY: f64 = 0.03;

/// A belief about where fixed windows of a second begin, in terms of when calls are sent.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// When one window began.
    start: f64,
    /// How often a boundary was seen.
    seen: u32,
    /// Refusals not made good yet.
    score: f64,
    /// Calls accepted since the last refusal, and the most there ever were.
    clean: f64,
    cleanest: f64,
}

/// How to fill a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// Calls for each window.
    pub(super) calls: f64,
    /// Seconds to keep clear of at both edges.
    pub(super) guard: f64,
}

impl Phase {
    /// A window may begin at `start`.
    pub(super) fn new(start: f64) -> Self {
        Self { start, seen: 0, score: 0.0, clean: 0.0, cleanest: 0.0 }
    }

    /// When the next call may go, after those in `sent`.
    pub(super) fn slot(&self, now: f64, sent: &Log, filling: Filling) -> f64 {
        let gap = (WINDOW - 2.0 * filling.guard) / filling.calls;
        let spaced = sent.newest().map_or(0.0, |newest| newest + gap / 2.0);
        let window = ((now - self.start) / WINDOW).floor();
        (0..3_u8)
            .find_map(|later| self.slot_in(window + f64::from(later), now, sent, filling))
            .unwrap_or(now + WINDOW)
            .max(spaced)
    }

    /// A call was accepted.
    pub(super) fn on_accepted(&mut self) {
        self.score = (self.score - MAKES_GOOD).max(0.0);
        self.clean += 1.0;
        self.cleanest = self.cleanest.max(self.clean);
    }

    /// Whether there ever were `calls` accepted one after the other.
    pub(super) fn went_well(&self, calls: f64) -> bool {
        self.cleanest >= calls
    }

    /// Learns from a refusal with an exact reset, whatever it came from.
    pub(super) fn on_reset(&mut self, refusal: &Refusal) {
        if let Some(reset) = refusal.precise().filter(|reset| *reset <= WINDOW) {
            self.shift(refusal.sent + reset, 0.1);
        }
    }

    /// Learns from a refusal that should not have been: the window ends shortly after it. False when there have
    /// been too many.
    pub(super) fn on_refused(&mut self, refusal: &Refusal) -> bool {
        self.score += 1.0;
        self.clean = 0.0;
        if refusal.precise().is_none() {
            self.shift(refusal.sent + SHORTLY, 0.3);
        }
        self.score <= GIVE_UP
    }

    fn slot_in(&self, window: f64, now: f64, sent: &Log, filling: Filling) -> Option<f64> {
        let gap = (WINDOW - 2.0 * filling.guard) / filling.calls;
        let begin = self.start + window * WINDOW;
        let used = sent.between(begin, begin + WINDOW);
        let at = begin + filling.guard + (used + 0.5) * gap;
        let in_time = at.max(now) <= begin + WINDOW - filling.guard + gap;
        (used + 1.0 <= filling.calls && in_time).then_some(at)
    }

    /// The first sight counts wholly, later ones ever less, but never less than `least`.
    fn shift(&mut self, boundary: f64, least: f64) {
        self.seen += 1;
        let weight = (1.0 / f64::from(self.seen)).max(least);
        self.start += weight * nearest(boundary - self.start);
    }
}

/// The same offset between boundaries, in the window around zero.
fn nearest(offset: f64) -> f64 {
    let ahead = offset.rem_euclid(WINDOW);
    if ahead > WINDOW / 2.0 { ahead - WINDOW } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILLING: Filling = Filling { calls: 5.0, guard: 0.25 };

    fn filled(phase: &Phase, until: f64) -> Vec<f64> {
        let mut sent = Log::new(10.0);
        let mut now = 0.0;
        std::iter::from_fn(|| {
            now = phase.slot(now, &sent, FILLING).max(now);
            sent.add(now);
            (now < until).then_some(now)
        })
        .collect()
    }

    #[test]
    fn every_window_is_filled_and_its_edges_are_kept_clear() {
        let sent = filled(&Phase::new(0.4), 10.4);

        let sent = sent.into_iter().filter(|at| *at > 0.4).collect::<Vec<_>>();
        assert_eq!(sent.len(), 50);
        assert!(sent.iter().map(|at| (at - 0.4).rem_euclid(1.0)).all(|at| (0.25..=0.76).contains(&at)));
    }

    #[test]
    fn an_exact_reset_moves_the_window() {
        let mut phase = Phase::new(0.0);
        phase.on_reset(&Refusal { sent: 7.1, known: 7.2, reset: Some(0.2) });
        assert!((phase.start - 0.3).abs() < 1e-9);
    }

    #[test]
    fn windows_that_keep_refusing_are_no_fixed_windows() {
        let mut phase = Phase::new(0.0);
        let refusal = Refusal { sent: 7.1, known: 7.2, reset: None };
        assert!((0..3).all(|_| phase.on_refused(&refusal)));
        assert!(!phase.on_refused(&refusal));
    }
}
