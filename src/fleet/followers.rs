//! [`Followers`], the replicas that have sent a request to this one in the last minute, and their releases.

use std::{collections::HashMap, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A replica that has sent no request for this long is not counted. A follower sends one every 15 s.
const MEMORY: Duration = Duration::from_secs(60);

/// The other replicas that have sent a request to this one in the last minute.
#[derive(Debug, Default)]
pub struct Followers {
    by_id: Mutex<HashMap<String, Follower>>,
}

#[derive(Debug)]
struct Follower {
    release: String,
    last_request: Instant,
}

impl Followers {
    /// Records a request of the replica with this id.
    pub fn record(&self, replica: &str, release: &str) {
        let follower = Follower { release: release.to_owned(), last_request: Instant::now() };
        self.by_id.lock().insert(replica.to_owned(), follower);
    }

    /// The number of these replicas.
    #[must_use]
    pub fn count(&self) -> usize {
        self.present().len()
    }

    /// Whether one of them has another release than this.
    #[must_use]
    pub fn has_other_release(&self, release: &str) -> bool {
        self.present().values().any(|follower| follower.release != release)
    }

    fn present(&self) -> MutexGuard<'_, HashMap<String, Follower>> {
        let mut by_id = self.by_id.lock();
        by_id.retain(|_, follower| follower.last_request.elapsed() < MEMORY);
        by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_sends_nothing_for_a_minute_is_not_counted() {
        let followers = Followers::default();
        followers.record("a", "1.1");
        tokio::time::advance(MEMORY / 2).await;
        followers.record("b", "1.0");
        followers.record("b", "1.0");
        assert_eq!(followers.count(), 2);
        assert!(followers.has_other_release("1.0"));
        tokio::time::advance(MEMORY / 2).await;
        assert_eq!(followers.count(), 1);
        assert!(!followers.has_other_release("1.0"));
    }
}
