//! Several whole gateways before one simulated Feishu, as callers see them.

use std::{path::Path, time::Duration};

use feishu_pulse::{
    app::{self, FleetConfig, FleetStore, FleetTlsFiles, GatewayConfig},
    fleet::{LeaseStore as _, MemoryStore},
    store::ArchiveLocation,
};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use reqwest::{Method, StatusCode};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::support::{ApiResponse, Upstream, eventually};

const LEASE: Duration = Duration::from_secs(2);

/// A tenant, the archive and the record that its gateways share.
pub(super) struct Tenant {
    upstream: Upstream,
    archive: TempDir,
    record: MemoryStore,
}

/// A running gateway.
pub(super) struct Replica {
    base: String,
    /// Where other replicas reach it.
    pub(super) fleet_address: String,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Tenant {
    pub(super) async fn new() -> Self {
        Self::of(200).await
    }

    async fn of(users: u32) -> Self {
        let upstream = Upstream::start(SimulatorConfig { users, turnover: 0.0, ..SimulatorConfig::default() }).await;
        Self { upstream, archive: tempfile::tempdir().expect("a folder"), record: MemoryStore::default() }
    }

    async fn replica(&self) -> Replica {
        self.replica_with_tls(None).await
    }

    /// A replica with these files of TLS.
    pub(super) async fn replica_with_tls(&self, tls: Option<FleetTlsFiles>) -> Replica {
        self.start(&self.upstream.simulator.base_url(), tls).await
    }

    /// A replica that reaches Feishu at this address.
    async fn replica_before(&self, base_url: &str) -> Replica {
        self.start(base_url, None).await
    }

    async fn start(&self, base_url: &str, tls: Option<FleetTlsFiles>) -> Replica {
        let fleet_listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let fleet_address = fleet_listener.local_addr().expect("an address").to_string();
        let mut config = GatewayConfig {
            archive: ArchiveLocation::Folder(self.archive.path().to_owned()),
            fleet: Some(FleetConfig {
                store: FleetStore::Memory(self.record.clone()),
                address: fleet_address.clone(),
                tls,
                lease: LEASE,
                unreachable_limit: Duration::from_millis(500),
            }),
            public_url: Some("https://bi.example.com/pulse".parse().expect("a URL")),
            ..self.upstream.gateway_config()
        };
        config.feishu.base_url = base_url.parse().expect("a URL");
        let gateway = app::build(config, self.upstream.clock.clone()).expect("a gateway");
        app::serve_fleet(gateway.fleet.as_ref().expect("a fleet"), &gateway.api, fleet_listener);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let served = app::serve(gateway, listener, stop.clone().cancelled_owned());
        let served = tokio::spawn(async move { served.await.expect("a gateway that serves") });
        Replica { base, fleet_address, stop, served }
    }

    /// Two replicas; the first leads.
    async fn pair(&self) -> [Replica; 2] {
        let first = self.replica().await;
        eventually(async || first.leads().await).await;
        [first, self.replica().await]
    }

    pub(super) fn calls(&self) -> usize {
        self.upstream.calls()
    }
}

impl Replica {
    async fn send(&self, method: Method, path: &str, prefer: Option<&str>) -> ApiResponse {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        let request = prefer.into_iter().fold(request, |request, prefer| request.header("prefer", prefer));
        ApiResponse::read(request.send().await.expect("an answer")).await
    }

    pub(super) async fn get(&self, path: &str) -> ApiResponse {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn leads(&self) -> bool {
        self.get("/metrics").await.text.contains("\nfeishu_pulse_fleet_leader 1\n")
    }
}

fn day_file(archive: &Path) -> usize {
    walk(archive).into_iter().filter(|path| path.ends_with(".parquet")).count()
}

fn walk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }
        })
        .collect()
}

const OTHER_DAY: &str = "/v1/reports/activity?start_date=2026-11-11&end_date=2026-11-11&trailing=held";
pub(super) const DAY: &str = "/v1/reports/activity?start_date=2026-11-10&end_date=2026-11-10&trailing=held";

#[tokio::test]
async fn a_job_is_seen_and_cancelled_at_every_replica() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;

    let started = follower.send(Method::POST, "/v1/backfills?start_date=2026-11-01&end_date=2026-11-05", None).await;

    assert_eq!(started.status, StatusCode::ACCEPTED, "{}", started.text);
    let location = started.headers["location"].to_str().expect("a path").to_owned();
    assert!(location.starts_with("/pulse/v1/backfills/"), "{location}");
    eventually(async || follower.get(&location).await.json()["state"] == "done").await;
    assert_eq!(leader.get(&location).await.json(), follower.get(&location).await.json());
    let list = follower.get("/v1/backfills").await.json();
    assert_eq!(list["data"].as_array().expect("jobs").len(), 1);
    let cancelled = follower.send(Method::DELETE, &location, None).await.json();
    assert_eq!(cancelled["state"], "done");
}

#[tokio::test]
async fn a_follower_starts_the_job_of_an_asynchronous_request_at_the_leader() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    tenant
        .upstream
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Delay(Duration::from_secs(1))).on(FaultTarget::Stats).times(3));

    let accepted = follower.send(Method::GET, DAY, Some("respond-async")).await;

    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    assert_eq!(accepted.headers.get_all("x-request-id").iter().count(), 1);
    let location = accepted.headers["location"].to_str().expect("a path");
    assert_eq!(leader.get(location).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_deleted_day_is_removed_from_the_memory_of_all_replicas() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    for replica in [&leader, &follower] {
        replica.get(DAY).await.json();
    }
    let calls = tenant.calls();

    let deleted = follower.send(Method::DELETE, "/v1/days/2026-11-10", None).await;

    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    // The follower learns of it from the record. Then neither memory nor archive has the day, so it is fetched again.
    eventually(async || {
        follower.get(DAY).await.json();
        tenant.calls() == 2 * calls
    })
    .await;
}

#[tokio::test]
async fn a_problem_of_the_leader_reaches_the_caller_of_a_follower() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    let path = "/v1/backfills/20261122T040000Z-000000";
    let (at_leader, at_follower) = (leader.get(path).await, follower.get(path).await);
    assert_eq!(at_follower.status, StatusCode::NOT_FOUND);
    assert_eq!(at_follower.problem()["detail"], at_leader.problem()["detail"]);
}

/// The status of the answer to a GET request whose target is sent as it is.
async fn raw_status(replica: &Replica, target: &str) -> String {
    let address = replica.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_target_with_unusual_characters_is_passed_on_as_it_is() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    for target in ["/v1/backfills?owner=O'Brien", "/v1/backfills/a{b}?c=\"d\"", "/v1/backfills/../days"] {
        let expected = raw_status(&leader, target).await;
        assert!(!expected.contains("503"), "{target}: {expected}");
        assert_eq!(raw_status(&follower, target).await, expected, "{target}");
    }
}

#[tokio::test]
async fn the_last_replica_calls_feishu_until_its_requests_are_answered() {
    let tenant = Tenant::new().await;
    let only = tenant.replica().await;
    eventually(async || only.leads().await).await;
    tenant
        .upstream
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::Delay(Duration::from_secs(1))).on(FaultTarget::Stats).times(3));
    let base = only.base.clone();
    let request = tokio::spawn(async move { reqwest::get(format!("{base}{DAY}")).await.expect("an answer").status() });
    eventually(async || tenant.upstream.simulator.faults().remaining() < 3).await;

    only.stop.cancel();

    assert_eq!(request.await.expect("no panic"), StatusCode::OK);
    only.served.await.expect("an orderly end");
    let (record, _) = tenant.record.clone().read().await.expect("an answer").expect("a record");
    assert_eq!(record.leader, None);
}

#[tokio::test]
async fn a_job_goes_on_at_the_next_leader() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    tenant.upstream.simulator.faults().push(InjectedFault::new(FaultKind::Hang).on(FaultTarget::Stats).times(1));
    let started = follower.send(Method::POST, "/v1/backfills?start_date=2026-11-01&end_date=2026-11-05", None).await;
    let location = started.headers["location"].to_str().expect("a path").to_owned();
    // The first call of the job does not end.
    eventually(async || tenant.upstream.simulator.faults().remaining() == 0).await;
    assert_eq!(follower.get(&location).await.json()["state"], "running");

    leader.stop.cancel();
    leader.served.await.expect("an orderly end");

    eventually(async || follower.leads().await).await;
    eventually(async || {
        let job = follower.get(&location).await;
        job.status == StatusCode::OK && job.json()["state"] == "done"
    })
    .await;
    eventually(async || day_file(tenant.archive.path()) == 5).await;
}

#[tokio::test]
async fn a_leader_that_does_not_reach_feishu_lets_another_replica_lead() {
    let tenant = Tenant::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let cut_off = tenant.replica_before(&format!("http://{nobody}")).await;
    eventually(async || cut_off.leads().await).await;
    let other = tenant.replica().await;

    // Each request fails until the leader has changed.
    eventually(async || cut_off.get(DAY).await.status == StatusCode::OK).await;

    assert!(other.leads().await && !cut_off.leads().await);
}

#[tokio::test]
async fn the_next_leader_continues_a_long_chain() {
    let tenant = Tenant::of(1_500).await;
    let [leader, follower] = tenant.pair().await;
    tenant.upstream.simulator.faults().push(InjectedFault::new(FaultKind::Hang).on(FaultTarget::Stats).after(20));
    follower.send(Method::POST, "/v1/backfills?start_date=2026-11-05&end_date=2026-11-05", None).await;
    eventually(async || tenant.upstream.simulator.faults().remaining() == 0).await;

    leader.stop.cancel();
    leader.served.await.expect("an orderly end");

    eventually(async || day_file(tenant.archive.path()) == 1).await;
    let pages: Vec<_> =
        tenant.upstream.simulator.call_log().stats_calls().into_iter().filter_map(|call| call.page).collect();
    assert_eq!(pages, (1..=21).chain(21..=25).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_the_store_is_away_jobs_and_deletions_are_refused_and_days_are_fetched_and_archived() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    follower.get(DAY).await.json();
    tenant.record.set_failing(true);
    eventually(async || !leader.leads().await).await;

    let refused = follower.get("/v1/backfills").await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.problem()["code"], "no_leader");
    assert!(refused.headers.contains_key("retry-after"));
    let deletion = follower.send(Method::DELETE, "/v1/days/2026-11-10", None).await;
    assert_eq!(deletion.status, StatusCode::SERVICE_UNAVAILABLE);
    follower.get(DAY).await.json();
    assert!(leader.get("/metrics").await.text.contains("\nfeishu_pulse_fleet_degraded 1\n"));
    eventually(async || day_file(tenant.archive.path()) == 1).await;
    let calls = tenant.calls();
    follower.get(OTHER_DAY).await.json();
    assert!(tenant.calls() > calls);
    eventually(async || day_file(tenant.archive.path()) == 2).await;
    assert_eq!(follower.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_events_of_a_job_do_not_block_the_shutdown_of_a_follower() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    tenant.upstream.simulator.faults().push(InjectedFault::new(FaultKind::Hang).on(FaultTarget::Stats).times(u32::MAX));
    let started = follower.send(Method::POST, "/v1/backfills?start_date=2026-11-01&end_date=2026-11-05", None).await;
    let path = started.headers["location"].to_str().expect("a path").trim_start_matches("/pulse");
    let mut events = reqwest::get(format!("{}{path}/events", follower.base)).await.expect("an answer");
    assert!(events.chunk().await.expect("an event").is_some());

    follower.stop.cancel();

    // The stream ends in order, before the limit of the drain.
    let rest = tokio::time::timeout(Duration::from_secs(20), async {
        while events.chunk().await.expect("a complete body").is_some() {}
    });
    assert_eq!(rest.await, Ok(()));
    follower.served.await.expect("an orderly end");
    assert_eq!(leader.get(path).await.json()["state"], "running");
}

#[tokio::test]
async fn requests_to_the_leader_are_counted_by_outcome() {
    let tenant = Tenant::new().await;
    let [leader, follower] = tenant.pair().await;
    follower.get(DAY).await.json();
    follower.get("/v1/backfills").await.json();
    let fault = InjectedFault::new(FaultKind::error_code(1_051_002)).on(FaultTarget::Stats).times(u32::MAX);
    tenant.upstream.simulator.faults().push(fault);
    assert_eq!(follower.get(&DAY.replace("-10", "-11")).await.status, StatusCode::BAD_GATEWAY);

    let metrics = follower.get("/metrics").await.text;

    let count = |labels: &str| {
        let name = format!("\nfeishu_pulse_fleet_forwarded_{labels} ");
        let value = metrics.split_once(&name).and_then(|(_, rest)| rest.lines().next());
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{labels}: {metrics}"))
    };
    let outcomes = ["answered", "load_error", "not_leader", "refused", "failed", "cancelled"];
    let days = outcomes.map(|outcome| count(&format!("total{{request=\"day\",outcome=\"{outcome}\"}}")));
    assert_eq!(days, [1, 1, 0, 0, 0, 0]);
    assert_eq!(count("seconds_count{request=\"day\"}"), 2);
    assert_eq!(count("total{request=\"request\",outcome=\"answered\"}"), 1);
    let at_leader = leader.get("/metrics").await.text;
    assert!(at_leader.contains("\nfeishu_pulse_fleet_forwarded_seconds_count{request=\"day\"} 0\n"), "{at_leader}");
}
