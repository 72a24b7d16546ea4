//! A lockout: the time from the first refused call to the first call that is accepted again.

use super::limit_window::LimitWindow;

// Reset headers.

/// A reset of exactly this value is ambiguous: headers in whole seconds are rounded up, so it can mean any wait up to
/// one second.
const AMBIGUOUS_RESET_SECONDS: f64 = 1.0;
/// Part of the latency that is added to a reset. The reset counts from the arrival of the refused call, and the next
/// call may reach the server faster than that one. A larger part would leave the first moments of a window unused.
const RESET_MARGIN_LATENCIES: f64 = 0.1;
/// Seconds from sending the first refused call to the end of its window if no header has it exactly. Small, because the
/// search reaches the limit late in a window.
const ASSUMED_WINDOW_END_SECONDS: f64 = 0.05;

// Probe calls while headers do not give the end of the lockout.

/// Seconds after the first refusal at which a single probe call is sent if neither the window nor the reset is known. A
/// window of a second is over at the first, a window of a minute at the last. There are few, because each may be
/// refused.
const PROBE_OFFSETS_SECONDS: [f64; 3] = [1.1, 15.0, 61.0];
/// The same if the limit is known to count by the minute. Such a limit is usually reached shortly before its window
/// ends, so the first probes follow quickly and the distance then doubles.
const MINUTE_PROBE_OFFSETS_SECONDS: [f64; 6] = [1.0, 3.0, 7.0, 15.0, 31.0, 61.0];
/// Seconds between probes after the last offset: the longest window.
const LATE_PROBE_INTERVAL_SECONDS: f64 = 60.0;
/// Part of the latency that is added to an offset, for the same reason as [`RESET_MARGIN_LATENCIES`]; larger, because
/// an offset is less exact than a reset.
const PROBE_MARGIN_LATENCIES: f64 = 0.3;
/// Consecutive refusals of calls in flight after which sending stops although no header requires it. Fewer can be late
/// calls that arrived in the next window.
const MIN_CONSECUTIVE_REFUSALS: u32 = 3;

// Resets that turn out to be wrong.

/// From this number of refused probes on, resets are distrusted. The first refusal starts the lockout, and the second
/// can be chance.
const DISTRUST_FROM_PROBE: u32 = 3;
/// The shortest wait in seconds after a refusal with a distrusted reset. It doubles with each further refusal.
const DISTRUST_BASE_SECONDS: f64 = 0.25;
/// The longest such wait in seconds. Longer would notice the end of the lockout later, shorter would have more calls
/// refused.
const DISTRUST_MAX_SECONDS: f64 = 15.0;

/// A call that the server refused for its rate limit. Times are in seconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedCall {
    pub(super) sent: f64,
    /// When the refusal arrived.
    pub(super) replied: f64,
    /// Seconds to wait according to the header; positive.
    pub(super) reset: Option<f64>,
}

impl RefusedCall {
    /// The reset, unless it is ambiguous.
    fn definite_reset(&self) -> Option<f64> {
        self.reset.filter(|reset| *reset > AMBIGUOUS_RESET_SECONDS || self.exact_reset().is_some())
    }

    /// The reset if it has decimals. Then it gives the end of the window exactly.
    pub(super) fn exact_reset(&self) -> Option<f64> {
        self.reset.filter(|reset| reset.fract() > 0.0)
    }
}

/// The refusals of one lockout, and when the next call may be sent.
#[derive(Clone, Debug)]
pub(super) struct Lockout {
    /// When the first refused call was sent.
    pub(super) first_sent: f64,
    /// When the last refused call was sent.
    pub(super) last_sent: f64,
    /// When the newest refusal arrived whose call was sent after the arrival of all refusals before it.
    pub(super) confirmed_at: f64,
    /// Refused calls.
    pub(super) refusals: u32,
    /// The longest reset in a header, in seconds.
    pub(super) reset: Option<f64>,
    /// Whether it began in a trial of the proven estimate. Then it says nothing about the estimate before the trial.
    pub(super) is_trial: bool,
    /// The reset of the first refusal in seconds, if it is exact.
    first_exact_reset: Option<f64>,
    /// No call may be sent before this time.
    resume_at: f64,
    /// Refused calls that were sent after the arrival of all refusals before them.
    probes: u32,
    /// Refusals since the last accepted call.
    consecutive_refusals: u32,
}

impl Lockout {
    /// Begins with the first refused call. `window` is the window of the limit if it is known, `latency` the peak
    /// latency in seconds.
    pub(super) fn begin(refused: &RefusedCall, window: Option<LimitWindow>, latency: f64) -> Self {
        let mut lockout = Self {
            first_sent: refused.sent,
            last_sent: refused.sent,
            confirmed_at: refused.replied,
            refusals: 0,
            reset: None,
            is_trial: false,
            first_exact_reset: refused.exact_reset(),
            resume_at: 0.0,
            probes: 0,
            consecutive_refusals: 0,
        };
        lockout.on_refused_probe(refused, window, latency);
        lockout
    }

    /// Records a further refused call.
    pub(super) fn on_refused(&mut self, refused: &RefusedCall, window: Option<LimitWindow>, latency: f64) {
        self.last_sent = self.last_sent.max(refused.sent);
        if refused.sent < self.confirmed_at {
            self.on_refused_in_flight(refused, latency);
        } else {
            self.on_refused_probe(refused, window, latency);
        }
    }

    /// Records an accepted call that was sent before the lockout was known.
    pub(super) fn on_accepted_in_flight(&mut self) {
        self.consecutive_refusals = 0;
    }

    /// When the next call may be sent, in seconds since the epoch.
    pub(super) fn resume_at(&self) -> f64 {
        self.resume_at
    }

    /// Whether only one call at a time may be sent, to find out whether the lockout is over. If the limit may count by
    /// the minute but the rate is that of a limit per second, more calls would be sent than the next window accepts.
    pub(super) fn needs_single_probes(&self, window: Option<LimitWindow>) -> bool {
        let is_long = self.reset.is_some_and(|reset| reset > AMBIGUOUS_RESET_SECONDS);
        let may_be_long = is_long || (window.is_none() && self.reset.is_none());
        self.probes > 1 || (may_be_long && window != Some(LimitWindow::Minute))
    }

    /// Whether no header has its length.
    pub(super) fn is_of_unknown_length(&self) -> bool {
        self.reset.is_none_or(|reset| (reset - AMBIGUOUS_RESET_SECONDS).abs() < f64::EPSILON)
    }

    /// Its length in seconds as far as it is known.
    pub(super) fn length(&self) -> f64 {
        (self.last_sent - self.first_sent).max(self.reset.unwrap_or(0.0))
    }

    /// When the window ended in which it began, in terms of when calls are sent. An assumption if no header is exact.
    pub(super) fn window_end(&self) -> f64 {
        self.first_sent + self.first_exact_reset.unwrap_or(ASSUMED_WINDOW_END_SECONDS)
    }

    fn record(&mut self, refused: &RefusedCall) {
        self.refusals += 1;
        self.consecutive_refusals += 1;
        self.reset = match (self.reset, refused.reset) {
            (Some(longest), Some(reset)) => Some(longest.max(reset)),
            (longest, reset) => longest.or(reset),
        };
    }

    /// Records a refused call that was sent before the newest confirmed refusal arrived.
    fn on_refused_in_flight(&mut self, refused: &RefusedCall, latency: f64) {
        self.record(refused);
        match refused.reset.filter(|reset| *reset > AMBIGUOUS_RESET_SECONDS) {
            Some(reset) => self.resume_at = self.resume_at.max(refused.sent + reset),
            None if self.consecutive_refusals >= MIN_CONSECUTIVE_REFUSALS && refused.definite_reset().is_none() => {
                let probe_at = self.first_sent + PROBE_OFFSETS_SECONDS[0] + PROBE_MARGIN_LATENCIES * latency;
                self.resume_at = self.resume_at.max(probe_at);
            }
            None => {}
        }
    }

    /// Records a refused call that was sent after all refusals before it had arrived.
    fn on_refused_probe(&mut self, refused: &RefusedCall, window: Option<LimitWindow>, latency: f64) {
        self.record(refused);
        self.probes += 1;
        self.confirmed_at = refused.replied;
        self.resume_at = match (refused.definite_reset(), window) {
            (Some(reset), _) => (refused.sent + reset + RESET_MARGIN_LATENCIES * latency)
                .max(self.earliest_after_wrong_resets(refused.replied)),
            // A single refusal close to a limit per second comes from the variation of the trip: sending continues.
            (None, Some(LimitWindow::Second)) if self.probes == 1 => 0.0,
            (None, Some(LimitWindow::Minute)) => self.next_probe(&MINUTE_PROBE_OFFSETS_SECONDS, latency),
            (None, _) => self.next_probe(&PROBE_OFFSETS_SECONDS, latency),
        };
    }

    /// When to send the next probe if headers do not say when the lockout ends.
    fn next_probe(&self, offsets: &[f64], latency: f64) -> f64 {
        let elapsed = self.confirmed_at - self.first_sent;
        let offset =
            offsets.iter().copied().find(|offset| *offset > elapsed).unwrap_or(elapsed + LATE_PROBE_INTERVAL_SECONDS);
        self.first_sent + offset + PROBE_MARGIN_LATENCIES * latency
    }

    /// The earliest time for the next call if headers give resets that were wrong more than once.
    fn earliest_after_wrong_resets(&self, now: f64) -> f64 {
        let Some(doublings) = self.probes.checked_sub(DISTRUST_FROM_PROBE) else { return now };
        let wait = DISTRUST_BASE_SECONDS * f64::from(2_u32.saturating_pow(doublings));
        now + wait.min(DISTRUST_MAX_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sent: f64, reset: Option<f64>) -> RefusedCall {
        RefusedCall { sent, replied: sent + 0.1, reset }
    }

    #[test]
    fn no_call_is_sent_before_the_reset_in_the_header() {
        let lockout = Lockout::begin(&refused(10.0, Some(40.0)), None, 0.0);
        assert!((lockout.resume_at() - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_reset_above_a_second_needs_a_single_probe_until_the_limit_is_known_to_count_by_the_minute() {
        let long = Lockout::begin(&refused(10.0, Some(40.0)), None, 0.0);
        assert!(long.needs_single_probes(None));
        assert!(long.needs_single_probes(Some(LimitWindow::Second)));
        assert!(!long.needs_single_probes(Some(LimitWindow::Minute)));

        let short = Lockout::begin(&refused(10.0, Some(1.0)), None, 0.0);
        assert!(!short.needs_single_probes(None));
    }

    #[test]
    fn one_refusal_close_to_a_limit_per_second_does_not_stop_sending() {
        let mut lockout = Lockout::begin(&refused(10.0, Some(1.0)), Some(LimitWindow::Second), 0.0);
        assert!(lockout.resume_at() <= 10.0);

        lockout.on_refused(&refused(10.05, Some(1.0)), Some(LimitWindow::Second), 0.0);
        lockout.on_refused(&refused(10.06, Some(1.0)), Some(LimitWindow::Second), 0.0);

        assert!((lockout.resume_at() - 11.1).abs() < 1e-9);
    }

    #[test]
    fn without_headers_three_probes_cover_a_minute() {
        let mut lockout = Lockout::begin(&refused(10.0, None), None, 0.0);
        let mut probes = 0;
        while lockout.resume_at() < 70.0 {
            lockout.on_refused(&refused(lockout.resume_at(), None), None, 0.0);
            probes += 1;
        }
        assert!(probes <= 3, "{probes} calls");
        assert!(lockout.needs_single_probes(None));
    }

    #[test]
    fn a_header_that_is_wrong_repeatedly_is_distrusted() {
        let mut lockout = Lockout::begin(&refused(10.0, Some(0.01)), Some(LimitWindow::Second), 0.0);
        for _ in 0..10 {
            lockout.on_refused(&refused(lockout.resume_at() + 0.2, Some(0.01)), Some(LimitWindow::Second), 0.0);
        }
        assert!(lockout.resume_at() - lockout.confirmed_at > 10.0);
    }
}
