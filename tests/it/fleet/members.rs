//! Members of one fleet in one process, with a record in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use adaptive_throttle::ThrottleConfig;
use async_trait::async_trait;
use feishu_pulse::{
    feishu::{FeishuConfig, FeishuSource},
    fleet::{
        FleetKey, FleetMember, FleetRecord, LeaseStore, LeaseStoreError, LeaseTimes, MemberConfig, MemoryStore,
        PreparedMember, RecordVersion, SwapOutcome, TransferableState, record::SharedUpstreamState,
    },
    model::{DataScope, DayKey, Geo, UserIdType},
    prometheus::{Collector as _, Exposition},
    source::{CallerId, DaySource as _, Depth, LoadContext, LoadError, Priority},
    table::DayMetadata as _,
};
use feishu_simulator::{PageTokenStyle, Simulator, SimulatorConfig};

use crate::support::{Upstream, day, eventually};

/// A short lease, so that the tests do not take long.
const LEASE: Duration = Duration::from_secs(1);

/// A store that can stop answering. Clones share the record, not the fault.
pub(super) struct FaultyStore {
    store: MemoryStore,
    fails: Arc<AtomicBool>,
}

impl FaultyStore {
    /// A store of this record, and whether it fails.
    pub(super) fn new(store: &MemoryStore) -> (Self, Arc<AtomicBool>) {
        let fails = Arc::<AtomicBool>::default();
        (Self { store: store.clone(), fails: Arc::clone(&fails) }, fails)
    }

    fn failure(&self) -> Result<(), LeaseStoreError> {
        if self.fails.load(Ordering::SeqCst) { Err(LeaseStoreError("configured to fail".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl LeaseStore for FaultyStore {
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError> {
        self.failure()?;
        self.store.read().await
    }

    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome {
        match self.failure() {
            Ok(()) => self.store.swap(expected, record).await,
            Err(error) => SwapOutcome::Unknown(error),
        }
    }

    async fn remove(&mut self) -> Result<(), LeaseStoreError> {
        self.store.remove().await
    }
}

/// Counts calls of a month.
#[derive(Default)]
struct Calls(AtomicU64);

impl TransferableState for Calls {
    fn export(&self, _: Option<Duration>) -> SharedUpstreamState {
        let calls = self.0.load(Ordering::SeqCst);
        SharedUpstreamState { calls, reserved: calls, ..SharedUpstreamState::default() }
    }

    fn on_stored(&self, _: &SharedUpstreamState) {}

    fn import(&self, state: &SharedUpstreamState) {
        self.0.fetch_max(state.calls, Ordering::SeqCst);
    }
}

struct Member {
    handle: FleetMember,
    fails: Arc<AtomicBool>,
    calls: Arc<Calls>,
}

fn prepare(release: &str) -> PreparedMember {
    let config = MemberConfig {
        times: LeaseTimes::of_redis(LEASE),
        address: "127.0.0.1:9091".to_owned(),
        release: release.to_owned(),
        key: FleetKey::new(&"secret".into()),
    };
    PreparedMember::new(config)
}

fn join(store: &MemoryStore, release: &str) -> Member {
    let ((faulty, fails), calls) = (FaultyStore::new(store), Arc::<Calls>::default());
    let handle = prepare(release).join(Box::new(faulty), Arc::clone(&calls) as _).expect("a thread");
    Member { handle, fails, calls }
}

impl Member {
    fn leads(&self) -> bool {
        self.handle.leadership().may_call()
    }

    fn term(&self) -> u64 {
        self.handle.status().borrow().term
    }
}

/// Waits until a member leads, and returns its position.
async fn leader(members: &[Member]) -> usize {
    eventually(async || members.iter().any(Member::leads)).await;
    members.iter().position(Member::leads).expect("a leader that did not end at once")
}

#[tokio::test]
async fn another_replica_leads_after_the_leader_has_ended_or_left() {
    let store = MemoryStore::default();
    let mut members: Vec<Member> = (0..3).map(|_| join(&store, "1.0")).collect();

    let first = leader(&members).await;
    assert_eq!(members.iter().filter(|member| member.leads()).count(), 1);
    let ended = members.remove(first);
    let term = ended.term();
    drop(ended);
    let second = leader(&members).await;
    assert!(members[second].term() > term);

    members[second].calls.0.store(42, Ordering::SeqCst);
    members[second].handle.leave().await;
    assert!(!members[second].leads());
    let third = leader(&members).await;

    assert_ne!(third, second);
    assert_eq!(members[third].calls.0.load(Ordering::SeqCst), 42);
}

#[tokio::test]
async fn a_replica_of_a_new_release_leads_after_the_old_leader_has_left() {
    let store = MemoryStore::default();
    let mut members = vec![join(&store, "1.0")];
    leader(&members).await;
    members.extend([join(&store, "1.0"), join(&store, "1.1"), join(&store, "1.0")]);
    eventually(async || members.iter().all(|member| member.handle.status().borrow().leader.is_some())).await;

    members[0].handle.leave().await;

    assert_eq!(leader(&members).await, 2);
}

#[tokio::test]
async fn the_right_to_call_ends_while_the_store_fails_and_comes_back() {
    let store = MemoryStore::default();
    let members = [join(&store, "1.0")];
    leader(&members).await;
    let lost = members[0].handle.leadership();

    members[0].fails.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(30), lost.lost()).await.expect("the end of the lease");
    eventually(async || members[0].handle.status().borrow().has_lapsed).await;
    assert!(!members[0].leads());

    members[0].fails.store(false, Ordering::SeqCst);
    leader(&members).await;
    let mut metrics = Exposition::default();
    members[0].handle.metrics().collect(&mut metrics);
    let text = metrics.into_text();
    assert!(text.contains("\nfeishu_pulse_fleet_leader 1\n"), "{text}");
    assert!(text.contains("\nfeishu_pulse_fleet_store_failures_total{operation=\"read\"} "), "{text}");
    assert!(!text.contains("\nfeishu_pulse_fleet_store_failures_total{operation=\"read\"} 0\n"), "{text}");
}

#[tokio::test]
async fn a_leader_that_can_not_reach_the_store_is_replaced_and_yields_when_it_can() {
    let store = MemoryStore::default();
    let members: Vec<Member> = (0..2).map(|_| join(&store, "1.0")).collect();
    let first = leader(&members).await;

    members[first].fails.store(true, Ordering::SeqCst);
    eventually(async || members[1 - first].leads()).await;
    assert!(!members[first].leads());
    members[first].fails.store(false, Ordering::SeqCst);

    let term = members[1 - first].term();
    eventually(async || members[first].term() == term).await;
    assert!(!members[first].leads() && members[1 - first].leads());
}

#[tokio::test]
async fn the_leader_writes_a_record_again_that_the_store_has_lost() {
    let mut store = MemoryStore::default();
    let members: Vec<Member> = (0..3).map(|_| join(&store, "1.0")).collect();
    let first = leader(&members).await;
    let term = members[first].term();

    store.remove().await.expect("memory");

    let is_back = |found: Option<(FleetRecord, _)>| found.is_some_and(|(record, _)| record.leader.is_some());
    eventually(async || is_back(store.read().await.expect("memory"))).await;
    assert!(members[first].leads());
    assert_eq!(members[first].term(), term);
}

/// A simulated upstream, and a client that may call it while `member` leads. `rate` is in calls per second.
#[tokio::test]
async fn a_deletion_is_confirmed_by_the_record_and_outlives_its_loss_and_a_change_of_the_leader() {
    let store = MemoryStore::default();
    let members: Vec<Member> = (0..2).map(|_| join(&store, "1.0")).collect();
    let first = leader(&members).await;
    let (leads, follows) = (&members[first].handle, &members[1 - first].handle);
    let days = [(Geo::Cn, day("2026-11-20"))];
    assert!(!follows.handle().forget(days, LEASE / 4).await, "only the leader writes deletions");

    assert!(leads.handle().forget(days, 30 * LEASE).await);
    let named = async || {
        let (record, _) = store.clone().read().await.expect("an answer")?;
        Some((record.forgotten.count, record.forgotten.latest.last()?.by.to_string()))
    };
    assert_eq!(named().await, Some((1, leads.replica_id().to_string())));

    store.clone().remove().await.expect("an answer");
    eventually(async || named().await.is_some()).await;
    assert_eq!(named().await.map(|(count, _)| count), Some(1));
    leads.leave().await;
    // What the other replica has deleted is named as well once it leads.
    eventually(async || named().await.is_some_and(|(count, by)| count == 2 && *by == **follows.replica_id())).await;
}

async fn upstream(member: &PreparedMember, rate: f64) -> (Simulator, FeishuSource) {
    let simulation = SimulatorConfig {
        users: 600,
        turnover: 0.0,
        page_tokens: PageTokenStyle::Opaque,
        ..SimulatorConfig::default()
    };
    let upstream = Upstream::start(simulation).await;
    let config = FeishuConfig {
        throttle: ThrottleConfig { ceiling: Some(rate), start_rate: rate, ..ThrottleConfig::default() },
        leadership: member.leadership(),
        ..upstream.feishu_config()
    };
    let Upstream { simulator, clock } = upstream;
    let source = FeishuSource::new(config, Arc::default(), clock).expect("a source");
    (simulator, source)
}

async fn load(source: &FeishuSource) -> Result<usize, LoadError> {
    let key =
        DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day: day("2026-11-20") };
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    let loaded = tokio::time::timeout(Duration::from_secs(30), source.load(&key, Depth::Rows, context)).await;
    loaded.expect("an answer within 30 s").map(|day| day.row_count())
}

#[tokio::test]
async fn a_replica_calls_upstream_only_while_it_leads() {
    let store = MemoryStore::default();
    let other = [join(&store, "1.0")];
    leader(&other).await;
    let member = prepare("1.0");
    let (simulator, source) = upstream(&member, 5_000.0).await;
    assert_eq!(load(&source).await, Err(LoadError::NotLeader));
    let member = member.join(Box::new(store.clone()), Arc::new(source.clone())).expect("a thread");
    assert_eq!(load(&source).await, Err(LoadError::NotLeader));
    assert_eq!(simulator.call_log().stats_calls().len(), 0);

    other[0].calls.0.store(7, Ordering::SeqCst);
    other[0].handle.leave().await;
    eventually(async || member.leadership().may_call()).await;
    assert_eq!(load(&source).await, Ok(600));

    let calls = simulator.call_log().stats_calls().len();
    member.leave().await;
    assert_eq!(load(&source).await, Err(LoadError::NotLeader));
    assert_eq!(simulator.call_log().stats_calls().len(), calls);
}

#[tokio::test]
async fn calls_that_wait_for_their_turn_end_with_the_lease() {
    let member = prepare("1.0");
    // Ten calls, one a minute.
    let (simulator, source) = upstream(&member, 1.0 / 60.0).await;
    let member = member.join(Box::new(MemoryStore::default()), Arc::new(source.clone())).expect("a thread");
    eventually(async || member.leadership().may_call()).await;
    let waiting = tokio::spawn(async move { load(&source).await });
    eventually(async || simulator.call_log().stats_calls().len() == 1).await;

    member.leave().await;

    assert_eq!(waiting.await.expect("no panic"), Err(LoadError::NotLeader));
    assert_eq!(simulator.call_log().stats_calls().len(), 1);
}
