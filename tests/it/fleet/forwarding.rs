//! Several replicas before one simulated Feishu: each on a runtime of its own, with its own memory, dictionaries and socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    api::fleet::{FleetRoutes, fleet_router},
    feishu::{FeishuConfig, FeishuSource, quota::QuotaConfig},
    fleet::{
        FleetKey, FleetLink, FleetMember, ForwardToLeader, LeaderClient, LeaseStore as _, LeaseTimes, MemberConfig,
        MemoryStore, PreparedMember, SignatureVerifier, Transport,
    },
    model::{DataScope, DayKey, Geo, UserIdType},
    source::{CallerId, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, Priority},
    store::{FreshnessPolicy, Memory, read_path},
    table::DayMetadata as _,
};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, PageTokenStyle, SimulatorConfig};
use futures_util::future::join_all;
use tokio::{net::TcpListener, runtime::Runtime, sync::Semaphore};

use super::members::FaultyStore;
use crate::support::{Upstream, day, end_runtime, eventually};

const LEASE: Duration = Duration::from_secs(1);
const PEOPLE: u32 = 600;

/// Calls for one day of all people, in pages of 60.
const CALLS_OF_A_DAY: usize = 10;

/// One tenant, and what its replicas share.
struct Tenant {
    upstream: Upstream,
    store: MemoryStore,
}

/// A replica that can be killed: all its tasks and sockets end with its runtime.
struct Replica {
    runtime: Option<Runtime>,
    source: Arc<dyn DaySource>,
    member: FleetMember,
    store_fails: Arc<AtomicBool>,
}

impl Tenant {
    async fn new() -> Self {
        let page_tokens = PageTokenStyle::Opaque;
        let simulation = SimulatorConfig { users: PEOPLE, turnover: 0.0, page_tokens, ..SimulatorConfig::default() };
        Self { upstream: Upstream::start(simulation).await, store: MemoryStore::default() }
    }

    /// Starts a replica that makes up to `rate` calls a second, and signs with `secret`.
    async fn replica(&self, rate: f64, secret: &'static str) -> Replica {
        self.replica_with(rate, secret, None).await
    }

    /// The same, with a limit of calls a month.
    async fn replica_with(&self, rate: f64, secret: &'static str, monthly_limit: Option<u64>) -> Replica {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (clock, record) = (Arc::clone(&self.upstream.clock), self.store.clone());
        let config = self.upstream.feishu_config();
        let started = runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let prepared = PreparedMember::new(MemberConfig {
                times: LeaseTimes::of_redis(LEASE),
                address: listener.local_addr().expect("an address").to_string(),
                release: "1.0".to_owned(),
                key: FleetKey::new(&secret.into()),
            });
            let memory = Arc::new(Memory::new(64 << 20, FreshnessPolicy::default(), Arc::clone(&clock) as _));
            let config = FeishuConfig {
                throttle: ThrottleConfig { ceiling: Some(rate), start_rate: rate, ..ThrottleConfig::default() },
                quota: QuotaConfig { monthly_limit, interactive_share: 0.0 },
                leadership: prepared.leadership(),
                ..config
            };
            let dictionaries = Arc::clone(memory.dictionaries());
            let feishu = FeishuSource::new(config, Arc::clone(&dictionaries), Arc::clone(&clock) as _);
            let feishu = feishu.expect("a source");
            let (store, store_fails) = FaultyStore::new(&record);
            let member = prepared.join(Box::new(store), Arc::new(feishu.clone())).expect("a thread");
            let key = FleetKey::new(&secret.into());
            let transport = Transport::plain().expect("a client");
            let client =
                LeaderClient::new(transport, key.clone(), Arc::clone(member.replica_id()), Arc::clone(&clock) as _);
            let link = FleetLink::new(&member, client, dictionaries, 3 * LEASE);
            let source = read_path(&memory, None, ForwardToLeader::new(feishu, link)).source;
            let routes = FleetRoutes {
                source: Arc::clone(&source),
                leadership: member.leadership(),
                status: member.status(),
                replica_id: Arc::clone(member.replica_id()),
                followers: Arc::clone(member.followers()),
                encoding: Arc::new(Semaphore::new(2)),
                verifier: SignatureVerifier::new(key),
                clock,
            };
            tokio::spawn(async move { axum::serve(listener, fleet_router(routes)).await });
            (source, member, store_fails)
        });
        let (source, member, store_fails) = started.await.expect("a replica");
        Replica { runtime: Some(runtime), source, member, store_fails }
    }

    async fn replicas(&self, count: usize, rate: f64) -> Vec<Replica> {
        join_all((0..count).map(|_| self.replica(rate, "secret"))).await
    }

    fn calls(&self) -> usize {
        self.upstream.calls()
    }
}

impl Replica {
    /// Loads a day on the runtime of the replica.
    async fn load(&self, date: &str) -> Result<LoadedDay, LoadError> {
        self.load_at(Priority::Interactive, date).await
    }

    async fn load_at(&self, priority: Priority, date: &str) -> Result<LoadedDay, LoadError> {
        let (source, key) = (Arc::clone(&self.source), key(date));
        let context = LoadContext { priority, caller: CallerId(1) };
        let load = async move { source.load(&key, Depth::Rows, context).await };
        let loaded = self.runtime.as_ref().expect("a running replica").spawn(load);
        // A load whose replica is killed ends without a result.
        tokio::time::timeout(Duration::from_secs(60), loaded)
            .await
            .expect("a result within 60 s")
            .unwrap_or(Err(LoadError::Abandoned))
    }

    fn leads(&self) -> bool {
        self.member.leadership().leads()
    }

    /// Ends the process of the replica without any notice.
    fn kill(mut self) {
        self.runtime.take().into_iter().for_each(end_runtime);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(end_runtime);
    }
}

fn key(date: &str) -> DayKey {
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day: day(date) }
}

/// Waits until one replica leads and all have seen it. The first one leads.
async fn elect(mut replicas: Vec<Replica>) -> Vec<Replica> {
    let sees_leader = |replica: &Replica| replica.member.status().borrow().leader.is_some();
    eventually(async || replicas.iter().any(Replica::leads) && replicas.iter().all(sees_leader)).await;
    replicas.sort_by_key(|replica| !replica.leads());
    replicas
}

#[tokio::test]
async fn a_cold_day_is_fetched_once_for_all_callers_of_all_replicas() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(3, 5_000.0).await).await;

    let loads = replicas.iter().flat_map(|replica| (0..10).map(|_| replica.load("2026-11-20")));
    let days: Vec<LoadedDay> = join_all(loads).await.into_iter().map(|day| day.expect("a day")).collect();

    assert_eq!(tenant.calls(), CALLS_OF_A_DAY);
    assert_eq!(days[0].row_count(), PEOPLE as usize);
    assert!(days.iter().all(|day| day.hash() == days[0].hash() && day.fetched_at() == days[0].fetched_at()));
    // The rows of a follower do not depend on the leader any more.
    let mut replicas = replicas;
    replicas.remove(0).kill();
    assert_eq!(replicas[1].load("2026-11-20").await.expect("a day").row_count(), PEOPLE as usize);
    assert_eq!(tenant.calls(), CALLS_OF_A_DAY);
}

#[tokio::test]
async fn a_load_goes_on_after_the_leader_was_killed_in_a_fetch() {
    let tenant = Tenant::new().await;
    // Ten calls take two seconds.
    let mut replicas = elect(tenant.replicas(3, 5.0).await).await;
    let leader = replicas.remove(0);
    let loads = join_all(replicas.iter().map(|replica| replica.load("2026-11-20")));
    let (days, ()) = tokio::join!(loads, async {
        eventually(async || tenant.calls() >= 2).await;
        leader.kill();
    });

    for loaded in days {
        assert_eq!(loaded.expect("a day").row_count(), PEOPLE as usize);
    }
    // The new leader starts the day again; no third fetch begins.
    assert!(tenant.calls() < 2 * CALLS_OF_A_DAY, "{}", tenant.calls());
}

#[tokio::test]
async fn a_load_goes_on_after_the_leader_has_left() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(2, 5.0).await).await;
    let (loaded, ()) = tokio::join!(replicas[1].load("2026-11-20"), async {
        eventually(async || tenant.calls() >= 2).await;
        replicas[0].member.leave().await;
    });
    assert_eq!(loaded.expect("a day").row_count(), PEOPLE as usize);
    assert!(replicas[1].leads());
    // A replica that leads no more asks the new leader, also for what it was asked itself.
    assert_eq!(replicas[0].load("2026-11-19").await.expect("a day").row_count(), PEOPLE as usize);
}

#[tokio::test]
async fn the_monthly_limit_holds_for_all_replicas_together_even_if_leaders_are_killed() {
    const LIMIT: u32 = 25;
    let tenant = Tenant::new().await;
    let mut dates = (1..=20).map(|day| format!("2026-11-{day:02}"));
    let mut load_days = async |replica: &Replica, count: usize| {
        join_all(dates.by_ref().take(count).map(|date| async move { replica.load(&date).await.err() })).await
    };
    let mut replicas = join_all((0..3).map(|_| tenant.replica_with(50.0, "secret", Some(LIMIT.into())))).await;
    for _ in 0..2 {
        replicas = elect(replicas).await;
        load_days(&replicas[1], 1).await;
        replicas.remove(0).kill();
    }
    replicas = elect(replicas).await;
    let errors = load_days(&replicas[0], 5).await;

    assert!(errors.iter().flatten().any(|error| matches!(error, LoadError::QuotaExhausted { .. })), "{errors:?}");
    assert!(tenant.calls() <= LIMIT.try_into().expect("a small number"), "{}", tenant.calls());
}

#[tokio::test]
async fn an_error_of_feishu_reaches_the_caller_of_a_follower_unchanged() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(2, 5_000.0).await).await;
    let fault = InjectedFault::new(FaultKind::error_code(1_051_002)).on(FaultTarget::Stats).times(u32::MAX);
    tenant.upstream.simulator.faults().push(fault);

    let at_follower = replicas[1].load("2026-11-20").await.expect_err("an error");
    let at_leader = replicas[0].load("2026-11-20").await.expect_err("an error");

    let reason = |error: &LoadError| match error {
        LoadError::Forbidden { upstream, reason } => (upstream.code, reason.to_string()),
        error => panic!("{error}"),
    };
    assert_eq!(reason(&at_follower), reason(&at_leader));
}

#[tokio::test]
async fn a_follower_forecasts_what_the_leader_does() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(2, 5_000.0).await).await;
    replicas[1].load("2026-11-20").await.expect("a day");
    let keys = [key("2026-11-18"), key("2026-11-19")];

    let at_leader = replicas[0].source.forecast(&keys, Depth::Rows).await;
    let at_follower = replicas[1].source.forecast(&keys, Depth::Rows).await;

    assert_eq!(at_leader.calls, 2 * CALLS_OF_A_DAY as u64);
    assert_eq!(at_follower.calls, at_leader.calls);
    assert_ne!(at_follower, Forecast::default());
}

#[tokio::test]
async fn a_load_fails_when_no_replica_leads_for_long() {
    let tenant = Tenant::new().await;
    let replicas = tenant.replicas(1, 5_000.0).await;
    replicas[0].store_fails.store(true, Ordering::SeqCst);
    assert_eq!(replicas[0].load("2026-11-20").await.err(), Some(LoadError::NotLeader));

    replicas[0].store_fails.store(false, Ordering::SeqCst);
    eventually(async || replicas[0].leads()).await;
    assert_eq!(replicas[0].load("2026-11-20").await.expect("a day").row_count(), PEOPLE as usize);
}

#[tokio::test]
async fn while_the_store_is_away_all_callers_get_days_from_the_last_leader_and_background_work_waits() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(3, 300.0).await).await;
    let set_failing = |fails| replicas.iter().for_each(|replica| replica.store_fails.store(fails, Ordering::SeqCst));
    set_failing(true);
    let lease_ended = replicas[0].member.leadership();
    tokio::time::timeout(Duration::from_secs(30), lease_ended.lease_ended()).await.expect("the end of the lease");

    for (replica, date) in replicas.iter().zip(["2026-11-18", "2026-11-19", "2026-11-20"]) {
        assert_eq!(replica.load(date).await.expect("a day").row_count(), PEOPLE as usize);
    }
    assert_eq!(tenant.calls(), 3 * CALLS_OF_A_DAY);
    for replica in &replicas[..2] {
        assert_eq!(replica.load_at(Priority::Background, "2026-11-17").await.err(), Some(LoadError::NotLeader));
    }
    assert_eq!(tenant.calls(), 3 * CALLS_OF_A_DAY);

    set_failing(false);
    eventually(async || replicas.iter().any(Replica::leads)).await;
    let loaded = replicas[0].load_at(Priority::Background, "2026-11-17").await;
    assert_eq!(loaded.expect("a day").row_count(), PEOPLE as usize);
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_lease_ends_and_when_it_is_renewed_after_that() {
    let tenant = Tenant::new().await;
    let replicas = elect(tenant.replicas(1, 5.0).await).await;
    let ((), loaded) = tokio::join!(
        async {
            eventually(async || tenant.calls() >= 2).await;
            replicas[0].store_fails.store(true, Ordering::SeqCst);
            eventually(async || replicas[0].member.status().borrow().is_degraded()).await;
            let calls = tenant.calls();
            eventually(async || tenant.calls() > calls).await;
            replicas[0].store_fails.store(false, Ordering::SeqCst);
        },
        replicas[0].load("2026-11-20")
    );

    assert_eq!(loaded.expect("a day").row_count(), PEOPLE as usize);
    assert_eq!(tenant.calls(), CALLS_OF_A_DAY);
}

#[tokio::test]
async fn while_the_store_is_away_no_call_goes_beyond_what_the_last_renewal_has_reserved() {
    let tenant = Tenant::new().await;
    let mut replicas = elect(vec![tenant.replica_with(20.0, "secret", Some(1000)).await]).await;
    let replica = replicas.remove(0);
    replica.store_fails.store(true, Ordering::SeqCst);
    let lease_ended = replica.member.leadership();
    tokio::time::timeout(Duration::from_secs(30), lease_ended.lease_ended()).await.expect("the end of the lease");
    let (record, _) = tenant.store.clone().read().await.expect("an answer").expect("a record");
    let reserved = usize::try_from(record.upstream.reserved).expect("a small number");
    assert!((CALLS_OF_A_DAY..100).contains(&reserved), "{reserved}");

    let mut results = Vec::new();
    for date in (1..=20).map(|day| format!("2026-11-{day:02}")) {
        results.push(replica.load(&date).await.map(|day| day.row_count()));
        if results.last().is_some_and(Result::is_err) {
            break;
        }
    }

    assert_eq!(results.first(), Some(&Ok(PEOPLE as usize)));
    assert_eq!(results.last(), Some(&Err(LoadError::NotLeader)), "after {} days", results.len());
    assert_eq!(tenant.calls(), reserved);
    replica.store_fails.store(false, Ordering::SeqCst);
    assert_eq!(replica.load("2026-11-20").await.expect("a day").row_count(), PEOPLE as usize);
}

#[tokio::test]
async fn a_replica_with_another_secret_gets_no_days() {
    let tenant = Tenant::new().await;
    let mut replicas = elect(tenant.replicas(1, 5_000.0).await).await;
    replicas.push(tenant.replica(5_000.0, "another secret").await);
    eventually(async || replicas[1].member.status().borrow().leader.is_some()).await;

    assert_eq!(replicas[1].load("2026-11-20").await.err(), Some(LoadError::NotLeader));

    assert_eq!(tenant.calls(), 0);
}

#[tokio::test]
#[ignore = "takes a minute; .ci/fleet runs it"]
async fn every_day_is_right_while_leaders_are_killed_or_leave_in_a_fetch() {
    let tenant = Tenant::new().await;
    // A client without other replicas shows what is right.
    let reference = FeishuSource::new(tenant.upstream.feishu_config(), Arc::default(), tenant.upstream.clock.clone());
    let reference = reference.expect("a source");
    let context = LoadContext { priority: Priority::Interactive, caller: CallerId(1) };
    let mut replicas = tenant.replicas(3, 20.0).await;
    for (number, date) in (1..=20).map(|day| (day, format!("2026-11-{day:02}"))) {
        replicas = elect(replicas).await;
        let leader = replicas.remove(0);
        let calls = tenant.calls();
        // A killed process answers nothing, but a runtime that ends can answer that it has abandoned the day.
        let load = async |replica: &Replica| match replica.load(&date).await {
            Err(LoadError::Abandoned) => replica.load(&date).await,
            loaded => loaded,
        };
        let followers = join_all(replicas.iter().map(load));
        // The leader ends after 0 to 10 of the 10 calls of the day.
        let (days, ()) = tokio::join!(followers, async {
            eventually(async || tenant.calls() >= calls + number % (CALLS_OF_A_DAY + 1)).await;
            if number % 2 == 0 {
                leader.kill();
            } else {
                leader.member.leave().await;
                leader.kill();
            }
        });
        let right = reference.load(&key(&date), Depth::Rows, context).await.expect("a day");
        assert_eq!(right.row_count(), PEOPLE as usize);
        for day in days {
            assert_eq!(day.expect("a day").hash(), right.hash(), "{date}");
        }
        replicas.push(tenant.replica(20.0, "secret").await);
    }
}
