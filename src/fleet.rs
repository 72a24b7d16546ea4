//! Several replicas of the gateway that share one upstream limit: one of them, the *leader*, calls Feishu.
//!
//! The replicas elect the leader through one small record in a store with compare-and-swap. The modules:
//!
//! ```text
//! forward_to_leader     loads days here while this replica leads, and from the leader otherwise
//! └─ leader_client      sends requests to the leader (forward_metrics counts them)
//!    ├─ transport       connects to the leader, over TLS or not
//!    └─ signature       signs requests, and checks them at the leader
//! member                this replica in its fleet: renews the lease on a thread of its own, or waits for its turn
//! ├─ election           the rule by which replicas agree on a leader; without I/O and clock
//! ├─ leadership         the right to call upstream, which the upstream client checks before each call
//! ├─ followers          the replicas that have sent a request to this one in the last minute
//! ├─ fleet_metrics      the metrics of the lease and the store
//! └─ lease_store        the trait of a store, and the probe of what a store must hold to
//!    ├─ redis_store     a Redis or Valkey server
//!    ├─ bucket_store    an object of a bucket, by conditional writes
//!    └─ memory_store    memory of this process, for tests
//! record                what the store holds: leader, term, and what a successor needs to know about upstream
//! ```
//!
//! The store is neither on the path of a cache hit nor of a call of Feishu.

pub mod bucket_store;
pub mod election;
pub mod fleet_metrics;
pub mod followers;
pub mod forward_metrics;
pub mod forward_to_leader;
pub mod leader_client;
pub mod leadership;
pub mod lease_store;
pub mod member;
pub mod memory_store;
pub mod record;
pub mod redis_store;
pub mod signature;
pub mod transport;

pub use bucket_store::BucketStore;
pub use election::{Election, LeaseTimes};
pub use forward_to_leader::{FleetLink, ForwardToLeader};
pub use leader_client::LeaderClient;
pub use leadership::{FleetStatus, Leadership};
pub use lease_store::{LeaseStore, LeaseStoreError, RecordVersion, SwapOutcome};
pub use member::{FleetMember, MemberConfig, MemberHandle, PreparedMember, TransferableState};
pub use memory_store::MemoryStore;
pub use record::{DeletedDay, FleetRecord, MissedDeletions};
pub use redis_store::{RedisAddress, RedisStore};
pub use signature::{FleetKey, SignatureVerifier};
pub use transport::{FleetTls, Transport};
