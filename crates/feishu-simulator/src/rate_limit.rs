//! Rate limits: fixed windows, sliding windows and token buckets.
//!
//! Feishu documents limits per second, per minute and both together. It does not document whether a window is fixed or
//! sliding or whether bursts are allowed, so all three kinds can be simulated. Time is an argument, so a limit can run
//! on simulated time.

use std::{collections::VecDeque, str::FromStr, time::Duration};

/// One rate limit. [`RateLimits`] combines several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateLimit {
    /// At most `calls` in each of consecutive windows. The first window begins at `phase`.
    FixedWindow {
        /// Calls admitted in one window.
        calls: u32,
        /// The length of a window.
        window: Duration,
        /// The start of the first window, as the time since the epoch.
        phase: Duration,
    },
    /// At most `calls` in any period of length `window`.
    SlidingWindow {
        /// Calls admitted in any such period.
        calls: u32,
        /// The length of the period.
        window: Duration,
    },
    /// A token bucket. Each call takes one token.
    TokenBucket {
        /// Tokens added per second.
        rate: f64,
        /// The capacity of the bucket. It is full at first.
        burst: f64,
    },
}

/// The error for a call that exceeds a rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimitExceeded {
    /// The time until the next call is admitted.
    pub reset: Duration,
    /// The window of the exceeded limit; one second for a token bucket.
    pub window: Duration,
    /// The calls per window of the exceeded limit.
    pub calls: u32,
}

/// Rate limits that apply at the same time, with their state. A rejected call is not counted by any of them.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    limiters: Vec<LimiterState>,
}

/// The error for a text that is not a list of rate limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a limit such as 50/s, 1000/min, 50/s,1000/min, sliding:50/s, bucket:50/s:5 or none")]
pub struct ParseRateLimitError;

/// A rate limit with its state.
#[derive(Clone, Debug)]
enum LimiterState {
    FixedWindow(FixedWindowState),
    SlidingWindow(SlidingWindowState),
    TokenBucket(TokenBucketState),
}

/// The number of calls admitted in the current window.
#[derive(Clone, Debug)]
struct FixedWindowState {
    calls: u32,
    window: Duration,
    phase: Duration,
    window_index: i64,
    admitted: u32,
}

/// The times of the calls admitted within the last period.
#[derive(Clone, Debug)]
struct SlidingWindowState {
    calls: u32,
    window: Duration,
    admitted_at: VecDeque<Duration>,
}

/// The number of tokens in the bucket at a time.
#[derive(Clone, Debug)]
struct TokenBucketState {
    rate: f64,
    burst: f64,
    tokens: f64,
    updated_at: Duration,
}

impl RateLimits {
    /// Limits that apply at the same time. An empty list admits every call.
    #[must_use]
    pub fn new(limits: &[RateLimit]) -> Self {
        Self { limiters: limits.iter().copied().map(LimiterState::new).collect() }
    }

    /// Admits or rejects a call that arrives at `now`, the time since an arbitrary epoch. `now` must not decrease.
    ///
    /// # Errors
    /// At least one limit is exceeded. The error is that of the limit with the longest reset.
    pub fn admit(&mut self, now: Duration) -> Result<(), RateLimitExceeded> {
        let exceeded = self.limiters.iter_mut().filter_map(|limiter| limiter.check(now));
        if let Some(longest) = exceeded.max_by_key(|error| error.reset) {
            return Err(longest);
        }
        for limiter in &mut self.limiters {
            limiter.record(now);
        }
        Ok(())
    }
}

impl LimiterState {
    fn new(limit: RateLimit) -> Self {
        match limit {
            RateLimit::FixedWindow { calls, window, phase } => {
                Self::FixedWindow(FixedWindowState { calls, window, phase, window_index: i64::MIN, admitted: 0 })
            }
            RateLimit::SlidingWindow { calls, window } => {
                Self::SlidingWindow(SlidingWindowState { calls, window, admitted_at: VecDeque::new() })
            }
            RateLimit::TokenBucket { rate, burst } => {
                Self::TokenBucket(TokenBucketState { rate, burst, tokens: burst, updated_at: Duration::ZERO })
            }
        }
    }

    fn check(&mut self, now: Duration) -> Option<RateLimitExceeded> {
        match self {
            Self::FixedWindow(state) => state.check(now),
            Self::SlidingWindow(state) => state.check(now),
            Self::TokenBucket(state) => state.check(now),
        }
    }

    /// Counts an admitted call. Called after [`Self::check`] with the same `now`.
    fn record(&mut self, now: Duration) {
        match self {
            Self::FixedWindow(state) => state.admitted += 1,
            Self::SlidingWindow(state) => state.admitted_at.push_back(now),
            Self::TokenBucket(state) => state.tokens -= 1.0,
        }
    }
}

impl FixedWindowState {
    fn check(&mut self, now: Duration) -> Option<RateLimitExceeded> {
        let (index, left) = window_position(now, self.window, self.phase);
        if self.window_index != index {
            (self.window_index, self.admitted) = (index, 0);
        }
        (self.admitted >= self.calls).then_some(RateLimitExceeded {
            reset: left,
            window: self.window,
            calls: self.calls,
        })
    }
}

impl SlidingWindowState {
    fn check(&mut self, now: Duration) -> Option<RateLimitExceeded> {
        while self.admitted_at.front().is_some_and(|time| *time + self.window <= now) {
            self.admitted_at.pop_front();
        }
        let oldest = self.admitted_at.front().copied().unwrap_or(now);
        let reset = (oldest + self.window).saturating_sub(now);
        (self.admitted_at.len() >= self.calls as usize).then_some(RateLimitExceeded {
            reset,
            window: self.window,
            calls: self.calls,
        })
    }
}

impl TokenBucketState {
    /// Tolerance for rounding, in tokens: a call after the announced reset time must be admitted.
    const TOLERANCE: f64 = 1e-6;

    fn check(&mut self, now: Duration) -> Option<RateLimitExceeded> {
        let refilled = self.tokens + now.saturating_sub(self.updated_at).as_secs_f64() * self.rate;
        (self.tokens, self.updated_at) = (refilled.min(self.burst), now);
        let missing = 1.0 - self.tokens;
        (missing > Self::TOLERANCE).then(|| RateLimitExceeded {
            reset: Duration::try_from_secs_f64(missing / self.rate).unwrap_or(Duration::MAX),
            window: Duration::from_secs(1),
            calls: self.calls_per_second(),
        })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value of a header; saturates")]
    fn calls_per_second(&self) -> u32 {
        self.rate as u32
    }
}

/// The index of the window that contains `now`, and the time until it ends.
#[expect(clippy::cast_possible_truncation, reason = "microseconds since the start of a process")]
fn window_position(now: Duration, window: Duration, phase: Duration) -> (i64, Duration) {
    let since = now.as_micros() as i64 - phase.as_micros() as i64;
    let length = (window.as_micros() as i64).max(1);
    let left = length - since.rem_euclid(length);
    (since.div_euclid(length), Duration::from_micros(left.unsigned_abs()))
}

/// Parses `50/s`, `1000/min`, `50/s,1000/min`, `sliding:50/s`, `bucket:50/s:5` (burst 5) or `none`.
impl FromStr for RateLimits {
    type Err = ParseRateLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::default());
        }
        let limits = text.split(',').map(|part| parse_limit(part.trim())).collect::<Option<Vec<_>>>();
        limits.map(|limits| Self::new(&limits)).ok_or(ParseRateLimitError)
    }
}

fn parse_limit(text: &str) -> Option<RateLimit> {
    if let Some(sliding) = text.strip_prefix("sliding:") {
        let (calls, window) = parse_rate(sliding)?;
        return Some(RateLimit::SlidingWindow { calls, window });
    }
    if let Some(bucket) = text.strip_prefix("bucket:") {
        let (refill, burst) = bucket.split_once(':')?;
        let (calls, window) = parse_rate(refill)?;
        let burst = burst.parse::<f64>().ok().filter(|burst| *burst >= 1.0 && burst.is_finite())?;
        return Some(RateLimit::TokenBucket { rate: f64::from(calls) / window.as_secs_f64(), burst });
    }
    let (calls, window) = parse_rate(text)?;
    Some(RateLimit::FixedWindow { calls, window, phase: Duration::ZERO })
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
        let mut limits: RateLimits = limits.parse().unwrap();
        arrivals.filter(|at| limits.admit(Duration::from_millis(*at)).is_ok()).collect()
    }

    #[test]
    fn a_fixed_window_admits_calls_again_after_its_end() {
        assert_eq!(admitted("2/s", [0, 10, 20, 999, 1000, 1001, 1002].into_iter()), [0, 10, 1000, 1001]);
    }

    #[test]
    fn a_rejection_states_how_long_to_wait() {
        let mut limits: RateLimits = "1/s,2/min".parse().unwrap();
        assert!(limits.admit(Duration::ZERO).is_ok());
        assert_eq!(limits.admit(Duration::from_millis(400)).unwrap_err().reset, Duration::from_millis(600));
        assert!(limits.admit(Duration::from_secs(1)).is_ok());
        assert_eq!(limits.admit(Duration::from_secs(2)).unwrap_err().reset, Duration::from_secs(58));
    }

    #[test]
    fn a_bucket_that_never_refills_states_the_longest_wait() {
        let mut limits = RateLimits::new(&[RateLimit::TokenBucket { rate: 0.0, burst: 1.0 }]);

        assert!(limits.admit(Duration::ZERO).is_ok());

        assert_eq!(limits.admit(Duration::from_secs(9)).unwrap_err().reset, Duration::MAX);
    }

    proptest! {
        #[test]
        fn a_sliding_limit_holds_in_every_period(gaps in proptest::collection::vec(0_u64..400, 1..200)) {
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
        fn a_call_after_the_stated_wait_is_admitted(
            gaps in proptest::collection::vec(0_u64..400, 1..60),
            kind in proptest::sample::select(vec!["3/s", "3/s,20/min", "sliding:3/s", "bucket:7/min:2"]),
        ) {
            let mut limits: RateLimits = kind.parse().unwrap();
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += Duration::from_millis(gap);
                while let Err(exceeded) = limits.admit(now) {
                    now += exceeded.reset;
                    prop_assert!(limits.clone().admit(now).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_text_that_is_not_a_limit_is_rejected() {
        for wrong in ["", "5", "0/s", "5/h", "bucket:5/s", "bucket:5/s:0", "sliding:x/s"] {
            assert!(wrong.parse::<RateLimits>().is_err(), "{wrong:?}");
        }
    }
}
