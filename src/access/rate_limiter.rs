//! Rate limits: a token bucket for each caller, or for each peer that sends wrong credentials.

use std::{fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Maximum number of buckets. If more are in use, those that are used least are full again.
const MAX_BUCKETS: u64 = 65_536;

/// Limits the requests per minute of each `K`. A bucket holds one minute's requests and refills over one minute, so
/// a dashboard may send a burst of that size, but cannot exceed the rate for longer.
#[derive(Debug)]
pub struct RateLimiter<K: Debug + Hash + Eq + Send + Sync + 'static> {
    limit: u32,
    buckets: Cache<K, Arc<Mutex<TokenBucket>>>,
}

/// The requests that are left in a bucket.
#[derive(Clone, Copy, Debug)]
struct TokenBucket {
    tokens: f64,
    updated_at: Instant,
}

/// A rate limit after a request.
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

impl RateLimitStatus {
    /// The period of the limit.
    pub const WINDOW: Duration = Duration::from_secs(60);
}

impl<K: Debug + Hash + Eq + Clone + Send + Sync + 'static> RateLimiter<K> {
    /// Allows `limit` requests per minute and key; at least one.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        // A bucket that was not used for one period is full.
        let buckets = Cache::builder().max_capacity(MAX_BUCKETS).time_to_idle(RateLimitStatus::WINDOW).build();
        Self { limit: limit.max(1), buckets }
    }

    /// Counts one request of the key, if one is left.
    #[must_use]
    pub fn check(&self, key: &K) -> RateLimitStatus {
        let (now, limit) = (Instant::now(), f64::from(self.limit));
        let full = || Arc::new(Mutex::new(TokenBucket { tokens: limit, updated_at: now }));
        let bucket = self.buckets.get_with_by_ref(key, full);
        let mut bucket = bucket.lock();
        let available = bucket.tokens_at(limit, now);
        let is_allowed = available >= 1.0;
        let tokens = if is_allowed { available - 1.0 } else { available };
        *bucket = TokenBucket { tokens, updated_at: now };
        drop(bucket);
        RateLimitStatus {
            limit: self.limit,
            remaining: whole_requests(tokens),
            full_in: self.refill_time(limit - tokens),
            retry_after: (!is_allowed).then(|| self.refill_time(1.0 - tokens)),
        }
    }

    fn refill_time(&self, requests: f64) -> Duration {
        RateLimitStatus::WINDOW.mul_f64((requests / f64::from(self.limit)).max(0.0))
    }
}

impl TokenBucket {
    fn tokens_at(&self, limit: f64, now: Instant) -> f64 {
        // Another thread may have updated the bucket after `now` was read.
        let windows =
            now.saturating_duration_since(self.updated_at).as_secs_f64() / RateLimitStatus::WINDOW.as_secs_f64();
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
        let (limiter, caller) = (RateLimiter::new(60), "a");
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
        let (one, other) = ("a", "b");
        assert_eq!(limiter.check(&one).retry_after, None);
        assert_eq!(limiter.check(&one).retry_after, Some(RateLimitStatus::WINDOW));
        assert_eq!(limiter.check(&other).retry_after, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_returns_what_is_left_and_when_all_is_back() {
        let (limiter, caller) = (RateLimiter::new(120), "a");
        let status = limiter.check(&caller);
        assert_eq!((status.limit, status.remaining, status.full_in), (120, 119, Duration::from_millis(500)));
    }

    #[tokio::test]
    async fn the_number_of_buckets_is_limited() {
        let limiter = RateLimiter::new(60);
        for key in 0..2 * MAX_BUCKETS {
            let _ = limiter.check(&key);
        }
        limiter.buckets.run_pending_tasks();
        assert!(limiter.buckets.entry_count() <= MAX_BUCKETS);
    }
}
