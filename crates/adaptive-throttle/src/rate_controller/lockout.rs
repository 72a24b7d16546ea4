//! One closing of the limit: from its first refusal to the first call that is accepted again.

use super::window::Window;

/// Seconds after the first refusal at which a single call asks whether the limit is open again, where no header
/// says: few, because each may be refused. A second's window is open again after the first, a minute's after the last.
const UNKNOWN: [f64; 3] = [1.1, 15.0, 61.0];
/// The same where the limit is known to be a minute's, which is run into only shortly before it opens again.
const MINUTE: [f64; 6] = [1.0, 3.0, 7.0, 15.0, 31.0, 61.0];
/// After so many refusals with nothing accepted in between, the limit is closed for certain.
const IN_A_ROW: u32 = 3;

/// A refusal as the controller learns of it; times in seconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) sent: f64,
    pub(super) known: f64,
    /// Seconds to wait according to the header; positive.
    pub(super) reset: Option<f64>,
}

impl Refusal {
    /// The reset, where it tells more than "within a second".
    fn telling(&self) -> Option<f64> {
        self.reset.filter(|reset| *reset > 1.0 || self.precise().is_some())
    }

    /// The reset, where it has decimals: then it gives the end of the window exactly.
    pub(super) fn precise(&self) -> Option<f64> {
        self.reset.filter(|reset| reset.fract() > 0.0)
    }
}

/// Refusals with nothing accepted between them but what was already on its way.
#[derive(Clone, Debug)]
pub(super) struct Closure {
    /// When the first refused call was sent.
    pub(super) first: f64,
    /// When the last refused call was sent.
    pub(super) last: f64,
    /// When the latest refusal became known that was not already on its way at the one before.
    pub(super) known: f64,
    /// Refused calls.
    pub(super) refused: u32,
    /// The longest reset named.
    pub(super) reset: Option<f64>,
    /// The reset of the first refusal, where exact.
    precise: Option<f64>,
    /// No call may go before.
    until: f64,
    tries: u32,
    in_a_row: u32,
}

impl Closure {
    /// The limit closed. `window` is that of the limit, where it is known.
    pub(super) fn begin(refusal: &Refusal, window: Option<Window>, latency: f64) -> Self {
        let mut closure = Self {
            first: refusal.sent,
            last: refusal.sent,
            known: refusal.known,
            refused: 0,
            reset: None,
            precise: refusal.precise(),
            until: 0.0,
            tries: 0,
            in_a_row: 0,
        };
        closure.again(refusal, window, latency);
        closure
    }

    /// Another refusal while it is closed.
    pub(super) fn extend(&mut self, refusal: &Refusal, window: Option<Window>, latency: f64) {
        self.last = self.last.max(refusal.sent);
        if refusal.sent < self.known {
            self.note(refusal);
            self.join(refusal, latency);
        } else {
            self.again(refusal, window, latency);
        }
    }

    /// A call was accepted that had been on its way.
    pub(super) fn interrupt(&mut self) {
        self.in_a_row = 0;
    }

    /// When the next call may go.
    pub(super) fn until(&self) -> f64 {
        self.until
    }

    /// Whether only single calls may go, to see whether it is open again.
    pub(super) fn is_probed(&self, window: Option<Window>) -> bool {
        self.tries > 1 || (window.is_none() && self.reset.is_none())
    }

    /// Whether no header told how long it lasts.
    pub(super) fn is_unexplained(&self) -> bool {
        self.reset.is_none_or(|reset| (reset - 1.0).abs() < f64::EPSILON)
    }

    /// Seconds it lasted, as far as known.
    pub(super) fn lasted(&self) -> f64 {
        (self.last - self.first).max(self.reset.unwrap_or(0.0))
    }

    /// When the window ended in which it began; only a guess where no header told.
    pub(super) fn boundary(&self) -> f64 {
        self.first + self.precise.unwrap_or(0.05)
    }

    fn note(&mut self, refusal: &Refusal) {
        self.refused += 1;
        self.in_a_row += 1;
        self.reset = match (self.reset, refusal.reset) {
            (Some(known), Some(named)) => Some(known.max(named)),
            (known, named) => known.or(named),
        };
    }

    /// A call refused that was on its way when the closing became known.
    fn join(&mut self, refusal: &Refusal, latency: f64) {
        match refusal.reset.filter(|reset| *reset > 1.0) {
            Some(reset) => self.until = self.until.max(refusal.sent + reset),
            None if self.in_a_row >= IN_A_ROW && refusal.telling().is_none() => {
                self.until = self.until.max(self.first + UNKNOWN[0] + 0.3 * latency);
            }
            None => {}
        }
    }

    /// A call refused that was sent in the knowledge of all refusals before.
    fn again(&mut self, refusal: &Refusal, window: Option<Window>, latency: f64) {
        self.note(refusal);
        self.tries += 1;
        self.known = refusal.known;
        self.until = match (refusal.telling(), window) {
            (Some(reset), _) => (refusal.sent + reset + 0.1 * latency).max(self.distrust(refusal.known)),
            // Close to a second's limit a single refusal is but jitter.
            (None, Some(Window::Second)) if self.tries == 1 => 0.0,
            (None, Some(Window::Minute)) => self.blind(&MINUTE, latency),
            (None, _) => self.blind(&UNKNOWN, latency),
        };
    }

    /// When to ask next, where headers do not tell.
    fn blind(&self, offsets: &[f64], latency: f64) -> f64 {
        let since = self.known - self.first;
        let offset = offsets.iter().copied().find(|offset| *offset > since).unwrap_or(since + 60.0);
        self.first + offset + 0.3 * latency
    }

    /// When to ask at the earliest, where headers tell but were wrong more than once.
    fn distrust(&self, now: f64) -> f64 {
        let Some(doublings) = self.tries.checked_sub(3) else { return now };
        now + (0.25 * f64::from(2_u32.saturating_pow(doublings))).min(15.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sent: f64, reset: Option<f64>) -> Refusal {
        Refusal { sent, known: sent + 0.1, reset }
    }

    #[test]
    fn everybody_waits_as_long_as_the_header_says() {
        let closure = Closure::begin(&refusal(10.0, Some(40.0)), None, 0.0);
        assert!((closure.until() - 50.0).abs() < 1e-9);
        assert!(!closure.is_probed(None));
    }

    #[test]
    fn one_refusal_close_to_a_limit_of_a_second_stops_nobody() {
        let mut closure = Closure::begin(&refusal(10.0, Some(1.0)), Some(Window::Second), 0.0);
        assert!(closure.until() <= 10.0);

        closure.extend(&refusal(10.05, Some(1.0)), Some(Window::Second), 0.0);
        closure.extend(&refusal(10.06, Some(1.0)), Some(Window::Second), 0.0);

        assert!((closure.until() - 11.1).abs() < 1e-9);
    }

    #[test]
    fn without_headers_a_minute_is_waited_out_with_three_calls() {
        let mut closure = Closure::begin(&refusal(10.0, None), None, 0.0);
        let mut asked = 0;
        while closure.until() < 70.0 {
            closure.extend(&refusal(closure.until(), None), None, 0.0);
            asked += 1;
        }
        assert!(asked <= 3, "{asked} calls");
        assert!(closure.is_probed(None));
    }

    #[test]
    fn a_header_that_was_wrong_again_and_again_is_doubted() {
        let mut closure = Closure::begin(&refusal(10.0, Some(0.01)), Some(Window::Second), 0.0);
        for _ in 0..10 {
            closure.extend(&refusal(closure.until() + 0.2, Some(0.01)), Some(Window::Second), 0.0);
        }
        assert!(closure.until() - closure.known > 10.0);
    }
}
