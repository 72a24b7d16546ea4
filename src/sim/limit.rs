//! Upstream's rate limits, each as a pure state machine over time.
//!
//! Published are limits per second, per minute, and both together; nobody says whether their windows are
//! fixed or slide, nor whether some are buckets with a burst. So all of these exist here.

use std::{collections::VecDeque, fmt, str::FromStr, time::Duration};

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
    limits: Vec<(Limit, Memory)>,
}

#[derive(Clone, Debug)]
enum Memory {
    Window { index: i64, used: u32 },
    Log(VecDeque<Duration>),
    Bucket { tokens: f64, at: Duration },
}

impl Limits {
    /// Limits that all hold at once; none at all admits everything.
    #[must_use]
    pub fn new(limits: &[Limit]) -> Self {
        Self { limits: limits.iter().map(|limit| (*limit, limit.fresh())).collect() }
    }

    /// Admits or refuses a call that arrives at `now`, counted from an epoch of the caller's choice. `now` never goes back.
    ///
    /// # Errors
    /// The refusal whose reset is the longest, where any limit is spent.
    pub fn admit(&mut self, now: Duration) -> Result<(), Refusal> {
        let refusals = self.limits.iter_mut().filter_map(|(limit, memory)| limit.refusal(memory, now));
        if let Some(longest) = refusals.max_by_key(|refusal| refusal.reset) {
            return Err(longest);
        }
        for (_, memory) in &mut self.limits {
            memory.charge(now);
        }
        Ok(())
    }
}

impl Limit {
    fn fresh(&self) -> Memory {
        match *self {
            Self::Fixed { .. } => Memory::Window { index: i64::MIN, used: 0 },
            Self::Sliding { .. } => Memory::Log(VecDeque::new()),
            Self::Bucket { burst, .. } => Memory::Bucket { tokens: burst, at: Duration::ZERO },
        }
    }

    fn refusal(&self, memory: &mut Memory, now: Duration) -> Option<Refusal> {
        match (*self, memory) {
            (Self::Fixed { calls, window, phase }, Memory::Window { index, used }) => {
                let (current, left) = position(now, window, phase);
                if *index != current {
                    (*index, *used) = (current, 0);
                }
                (*used >= calls).then_some(Refusal { reset: left, window, calls })
            }
            (Self::Sliding { calls, window }, Memory::Log(log)) => {
                while log.front().is_some_and(|sent| *sent + window <= now) {
                    log.pop_front();
                }
                let oldest = log.front().copied().unwrap_or(now);
                (log.len() >= calls as usize).then(|| Refusal {
                    reset: (oldest + window).saturating_sub(now),
                    window,
                    calls,
                })
            }
            (Self::Bucket { rate, burst }, Memory::Bucket { tokens, at }) => {
                *tokens = (*tokens + (now.saturating_sub(*at)).as_secs_f64() * rate).min(burst);
                *at = now;
                (*tokens < 1.0).then(|| Refusal {
                    reset: Duration::from_secs_f64((1.0 - *tokens) / rate),
                    window: Duration::from_secs(1),
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a hint for a header")]
                    calls: rate.max(0.0) as u32,
                })
            }
            _ => unreachable!("a limit's memory is made by the limit"),
        }
    }
}

impl Memory {
    fn charge(&mut self, now: Duration) {
        match self {
            Self::Window { used, .. } => *used += 1,
            Self::Log(log) => log.push_back(now),
            Self::Bucket { tokens, .. } => *tokens -= 1.0,
        }
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
        let limits = text.split(',').map(parse_limit).collect::<Option<Vec<_>>>();
        limits.map(|limits| Self::new(&limits)).ok_or(ParseLimitError)
    }
}

/// A text that describes no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLimitError;

impl fmt::Display for ParseLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a limit such as 50/s, 1000/min, 50/s,1000/min, sliding:50/s, bucket:50/s:5 or none")
    }
}

impl std::error::Error for ParseLimitError {}

fn parse_limit(text: &str) -> Option<Limit> {
    let rate = |text: &str| -> Option<(u32, Duration)> {
        let (calls, unit) = text.split_once('/')?;
        let window = match unit {
            "s" => Duration::from_secs(1),
            "min" => Duration::from_secs(60),
            _ => return None,
        };
        calls.parse().ok().filter(|calls| *calls > 0).map(|calls| (calls, window))
    };
    if let Some(sliding) = text.strip_prefix("sliding:") {
        let (calls, window) = rate(sliding)?;
        return Some(Limit::Sliding { calls, window });
    }
    if let Some(bucket) = text.strip_prefix("bucket:") {
        let (refill, burst) = bucket.split_once(':')?;
        let (calls, window) = rate(refill)?;
        let burst = burst.parse::<f64>().ok().filter(|burst| *burst >= 1.0 && burst.is_finite())?;
        return Some(Limit::Bucket { rate: f64::from(calls) / window.as_secs_f64(), burst });
    }
    let (calls, window) = rate(text)?;
    Some(Limit::Fixed { calls, window, phase: Duration::ZERO })
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
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in ["", "5", "0/s", "5/h", "bucket:5/s", "bucket:5/s:0", "sliding:x/s"] {
            assert!(wrong.parse::<Limits>().is_err(), "{wrong:?}");
        }
    }
}
