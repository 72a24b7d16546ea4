//! [`Followers`], the replicas that have sent a request to this one in the last minute.

use std::{collections::HashMap, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// A replica that has sent no request for this long is not counted. A follower sends one every 15 s.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// The other replicas that have sent a request to this one in the last minute.
#[derive(Debug, Default)]
pub struct Followers {
    by_id: Mutex<HashMap<String, Follower>>,
}

#[derive(Debug)]
struct Follower {
    first_request: Instant,
    last_request: Instant,
}

impl Followers {
    /// Records a request of the replica with this id.
    pub fn record(&self, replica: &str) {
        let now = Instant::now();
        let mut by_id = self.by_id.lock();
        let follower = by_id.entry(replica.to_owned());
        follower.or_insert(Follower { first_request: now, last_request: now }).last_request = now;
    }

    /// The number of these replicas.
    #[must_use]
    pub fn count(&self) -> usize {
        self.present().len()
    }

    /// The id of the one whose first request came last. In a deploy it stays longest.
    #[must_use]
    pub fn last_joined(&self) -> Option<String> {
        let by_id = self.present();
        by_id.iter().max_by_key(|(_, follower)| follower.first_request).map(|(id, _)| id.clone())
    }

    fn present(&self) -> MutexGuard<'_, HashMap<String, Follower>> {
        let mut by_id = self.by_id.lock();
        by_id.retain(|_, follower| follower.last_request.elapsed() < PRESENCE_TIMEOUT);
        by_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_sends_nothing_for_a_minute_is_not_counted() {
        let followers = Followers::default();
        followers.record("a");
        tokio::time::advance(PRESENCE_TIMEOUT / 2).await;
        followers.record("b");
        followers.record("b");
        assert_eq!(followers.count(), 2);
        tokio::time::advance(PRESENCE_TIMEOUT / 2).await;
        assert_eq!(followers.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_replica_that_joined_last_is_the_one_whose_first_request_came_last() {
        let followers = Followers::default();
        assert_eq!(followers.last_joined(), None);
        for replica in ["a", "b", "a"] {
            followers.record(replica);
            tokio::time::advance(PRESENCE_TIMEOUT / 4).await;
        }
        assert_eq!(followers.last_joined().as_deref(), Some("b"));
    }
}
