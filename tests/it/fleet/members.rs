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
        FleetKey, FleetMember, FleetRecord, FleetStatus, Leadership, LeaseStore, LeaseStoreError, LeaseTimes,
        MemberConfig, MemoryStore, PreparedMember, RecordVersion, SwapOutcome, TransferableState,
        record::SharedUpstreamState,
    },
    model::{DataScope, DayKey, Geo, UserIdType},
    prometheus::{Collector as _, Exposition},
    source::{CallerId, DaySource as _, Depth, LoadContext, LoadError, Priority},
    table::DayMetadata as _,
};
use feishu_simulator::{PageTokenStyle, Simulator, SimulatorConfig};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

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

/// Counts calls of a month, and records what a member reports.
#[derive(Default)]
struct MemberState {
    calls: AtomicU64,
    /// The age of the state that was imported last.
    imported_age: Mutex<Option<Duration>>,
    /// The last lease.
    lease: Mutex<Option<(Instant, f64)>>,
}

impl TransferableState for MemberState {
    fn export(&self, _: Option<Duration>) -> SharedUpstreamState {
        let calls = self.calls.load(Ordering::SeqCst);
        SharedUpstreamState { calls, reserved: calls, ..SharedUpstreamState::default() }
    }

    fn on_stored(&self, _: &SharedUpstreamState) {}

    fn import(&self, state: &SharedUpstreamState, age: Duration) {
        self.calls.fetch_max(state.calls, Ordering::SeqCst);
        *self.imported_age.lock() = Some(age);
    }

    fn on_lease(&self, until: Instant, share: f64) {
        *self.lease.lock() = Some((until, share));
    }
}

struct Member {
    handle: FleetMember,
    fails: Arc<AtomicBool>,
    state: Arc<MemberState>,
}

fn prepare() -> PreparedMember {
    let config = MemberConfig {
        times: LeaseTimes::of_redis(LEASE),
        address: "127.0.0.1:9091".to_owned(),
        release: "1.0".to_owned(),
        key: FleetKey::new(&"secret".into()),
    };
    PreparedMember::new(config)
}

fn join(store: &MemoryStore) -> Member {
    let ((faulty, fails), state) = (FaultyStore::new(store), Arc::<MemberState>::default());
    let handle = prepare().join(Box::new(faulty), Arc::clone(&state) as _).expect("a thread");
    Member { handle, fails, state }
}

impl Member {
    fn leads(&self) -> bool {
        self.handle.leadership().leads()
    }

    fn is_degraded(&self) -> bool {
        self.handle.status().borrow().is_degraded()
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
    let mut members: Vec<Member> = (0..3).map(|_| join(&store)).collect();

    let first = leader(&members).await;
    assert_eq!(members.iter().filter(|member| member.leads()).count(), 1);
    let ended = members.remove(first);
    let term = ended.term();
    drop(ended);
    let second = leader(&members).await;
    assert!(members[second].term() > term);
    let age = members[second].state.imported_age.lock().expect("an imported state");
    assert!(age >= LEASE, "the record was seen for a lease, not for {age:?}");

    members[second].state.calls.store(42, Ordering::SeqCst);
    members[second].handle.leave().await;
    assert!(!members[second].leads());
    let third = leader(&members).await;

    assert_ne!(third, second);
    assert_eq!(members[third].state.calls.load(Ordering::SeqCst), 42);
}

#[tokio::test]
async fn the_replica_that_joined_last_leads_after_the_leader_has_left() {
    let store = MemoryStore::default();
    let mut members = vec![join(&store)];
    leader(&members).await;
    members.extend([join(&store), join(&store), join(&store)]);
    eventually(async || members.iter().all(|member| member.handle.status().borrow().leader.is_some())).await;
    for joined in [1, 3, 2] {
        members[0].handle.followers().record(members[joined].handle.replica_id());
    }

    members[0].handle.leave().await;

    assert_eq!(leader(&members).await, 2);
}

#[tokio::test]
async fn the_lease_ends_while_the_store_fails_and_the_replica_is_degraded_until_it_leads_again() {
    let store = MemoryStore::default();
    let members = [join(&store)];
    leader(&members).await;
    let leadership = members[0].handle.leadership();
    let metrics = || {
        let mut metrics = Exposition::default();
        members[0].handle.metrics().collect(&mut metrics);
        metrics.into_text()
    };

    members[0].fails.store(true, Ordering::SeqCst);
    tokio::time::timeout(Duration::from_secs(30), leadership.lease_ended()).await.expect("the end of the lease");
    let text = metrics();
    assert!(text.contains("\nfeishu_pulse_fleet_leader 0\n"), "{text}");
    assert!(text.contains("\nfeishu_pulse_fleet_degraded 1\n"), "{text}");
    assert!(leadership.may_call() && members[0].is_degraded() && !members[0].leads());
    // From the end of the lease on, a half of the rate: another replica can have started just before.
    let (until, share) = members[0].state.lease.lock().expect("a lease");
    assert!(until <= Instant::now());
    assert!((share - 0.5).abs() < f64::EPSILON, "{share}");

    members[0].fails.store(false, Ordering::SeqCst);
    leader(&members).await;
    let text = metrics();
    assert!(text.contains("\nfeishu_pulse_fleet_leader 1\n"), "{text}");
    assert!(text.contains("\nfeishu_pulse_fleet_degraded 0\n"), "{text}");
    assert!(text.contains("\nfeishu_pulse_fleet_store_failures_total{operation=\"read\"} "), "{text}");
    assert!(!text.contains("\nfeishu_pulse_fleet_store_failures_total{operation=\"read\"} 0\n"), "{text}");
}

#[tokio::test]
async fn a_leader_that_can_not_reach_the_store_is_replaced_and_yields_when_it_can() {
    let store = MemoryStore::default();
    let members: Vec<Member> = (0..2).map(|_| join(&store)).collect();
    let first = leader(&members).await;

    members[first].fails.store(true, Ordering::SeqCst);
    eventually(async || members[1 - first].leads()).await;
    assert!(!members[first].leads() && members[first].is_degraded());
    members[first].fails.store(false, Ordering::SeqCst);

    let term = members[1 - first].term();
    eventually(async || members[first].term() == term).await;
    assert!(!members[first].leads() && members[1 - first].leads());
    assert!(!members[first].handle.leadership().may_call());
}

#[tokio::test]
async fn the_leader_writes_a_record_again_that_the_store_has_lost() {
    let mut store = MemoryStore::default();
    let members: Vec<Member> = (0..3).map(|_| join(&store)).collect();
    let first = leader(&members).await;
    let term = members[first].term();

    store.remove().await.expect("memory");

    let is_back = |found: Option<(FleetRecord, _)>| found.is_some_and(|(record, _)| record.leader.is_some());
    eventually(async || is_back(store.read().await.expect("memory"))).await;
    assert!(members[first].leads());
    assert_eq!(members[first].term(), term);
}

#[tokio::test]
async fn a_deletion_is_confirmed_by_the_record_and_outlives_its_loss_and_a_change_of_the_leader() {
    let store = MemoryStore::default();
    let members: Vec<Member> = (0..2).map(|_| join(&store)).collect();
    let first = leader(&members).await;
    let (leads, follows) = (&members[first].handle, &members[1 - first].handle);
    let days = [(Geo::Cn, day("2026-11-20"))];
    assert!(!follows.handle().record_deletions(days, LEASE / 4).await, "only the leader writes deletions");

    assert!(leads.handle().record_deletions(days, 30 * LEASE).await);
    let named = async || {
        let (record, _) = store.clone().read().await.expect("an answer")?;
        Some((record.deleted.count, record.deleted.latest.last()?.by.to_string()))
    };
    assert_eq!(named().await, Some((1, leads.replica_id().to_string())));

    store.clone().remove().await.expect("an answer");
    eventually(async || named().await.is_some()).await;
    assert_eq!(named().await.map(|(count, _)| count), Some(1));
    leads.leave().await;
    // What the other replica has deleted is named as well once it leads.
    eventually(async || named().await.is_some_and(|(count, by)| count == 2 && *by == **follows.replica_id())).await;
}

#[tokio::test]
async fn a_leader_that_sees_two_followers_has_a_third_of_the_rate_for_the_end_of_its_lease() {
    let members = [join(&MemoryStore::default())];
    leader(&members).await;
    for follower in ["a", "b"] {
        members[0].handle.followers().record(follower);
    }
    let share = || members[0].state.lease.lock().map(|(_, share)| share);
    eventually(async || share().is_some_and(|share| (share - 1.0 / 3.0).abs() < f64::EPSILON)).await;
}

#[tokio::test]
async fn a_successor_continues_after_the_calls_of_its_predecessor_and_at_a_part_of_the_rate_after_its_lease() {
    let member = prepare();
    let (_simulator, predecessor) = upstream(&member, 10.0).await;
    let member = member.join(Box::new(MemoryStore::default()), Arc::new(predecessor.clone())).expect("a thread");
    eventually(async || member.leadership().leads()).await;
    assert_eq!(load(&predecessor).await, Ok(600));
    let recent_calls = |source: &FeishuSource| {
        let counts = serde_json::to_value(source.export(None).recent_calls).expect("JSON");
        counts.as_array().expect("a list").iter().filter_map(serde_json::Value::as_u64).sum::<u64>()
    };

    let (_other, successor) = upstream(&prepare(), 10.0).await;
    successor.import(&predecessor.export(None), Duration::ZERO);
    assert_eq!((recent_calls(&predecessor), recent_calls(&successor)), (10, 10));
    let (_other, late) = upstream(&prepare(), 10.0).await;
    late.import(&predecessor.export(None), Duration::from_secs(120));
    assert_eq!(recent_calls(&late), 0);

    let seconds = |source: &FeishuSource| source.throttle().estimate(100).as_secs();
    let at_full_rate = seconds(&late);
    late.on_lease(Instant::now(), 0.25);
    assert!((9..=11).contains(&at_full_rate) && (39..=41).contains(&seconds(&late)), "{at_full_rate}");
}

/// A simulated upstream, and a client that may call it while `member` leads. `rate` is in calls per second.
async fn upstream(member: &PreparedMember, rate: f64) -> (Simulator, FeishuSource) {
    upstream_with(member.leadership(), PageTokenStyle::Opaque, rate).await
}

async fn upstream_with(leadership: Leadership, page_tokens: PageTokenStyle, rate: f64) -> (Simulator, FeishuSource) {
    let simulation = SimulatorConfig {
        users: 600,
        turnover: 0.0,
        page_tokens,
        latency: Duration::from_millis(2),
        ..SimulatorConfig::default()
    };
    let upstream = Upstream::start(simulation).await;
    let config = FeishuConfig {
        throttle: ThrottleConfig { ceiling: Some(rate), start_rate: rate, ..ThrottleConfig::default() },
        leadership,
        ..upstream.feishu_config()
    };
    let Upstream { simulator, clock } = upstream;
    let source = FeishuSource::new(config, Arc::default(), clock).expect("a source");
    (simulator, source)
}

async fn load(source: &FeishuSource) -> Result<usize, LoadError> {
    load_day(source, "2026-11-20").await
}

async fn load_day(source: &FeishuSource, date: &str) -> Result<usize, LoadError> {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day: day(date) };
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    let loaded = tokio::time::timeout(Duration::from_secs(30), source.load(&key, Depth::Rows, context)).await;
    loaded.expect("an answer within 30 s").map(|day| day.row_count())
}

#[tokio::test]
async fn a_degraded_replica_requests_no_pages_ahead() {
    let later = Instant::now() + Duration::from_secs(3600);
    let (sender, status) = watch::channel(FleetStatus { leads_until: Some(later), ..FleetStatus::default() });
    let (simulator, source) = upstream_with(Leadership::of(status), PageTokenStyle::PageNumber, 5_000.0).await;
    // The first day shows how many pages a day has.
    for date in ["2026-11-18", "2026-11-19"] {
        assert_eq!(load_day(&source, date).await, Ok(600));
    }
    assert!(simulator.call_log().max_in_flight() > 1);
    simulator.call_log().clear();

    sender.send_replace(FleetStatus { degraded_until: Some(later), ..FleetStatus::default() });
    assert_eq!(load_day(&source, "2026-11-20").await, Ok(600));

    assert_eq!(simulator.call_log().max_in_flight(), 1);
}

#[tokio::test]
async fn a_replica_calls_upstream_only_while_it_leads() {
    let store = MemoryStore::default();
    let other = [join(&store)];
    leader(&other).await;
    let member = prepare();
    let (simulator, source) = upstream(&member, 5_000.0).await;
    assert_eq!(load(&source).await, Err(LoadError::NotLeader));
    let member = member.join(Box::new(store.clone()), Arc::new(source.clone())).expect("a thread");
    assert_eq!(load(&source).await, Err(LoadError::NotLeader));
    assert_eq!(simulator.call_log().stats_calls().len(), 0);

    other[0].state.calls.store(7, Ordering::SeqCst);
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
    let member = prepare();
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
