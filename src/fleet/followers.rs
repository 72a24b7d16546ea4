//! [`Followers`], the replicas that have sent a request to this one in the last minute.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// A replica that has sent no request for this long is not counted. A follower sends one every 15 s.
const MEMORY: Duration = Duration::from_secs(60);

/// The other replicas that have sent a request to this one in the last minute.
#[derive(Debug, Default)]
pub struct Followers {
    last_requests: Mutex<HashMap<String, Instant>>,
}

impl Followers {
    /// Records a request of the replica with this id.
    pub fn record(&self, replica: &str) {
        self.last_requests.lock().insert(replica.to_owned(), Instant::now());
    }

    /// The number of these replicas.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut last_requests = self.last_requests.lock();
        last_requests.retain(|_, last| last.elapsed() < MEMORY);
        last_requests.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_sends_nothing_for_a_minute_is_not_counted() {
        let followers = Followers::default();
        followers.record("a");
        tokio::time::advance(MEMORY / 2).await;
        followers.record("b");
        followers.record("b");
        assert_eq!(followers.count(), 2);
        tokio::time::advance(MEMORY / 2).await;
        assert_eq!(followers.count(), 1);
    }
}
