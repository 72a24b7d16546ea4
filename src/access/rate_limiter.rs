//! Rate limit of callers: a token bucket per caller.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Number of buckets from which full buckets are removed before another is added.
const BUCKETS_BEFORE_PRUNING: usize = 4096;

/// Limits the requests per minute of each caller. A bucket holds one minute's requests and refills over one minute, so
/// a dashboard may send a burst of that size, but cannot exceed the rate for longer.
#[derive(Debug)]
pub struct RateLimiter {
    limit: u32,
    buckets: Mutex<HashMap<Arc<str>, TokenBucket>>,
}

/// The requests that a caller has left.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    tokens: f64,
    updated_at: Instant,
}

/// A caller's rate limit after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Requests per minute.
    pub limit: u32,
    /// Requests that may be sent now.
    pub remaining: u32,
    /// Time until the bucket is full.
    pub full_in: Duration,
    /// Time until the next request is allowed; `None` if this one was.
    pub retry_after: Option<Duration>,
}

impl RateLimiter {
    /// The period of the limit.
    pub const WINDOW: Duration = Duration::from_secs(60);

    /// Allows `limit` requests per minute and caller; at least one.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), buckets: Mutex::default() }
    }

    /// Counts one request of the caller, if one is left.
    #[must_use]
    pub fn check(&self, caller: &Arc<str>) -> RateLimitStatus {
        let (now, limit) = (Instant::now(), f64::from(self.limit));
        let mut buckets = self.buckets.lock();
        if buckets.len() >= BUCKETS_BEFORE_PRUNING && !buckets.contains_key(caller) {
            buckets.retain(|_, bucket| bucket.tokens_at(limit, now) < limit);
        }
        let bucket = buckets.entry(Arc::clone(caller)).or_insert(TokenBucket { tokens: limit, updated_at: now });
        let available = bucket.tokens_at(limit, now);
        let is_allowed = available >= 1.0;
        let tokens = if is_allowed { available - 1.0 } else { available };
        *bucket = TokenBucket { tokens, updated_at: now };
        drop(buckets);
        RateLimitStatus {
            limit: self.limit,
            remaining: whole_requests(tokens),
            full_in: self.refill_time(limit - tokens),
            retry_after: (!is_allowed).then(|| self.refill_time(1.0 - tokens)),
        }
    }

    fn refill_time(&self, requests: f64) -> Duration {
        Self::WINDOW.mul_f64((requests / f64::from(self.limit)).max(0.0))
    }
}

impl TokenBucket {
    fn tokens_at(&self, limit: f64, now: Instant) -> f64 {
        let windows = now.duration_since(self.updated_at).as_secs_f64() / RateLimiter::WINDOW.as_secs_f64();
        windows.mul_add(limit, self.tokens).min(limit)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the limit, which is a u32")]
fn whole_requests(requests: f64) -> u32 {
    requests as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_may_spend_the_limit_at_once_and_regains_requests_over_time() {
        let (limiter, caller) = (RateLimiter::new(60), Arc::from("a"));
        let allowed = (0..100).filter(|_| limiter.check(&caller).retry_after.is_none()).count();
        assert_eq!(allowed, 60);
        assert_eq!(limiter.check(&caller).retry_after, Some(Duration::from_secs(1)));

        tokio::time::advance(Duration::from_secs(10)).await;

        let allowed = (0..100).filter(|_| limiter.check(&caller).retry_after.is_none()).count();
        assert_eq!(allowed, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn each_caller_has_a_limit_of_its_own() {
        let limiter = RateLimiter::new(1);
        let (one, other) = (Arc::from("a"), Arc::from("b"));
        assert_eq!(limiter.check(&one).retry_after, None);
        assert_eq!(limiter.check(&one).retry_after, Some(RateLimiter::WINDOW));
        assert_eq!(limiter.check(&other).retry_after, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_returns_what_is_left_and_when_all_is_back() {
        let (limiter, caller) = (RateLimiter::new(120), Arc::from("a"));
        let status = limiter.check(&caller);
        assert_eq!((status.limit, status.remaining, status.full_in), (120, 119, Duration::from_millis(500)));
    }

    #[tokio::test(start_paused = true)]
    async fn full_buckets_are_removed() {
        let limiter = RateLimiter::new(60);
        for caller in 0..3 * BUCKETS_BEFORE_PRUNING {
            let _ = limiter.check(&Arc::from(caller.to_string()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(limiter.buckets.lock().len() <= 2 * BUCKETS_BEFORE_PRUNING);
    }
}
