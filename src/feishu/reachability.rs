//! [`Reachability`]: for how long upstream has not replied.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long requests have failed without any reply in between.
#[derive(Debug, Default)]
pub struct Reachability {
    failures: Mutex<Option<Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    first: Instant,
    latest: Instant,
}

impl Reachability {
    /// Records whether a request got a reply.
    pub fn record(&self, replied: bool) {
        let now = Instant::now();
        let mut failures = self.failures.lock();
        *failures =
            (!replied).then(|| Failures { first: failures.map_or(now, |failures| failures.first), latest: now });
    }

    /// The time from the first to the latest failure since the last reply; zero after a reply. It does not grow while no request
    /// is sent.
    #[must_use]
    pub fn unreachable_for(&self) -> Duration {
        self.failures.lock().map_or(Duration::ZERO, |failures| failures.latest - failures.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_failures_without_a_reply_in_between_count() {
        let second = Duration::from_secs(1);
        let reachability = Reachability::default();
        reachability.record(false);
        tokio::time::advance(second).await;
        assert_eq!(reachability.unreachable_for(), Duration::ZERO);
        reachability.record(false);
        assert_eq!(reachability.unreachable_for(), second);
        tokio::time::advance(second).await;
        assert_eq!(reachability.unreachable_for(), second);
        reachability.record(true);
        assert_eq!(reachability.unreachable_for(), Duration::ZERO);
    }
}
