//! Upstream's rate limits, each as a pure state machine over time.
//!
//! Published are limits per second, per minute, and both together; nobody says whether their windows are
//! fixed or slide, nor whether some are buckets with a burst. So all of these exist here.

use std::{collections::VecDeque, str::FromStr, time::Duration};

/// One limit. Several may hold at once; see [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// At most `calls` in each window; windows follow one another, the first begins at `phase`.
    Fixed {
        /// Calls that one window admits.
        calls: u32,
        /// The length of a window.
        window: Duration,
        /// How long after the epoch the first whole window begins.
        phase: Duration,
    },
    /// At most `calls` in any stretch of `window`.
    Sliding {
        /// Calls that any stretch admits.
        calls: u32,
        /// The length of the stretch.
        window: Duration,
    },
    /// A token bucket: `rate` tokens a second, at most `burst` saved up.
    Bucket {
        /// Tokens a second.
        rate: f64,
        /// Tokens that may be saved up.
        burst: f64,
    },
}

/// A call was over the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// How long until a call would be admitted again.
    pub reset: Duration,
    /// The window of the limit that refused, as upstream might hint at it.
    pub window: Duration,
    /// The number of calls of the limit that refused.
    pub calls: u32,
}

/// All limits that hold for one API, with what they remember. A refused call is charged to none.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    gauges: Vec<Gauge>,
}

/// A text that describes no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a limit such as 50/s, 1000/min, 50/s,1000/min, sliding:50/s, bucket:50/s:5 or none")]
pub struct ParseLimitError;

/// A limit together with what it remembers of the calls so far.
#[derive(Clone, Debug)]
enum Gauge {
    Fixed(Windows),
    Sliding(Stretch),
    Bucket(Tokens),
}

/// How many calls the present window has seen.
#[derive(Clone, Debug)]
struct Windows {
    calls: u32,
    window: Duration,
    phase: Duration,
    present: i64,
    used: u32,
}

/// When the calls of the last stretch were made.
#[derive(Clone, Debug)]
struct Stretch {
    calls: u32,
    window: Duration,
    made: VecDeque<Duration>,
}

/// How many tokens were saved up at which time.
#[derive(Clone, Debug)]
struct Tokens {
    rate: f64,
    burst: f64,
    saved: f64,
    at: Duration,
}

impl Limits {
    /// Limits that all hold at once; none at all admits everything.
    #[must_use]
    pub fn new(limits: &[Limit]) -> Self {
        Self { gauges: limits.iter().copied().map(Gauge::new).collect() }
    }

    /// Admits or refuses a call that arrives at `now`, counted from an epoch of the caller's choice. `now` never goes back.
    ///
    /// # Errors
    /// The refusal whose reset is the longest, where any limit is spent.
    pub fn admit(&mut self, now: Duration) -> Result<(), Refusal> {
        let refusals = self.gauges.iter_mut().filter_map(|gauge| gauge.refusal(now));
        if let Some(longest) = refusals.max_by_key(|refusal| refusal.reset) {
            return Err(longest);
        }
        for gauge in &mut self.gauges {
            gauge.charge(now);
        }
        Ok(())
    }
}

impl Gauge {
    fn new(limit: Limit) -> Self {
        match limit {
            Limit::Fixed { calls, window, phase } => {
                Self::Fixed(Windows { calls, window, phase, present: i64::MIN, used: 0 })
            }
            Limit::Sliding { calls, window } => Self::Sliding(Stretch { calls, window, made: VecDeque::new() }),
            Limit::Bucket { rate, burst } => Self::Bucket(Tokens { rate, burst, saved: burst, at: Duration::ZERO }),
        }
    }

    fn refusal(&mut self, now: Duration) -> Option<Refusal> {
        match self {
            Self::Fixed(windows) => windows.refusal(now),
            Self::Sliding(stretch) => stretch.refusal(now),
            Self::Bucket(tokens) => tokens.refusal(now),
        }
    }

    /// Charges a call that none refused; follows [`Self::refusal`] at the same `now`.
    fn charge(&mut self, now: Duration) {
        match self {
            Self::Fixed(windows) => windows.used += 1,
            Self::Sliding(stretch) => stretch.made.push_back(now),
            Self::Bucket(tokens) => tokens.saved -= 1.0,
        }
    }
}

impl Windows {
    fn refusal(&mut self, now: Duration) -> Option<Refusal> {
        let (present, left) = position(now, self.window, self.phase);
        if self.present != present {
            (self.present, self.used) = (present, 0);
        }
        (self.used >= self.calls).then_some(Refusal { reset: left, window: self.window, calls: self.calls })
    }
}

impl Stretch {
    fn refusal(&mut self, now: Duration) -> Option<Refusal> {
        while self.made.front().is_some_and(|made| *made + self.window <= now) {
            self.made.pop_front();
        }
        let oldest = self.made.front().copied().unwrap_or(now);
        let reset = (oldest + self.window).saturating_sub(now);
        (self.made.len() >= self.calls as usize).then_some(Refusal { reset, window: self.window, calls: self.calls })
    }
}

impl Tokens {
    /// What rounding may swallow: a caller that waited for as long as it was told is not told again.
    const ROUNDING: f64 = 1e-6;

    fn refusal(&mut self, now: Duration) -> Option<Refusal> {
        let refilled = self.saved + now.saturating_sub(self.at).as_secs_f64() * self.rate;
        (self.saved, self.at) = (refilled.min(self.burst), now);
        let missing = 1.0 - self.saved;
        (missing > Self::ROUNDING).then(|| Refusal {
            reset: Duration::try_from_secs_f64(missing / self.rate).unwrap_or(Duration::MAX),
            window: Duration::from_secs(1),
            calls: self.calls_a_second(),
        })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a hint for a header; saturates")]
    fn calls_a_second(&self) -> u32 {
        self.rate as u32
    }
}

/// The number of the window that `now` lies in, and how much of it is left.
#[expect(clippy::cast_possible_truncation, reason = "microseconds of a process's life")]
fn position(now: Duration, window: Duration, phase: Duration) -> (i64, Duration) {
    let since = now.as_micros() as i64 - phase.as_micros() as i64;
    let length = (window.as_micros() as i64).max(1);
    let left = length - since.rem_euclid(length);
    (since.div_euclid(length), Duration::from_micros(left.unsigned_abs()))
}

/// `50/s`, `1000/min`, `50/s,1000/min`, `sliding:50/s`, `bucket:50/s:5` (burst 5), `none`.
impl FromStr for Limits {
    type Err = ParseLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::default());
        }
        let limits = text.split(',').map(|one| parse_limit(one.trim())).collect::<Option<Vec<_>>>();
        limits.map(|limits| Self::new(&limits)).ok_or(ParseLimitError)
    }
}

fn parse_limit(text: &str) -> Option<Limit> {
    if let Some(sliding) = text.strip_prefix("sliding:") {
        let (calls, window) = parse_rate(sliding)?;
        return Some(Limit::Sliding { calls, window });
    }
    if let Some(bucket) = text.strip_prefix("bucket:") {
        let (refill, burst) = bucket.split_once(':')?;
        let (calls, window) = parse_rate(refill)?;
        let burst = burst.parse::<f64>().ok().filter(|burst| *burst >= 1.0 && burst.is_finite())?;
        return Some(Limit::Bucket { rate: f64::from(calls) / window.as_secs_f64(), burst });
    }
    let (calls, window) = parse_rate(text)?;
    Some(Limit::Fixed { calls, window, phase: Duration::ZERO })
}

fn parse_rate(text: &str) -> Option<(u32, Duration)> {
    let (calls, unit) = text.split_once('/')?;
    let window = match unit {
        "s" => Duration::from_secs(1),
        "min" => Duration::from_secs(60),
        _ => return None,
    };
    let calls = calls.parse().ok().filter(|calls| *calls > 0)?;
    Some((calls, window))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admitted(limits: &str, arrivals: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut limits: Limits = limits.parse().unwrap();
        arrivals.filter(|at| limits.admit(Duration::from_millis(*at)).is_ok()).collect()
    }

    #[test]
    fn a_fixed_window_opens_afresh() {
        assert_eq!(admitted("2/s", [0, 10, 20, 999, 1000, 1001, 1002].into_iter()), [0, 10, 1000, 1001]);
    }

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        let mut limits: Limits = "1/s,2/min".parse().unwrap();
        assert!(limits.admit(Duration::ZERO).is_ok());
        assert_eq!(limits.admit(Duration::from_millis(400)).unwrap_err().reset, Duration::from_millis(600));
        assert!(limits.admit(Duration::from_secs(1)).is_ok());
        assert_eq!(limits.admit(Duration::from_secs(2)).unwrap_err().reset, Duration::from_secs(58));
    }

    #[test]
    fn a_bucket_that_never_refills_asks_for_a_very_long_wait() {
        let mut limits = Limits::new(&[Limit::Bucket { rate: 0.0, burst: 1.0 }]);

        assert!(limits.admit(Duration::ZERO).is_ok());

        assert_eq!(limits.admit(Duration::from_secs(9)).unwrap_err().reset, Duration::MAX);
    }

    proptest! {
        #[test]
        fn a_sliding_limit_holds_in_every_stretch(gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let arrivals = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) });
            let sent = admitted("sliding:5/s", arrivals);
            for window in sent.windows(6) {
                prop_assert!(window[5] - window[0] >= 1000);
            }
        }

        #[test]
        fn a_bucket_never_exceeds_rate_and_burst(gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let arrivals = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) });
            let sent = admitted("bucket:10/s:3", arrivals);
            for (count, at) in sent.iter().enumerate() {
                prop_assert!(count as u64 <= 3 + at / 100);
            }
        }

        #[test]
        fn waiting_as_long_as_told_is_long_enough(
            gaps in proptest::collection::vec(0_u64..400, 1..60),
            kind in proptest::sample::select(vec!["3/s", "3/s,20/min", "sliding:3/s", "bucket:7/min:2"]),
        ) {
            let mut limits: Limits = kind.parse().unwrap();
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += Duration::from_millis(gap);
                while let Err(refusal) = limits.admit(now) {
                    now += refusal.reset;
                    prop_assert!(limits.clone().admit(now).is_ok());
                }
            }
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in ["", "5", "0/s", "5/h", "bucket:5/s", "bucket:5/s:0", "sliding:x/s"] {
            assert!(wrong.parse::<Limits>().is_err(), "{wrong:?}");
        }
    }
}
