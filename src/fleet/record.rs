//! [`FleetRecord`], the record that the replicas share. It contains no secret and no personal data.

use std::{sync::Arc, time::Duration};

use adaptive_throttle::{LearnedLimit, RecentCalls};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{Day, Geo};

/// The newest version of the record that this release understands. A record of a later version is read, but not replaced.
pub const RECORD_VERSION: u32 = 1;

/// The longest lease, as of the setting. A longer one in a record is an error of who wrote it.
const MAX_LEASE: Duration = Duration::from_secs(60);

/// The object of a bucket that holds the record.
pub const RECORD_OBJECT: &str = "fleet/record.json";

/// The record of a fleet: who leads, and what a successor needs to know.
///
/// A field that an earlier release does not write has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetRecord {
    /// The version of the record; see [`RECORD_VERSION`].
    pub version: u32,
    /// Counts the changes of the leader.
    pub term: u64,
    /// A random number that each write draws. Replicas recognise their own writes and changes by it.
    pub nonce: RecordNonce,
    /// How long the record must be unchanged before another replica may replace it, in seconds. The length is part of the
    /// record, because replicas can have different settings during a deploy.
    pub lease_seconds: f64,
    /// The replica that leads. `None` after the leader has released the lease.
    pub leader: Option<LeaderAddress>,
    /// The release of the replica that wrote the record.
    #[serde(default)]
    pub release: String,
    /// What is known about upstream.
    #[serde(default)]
    pub upstream: SharedUpstreamState,
    /// The days that were deleted on request.
    #[serde(default)]
    pub deleted: DeletedDays,
    /// Number of replicas that the leader has seen in the last minute, itself included.
    #[serde(default)]
    pub replicas: u32,
    /// The id of the replica that leads next after a release of the lease: the one whose first request to the leader came last.
    #[serde(default)]
    pub successor: Option<String>,
}

/// Identifies one write of a record: 128 random bits in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordNonce(pub String);

/// A replica that leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderAddress {
    /// A random id that the replica draws when its process starts.
    pub id: String,
    /// Host and port at which other replicas reach it, after `https://` if it serves TLS.
    pub address: String,
    /// Proves that the replica has the app secret: others send it requests that contain the credentials of callers.
    #[serde(default)]
    pub proof: String,
}

/// What the leader knows about upstream, for its successor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SharedUpstreamState {
    /// The first day of the month, in UTC+8, that the calls are counted for.
    pub month: Option<Day>,
    /// Successful calls of the month.
    pub calls: u64,
    /// The count that the calls may reach before the record is written again. A successor of a replica that ended without
    /// a last write starts from it.
    pub reserved: u64,
    /// Whether upstream refuses calls for the rest of the month.
    pub exhausted: bool,
    /// The learned rate limit.
    pub limit: Option<LearnedLimit>,
    /// The calls of the minute before the record was written. A successor stays within the window of its predecessor.
    pub recent_calls: RecentCalls,
}

/// Number of deletions in a record. A replica that missed more removes all days from memory.
const MAX_DELETED_DAYS: usize = 64;

/// Days that were deleted on request or have expired. Replicas remove them from memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletedDays {
    /// Number of deletions so far.
    pub count: u64,
    /// The latest deletions, the newest last.
    pub latest: Vec<DeletedDay>,
}

/// A deleted day, for all types of user id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedDay {
    /// The geo.
    pub geo: Geo,
    /// The date.
    pub day: Day,
    /// The id of the replica that deleted it.
    #[serde(default)]
    pub by: Arc<str>,
}

/// What a replica must remove from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissedDeletions {
    /// These days.
    Days(Vec<DeletedDay>),
    /// All days: more were deleted than the record names.
    All,
}

impl DeletedDays {
    /// Adds deletions.
    pub fn add(&mut self, days: &[DeletedDay]) {
        self.count += days.len() as u64;
        self.latest.extend_from_slice(days);
        let surplus = self.latest.len().saturating_sub(MAX_DELETED_DAYS);
        self.latest.drain(..surplus);
    }

    /// The deletions after the first `count`.
    #[must_use]
    pub fn since(&self, count: u64) -> MissedDeletions {
        // A smaller number shows that the store has lost writes, and with them deletions.
        let missed = self.count.checked_sub(count).and_then(|missed| usize::try_from(missed).ok());
        match missed.and_then(|missed| self.latest.len().checked_sub(missed)) {
            Some(first) => MissedDeletions::Days(self.latest[first..].to_vec()),
            None => MissedDeletions::All,
        }
    }
}

impl FleetRecord {
    /// The lease as a duration, at most 60 s. A length that is no valid duration counts as zero.
    #[must_use]
    pub fn lease(&self) -> Duration {
        Duration::try_from_secs_f64(self.lease_seconds).unwrap_or_default().min(MAX_LEASE)
    }

    /// Whether this release understands the record well enough to replace it.
    #[must_use]
    pub const fn is_understood(&self) -> bool {
        self.version <= RECORD_VERSION
    }
}

impl RecordNonce {
    /// A new nonce.
    #[must_use]
    pub fn random() -> Self {
        Self(random_id())
    }
}

/// A random text of 32 hexadecimal digits.
#[must_use]
pub fn random_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// The Redis key of the record. Fleets of different apps, or of one app at different upstreams, have different keys. The
/// braces make a Redis cluster place all keys of a fleet on one node.
#[must_use]
pub fn redis_key(app_id: &str, upstream: &str) -> String {
    let digest = Sha256::digest(format!("{app_id}\n{upstream}"));
    let number = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
    format!("feishu-pulse:{{{number:016x}}}:fleet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_earlier_release_is_read() {
        let text = r#"{"version":1,"term":3,"nonce":"ab","lease_seconds":10,"leader":null}"#;
        let record: FleetRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.term, record.lease(), record.leader), (3, Duration::from_secs(10), None));
        assert_eq!(record.upstream, SharedUpstreamState::default());
    }

    #[test]
    fn the_calls_of_the_last_minute_are_a_short_list() {
        let text = r#"{"month":null,"calls":0,"reserved":0,"exhausted":false,"limit":null,"recent_calls":[0,3]}"#;
        let upstream: SharedUpstreamState = serde_json::from_str(text).unwrap();
        assert_ne!(upstream.recent_calls, RecentCalls::default());
        assert_eq!(serde_json::to_string(&upstream).unwrap(), text);
    }

    #[test]
    fn a_record_of_a_later_release_is_read_and_not_replaced() {
        let text = r#"{"version":2,"term":3,"nonce":"ab","lease_seconds":-1,"leader":null,"new":{}}"#;
        let record: FleetRecord = serde_json::from_str(text).unwrap();
        assert!(!record.is_understood());
        assert_eq!(record.lease(), Duration::ZERO);
        assert_eq!(FleetRecord { lease_seconds: 1e18, ..record }.lease(), MAX_LEASE);
    }

    #[test]
    fn fleets_of_two_apps_or_two_upstreams_have_different_keys() {
        let key = redis_key("cli_a", "https://open.feishu.cn");
        assert!(key.starts_with("feishu-pulse:{") && key.ends_with("}:fleet") && key.len() == 37, "{key}");
        assert_ne!(key, redis_key("cli_b", "https://open.feishu.cn"));
        assert_ne!(key, redis_key("cli_a", "https://open.larksuite.com"));
    }

    #[test]
    fn a_replica_learns_the_deletions_that_it_missed() {
        let day = |number| DeletedDay { geo: Geo::Cn, day: Day::new(2026, 11, number).unwrap(), by: "a".into() };
        let mut deleted = DeletedDays::default();
        deleted.add(&[day(1), day(2)]);
        deleted.add(&[day(3)]);

        assert_eq!(deleted.since(1), MissedDeletions::Days(vec![day(2), day(3)]));
        assert_eq!(deleted.since(3), MissedDeletions::Days(Vec::new()));
        assert_eq!(deleted.since(4), MissedDeletions::All);
        deleted.add(&vec![day(4); MAX_DELETED_DAYS]);
        assert_eq!(deleted.since(3), MissedDeletions::Days(vec![day(4); MAX_DELETED_DAYS]));
        assert_eq!(deleted.since(2), MissedDeletions::All);
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(RecordNonce::random(), RecordNonce::random());
    }
}
