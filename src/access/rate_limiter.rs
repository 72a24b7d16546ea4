//! Fair use: how many requests each caller may make.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Callers that are remembered before those are forgotten who have not asked for a while.
const REMEMBERED: usize = 4096;

/// Limits each caller to so many requests a minute: a bucket that holds as many, and fills up over a minute. So a
/// dashboard may ask for everything at once, and nobody for more than that for long.
#[derive(Debug)]
pub struct FairUse {
    limit: u32,
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

/// The requests that a caller has left.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// How a caller stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests a minute.
    pub limit: u32,
    /// Requests that are left right now.
    pub left: u32,
    /// Until all of them are back.
    pub full_in: Duration,
    /// Until the next request is allowed, where this one was one too many.
    pub retry_after: Option<Duration>,
}

impl FairUse {
    /// The time over which the limit counts.
    pub const WINDOW: Duration = Duration::from_secs(60);

    /// So many requests a minute; at least one.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), buckets: Mutex::default() }
    }

    /// Takes one request from what the caller has left.
    #[must_use]
    pub fn take(&self, caller: &Arc<str>) -> Standing {
        let (now, limit) = (Instant::now(), f64::from(self.limit));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(caller) {
            buckets.retain(|_, bucket| bucket.filled(limit, now) < limit);
        }
        let bucket = buckets.entry(Arc::clone(caller)).or_insert(Bucket { left: limit, at: now });
        let left = bucket.filled(limit, now);
        let taken = left >= 1.0;
        let after = if taken { left - 1.0 } else { left };
        *bucket = Bucket { left: after, at: now };
        drop(buckets);
        Standing {
            limit: self.limit,
            left: whole(after),
            full_in: self.time_for(limit - after),
            retry_after: (!taken).then(|| self.time_for(1.0 - after)),
        }
    }

    fn time_for(&self, requests: f64) -> Duration {
        Self::WINDOW.mul_f64((requests / f64::from(self.limit)).max(0.0))
    }
}

impl Bucket {
    fn filled(&self, limit: f64, now: Instant) -> f64 {
        let windows = now.duration_since(self.at).as_secs_f64() / FairUse::WINDOW.as_secs_f64();
        windows.mul_add(limit, self.left).min(limit)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between nothing and a limit that fits")]
fn whole(requests: f64) -> u32 {
    requests as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_may_ask_as_often_as_the_limit_says_and_again_as_time_goes_by() {
        let (fair, caller) = (FairUse::new(60), Arc::from("a"));
        let allowed = (0..100).filter(|_| fair.take(&caller).retry_after.is_none()).count();
        assert_eq!(allowed, 60);
        assert_eq!(fair.take(&caller).retry_after, Some(Duration::from_secs(1)));

        tokio::time::advance(Duration::from_secs(10)).await;

        let allowed = (0..100).filter(|_| fair.take(&caller).retry_after.is_none()).count();
        assert_eq!(allowed, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_callers_requests_are_not_anothers() {
        let fair = FairUse::new(1);
        let (one, other) = (Arc::from("a"), Arc::from("b"));
        assert_eq!(fair.take(&one).retry_after, None);
        assert_eq!(fair.take(&one).retry_after, Some(FairUse::WINDOW));
        assert_eq!(fair.take(&other).retry_after, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_is_told_how_they_stand() {
        let (fair, caller) = (FairUse::new(120), Arc::from("a"));
        let standing = fair.take(&caller);
        assert_eq!((standing.limit, standing.left, standing.full_in), (120, 119, Duration::from_millis(500)));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_have_not_asked_for_a_while_are_forgotten() {
        let fair = FairUse::new(60);
        for caller in 0..3 * REMEMBERED {
            let _ = fair.take(&Arc::from(caller.to_string()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(fair.buckets.lock().unwrap().len() <= 2 * REMEMBERED);
    }
}
