//! One suite for all stores of the record, and faults of a Redis server.

use std::{
    env::var,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use feishu_pulse::{
    fleet::{
        BucketStore, FleetRecord, LeaseStore, MemoryStore, RecordVersion, RedisAddress, RedisStore, SwapOutcome,
        lease_store::{UnfitStore, probe},
        record::{DeletedDay, DeletedDays, LeaderAddress, RECORD_VERSION, RecordNonce, SharedUpstreamState, random_id},
    },
    model::Geo,
    store::ArchiveLocation,
};
use object_store::{ObjectStore, memory::InMemory};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{day, eventually};

/// Opens a record by name. All stores of one name share a record.
type Open<'a> = &'a dyn Fn(&str) -> Box<dyn LeaseStore>;

const WRITERS: usize = 4;
const WRITES: u64 = 10;

fn record(term: u64) -> FleetRecord {
    let leader = LeaderAddress {
        id: format!("replica {term} 总部"),
        address: "10.0.0.7:9091".to_owned(),
        proof: "p".to_owned(),
    };
    FleetRecord {
        version: RECORD_VERSION,
        term,
        nonce: RecordNonce::random(),
        lease_seconds: 10.0,
        leader: Some(leader),
        release: "0.1.0".to_owned(),
        upstream: SharedUpstreamState { calls: 7, reserved: 9, ..SharedUpstreamState::default() },
        deleted: DeletedDays {
            count: 2,
            latest: vec![DeletedDay { geo: Geo::Cn, day: day("2026-11-20"), by: "a".into() }; 2],
        },
        replicas: 3,
        successor: None,
    }
}

/// What every store must do.
async fn check_store(open: Open<'_>) {
    let run = random_id();
    let name = |test: &str| format!("fleet/test-{run}-{test}");
    assert_eq!(probe(&mut *open(&name("probe"))).await, Ok(()));
    check_two_handles(open, &name("handles")).await;
    check_concurrent_writers(open, &name("writers")).await;
    check_concurrent_creation(open, &name("creation")).await;
}

/// A store reads what another one wrote.
async fn check_two_handles(open: Open<'_>, name: &str) {
    let (mut one, mut other) = (open(name), open(name));
    let first = record(1);
    assert_eq!(other.read().await, Ok(None));
    let SwapOutcome::Done(version) = one.swap(None, &first).await else { panic!("the record is created") };
    let read = other.read().await.expect("an answer").expect("a record");
    assert_eq!(read, (first, version));
    one.remove().await.expect("an answer");
    assert_eq!(other.read().await, Ok(None));
    // A record that was removed and created again has another version, even with the same content.
    let SwapOutcome::Done(again) = other.swap(None, &record(1)).await else { panic!("the record is created") };
    assert_ne!(read.1, again);
    assert_eq!(one.swap(Some(&read.1), &record(2)).await, SwapOutcome::Lost);
    one.remove().await.expect("an answer");
}

/// No write of concurrent writers is lost: each raises the term by one. A slow server leaves some outcomes unknown:
/// `SeaweedFS` lets a write that meets others wait for seconds.
async fn check_concurrent_writers(open: Open<'_>, name: &str) {
    let mut store = open(name);
    assert!(matches!(store.swap(None, &record(0)).await, SwapOutcome::Done(_)));
    let writers = (0..WRITERS).map(|_| {
        let mut store = open(name);
        tokio::spawn(async move {
            let (mut written, mut unknown) = (0, 0);
            while written < WRITES {
                let Ok(read) = store.read().await else { continue };
                let (found, version) = read.expect("a record");
                match store.swap(Some(&version), &record(found.term + 1)).await {
                    SwapOutcome::Done(_) => written += 1,
                    SwapOutcome::Lost => {}
                    SwapOutcome::Unknown(_) => unknown += 1,
                }
            }
            unknown
        })
    });
    let ended = futures_util::future::join_all(writers);
    let ended = tokio::time::timeout(Duration::from_secs(180), ended).await.expect("all writes within 180 s");
    let unknown: u64 = ended.into_iter().map(|writer| writer.expect("a writer that did not panic")).sum();
    let (last, _) = store.read().await.expect("an answer").expect("a record");
    let known = WRITERS as u64 * WRITES;
    assert!((known..=known + unknown).contains(&last.term), "{} for {known} and {unknown} unknown", last.term);
    store.remove().await.expect("an answer");
}

/// Of concurrent creations, one succeeds: the one whose record is stored.
async fn check_concurrent_creation(open: Open<'_>, name: &str) {
    for round in 0..5 {
        let name = format!("{name}-{round}");
        let creations = (0..WRITERS as u64).map(|term| {
            let mut store = open(&name);
            tokio::spawn(async move { (term, store.swap(None, &record(term)).await) })
        });
        let outcomes: Vec<_> =
            futures_util::future::join_all(creations).await.into_iter().map(|ended| ended.expect("no panic")).collect();
        let mut store = open(&name);
        let (stored, _) = store.read().await.expect("an answer").expect("a record");
        for (term, outcome) in &outcomes {
            let possible = match outcome {
                SwapOutcome::Done(_) => *term == stored.term,
                SwapOutcome::Lost => *term != stored.term,
                SwapOutcome::Unknown(_) => true,
            };
            assert!(possible, "the record of {} is stored: {outcomes:?}", stored.term);
        }
        store.remove().await.expect("an answer");
    }
}

fn redis_address() -> RedisAddress {
    var("PULSE_TEST_REDIS").expect("PULSE_TEST_REDIS").parse().expect("an address")
}

fn open_redis(name: &str) -> Box<dyn LeaseStore> {
    Box::new(RedisStore::new(redis_address(), name.to_owned()))
}

fn bucket() -> Arc<dyn ObjectStore> {
    let location: ArchiveLocation =
        var("PULSE_TEST_BUCKET").expect("PULSE_TEST_BUCKET").parse().expect("a location of a bucket");
    location.open_without_retries().expect("a configured bucket").expect("a bucket")
}

/// Forwards connections to a server. While it drops replies, requests still arrive.
struct ReplyDroppingProxy {
    url: String,
    drops_replies: Arc<AtomicBool>,
}

impl ReplyDroppingProxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("an address"));
        let drops_replies = Arc::new(AtomicBool::new(false));
        let drops = Arc::clone(&drops_replies);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) =
                    TcpStream::connect(&server).await.expect("a connection to the server").into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let drops = Arc::clone(&drops);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                        if !drops.load(Ordering::SeqCst) && to_client.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, drops_replies }
    }
}

/// A second connection to the server, for commands that disturb it.
async fn command(words: &[&str]) {
    let client = redis::Client::open(var("PULSE_TEST_REDIS").expect("PULSE_TEST_REDIS")).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let _: redis::Value = command.query_async(&mut connection).await.expect("an answer");
}

/// Writes the record, over whatever version it has, until the store accepts it.
async fn eventually_written(store: &mut dyn LeaseStore) -> RecordVersion {
    let mut written = None;
    eventually(async || {
        let Ok(found) = store.read().await else { return false };
        let version = found.map(|(_, version)| version);
        if let SwapOutcome::Done(version) = store.swap(version.as_ref(), &record(5)).await {
            written = Some(version);
        }
        written.is_some()
    })
    .await;
    written.expect("a version")
}

#[tokio::test]
async fn memory_is_a_store() {
    let shared = parking_lot::Mutex::new(std::collections::HashMap::<String, MemoryStore>::new());
    check_store(&|name| Box::new(shared.lock().entry(name.to_owned()).or_default().clone())).await;
}

#[tokio::test]
async fn a_bucket_in_memory_is_a_store() {
    let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    check_store(&|name| Box::new(BucketStore::new(Arc::clone(&bucket), name))).await;
}

#[tokio::test]
#[ignore = "needs a Redis server; .ci/fleet starts one"]
async fn a_redis_server_is_a_store() {
    check_store(&open_redis).await;
}

#[tokio::test]
#[ignore = "needs a bucket that honours conditions; .ci/fleet starts one"]
async fn a_bucket_is_a_store() {
    let bucket = bucket();
    check_store(&|name| Box::new(BucketStore::new(Arc::clone(&bucket), name))).await;
}

#[tokio::test]
#[ignore = "needs a bucket that ignores conditions; .ci/fleet starts one"]
async fn a_bucket_that_ignores_conditions_is_recognised() {
    let found = probe(&mut BucketStore::new(bucket(), "fleet/probe.json")).await;
    assert!(matches!(found, Err(UnfitStore::IgnoresCondition(_))), "{found:?}");
}

#[tokio::test]
#[ignore = "needs a Redis server; .ci/fleet starts one"]
async fn a_swap_whose_reply_is_lost_is_recognised_by_its_nonce() {
    let server = var("PULSE_TEST_REDIS").expect("PULSE_TEST_REDIS");
    let proxy = ReplyDroppingProxy::start(server.trim_start_matches("redis://").to_owned()).await;
    let mut store = RedisStore::new(proxy.url.parse().expect("an address"), "fleet/test-lost-reply".to_owned());
    let before = eventually_written(&mut store).await;

    proxy.drops_replies.store(true, Ordering::SeqCst);
    let written = record(6);
    assert!(matches!(store.swap(Some(&before), &written).await, SwapOutcome::Unknown(_)));
    proxy.drops_replies.store(false, Ordering::SeqCst);

    eventually(async || matches!(store.read().await, Ok(Some((found, _))) if found.nonce == written.nonce)).await;
    assert_eq!(store.swap(Some(&before), &record(7)).await, SwapOutcome::Lost);
}

#[tokio::test]
#[ignore = "needs a Redis server; .ci/fleet starts one"]
async fn the_store_connects_again_to_a_server_that_closed_connections_forgot_scripts_or_refuses_writes() {
    let mut store = open_redis("fleet/test-faults");
    eventually_written(&mut *store).await;
    command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    eventually_written(&mut *store).await;
    command(&["SCRIPT", "FLUSH"]).await;
    let version = eventually_written(&mut *store).await;

    // A server that became a replica of another one answers READONLY.
    command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = store.swap(Some(&version), &record(6)).await;
    command(&["REPLICAOF", "NO", "ONE"]).await;

    assert!(matches!(&refused, SwapOutcome::Unknown(error) if error.to_string().contains("READONLY")), "{refused:?}");
    eventually_written(&mut *store).await;
}

#[tokio::test]
#[ignore = "needs a Redis server with a replica and Sentinels; .ci/fleet starts them"]
async fn the_store_follows_a_failover_by_sentinel() {
    let address = var("PULSE_TEST_SENTINEL").expect("PULSE_TEST_SENTINEL");
    let mut store = RedisStore::new(address.parse().expect("an address"), "fleet/test-failover".to_owned());
    eventually_written(&mut store).await;
    let sentinels = address.trim_start_matches("redis+sentinel://").trim_end_matches("/main");
    let sentinel = redis::Client::open(format!("redis://{}", sentinels.split(',').next().expect("a Sentinel")));
    let mut sentinel =
        sentinel.expect("an address").get_multiplexed_async_connection().await.expect("a connection to a Sentinel");
    let primary = async |sentinel: &mut redis::aio::MultiplexedConnection| {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg("main");
        command.query_async::<Vec<String>>(sentinel).await.expect("an address")
    };
    let before = primary(&mut sentinel).await;

    let mut failover = redis::cmd("SENTINEL");
    failover.arg("FAILOVER").arg("main");
    let _: redis::Value = failover.query_async(&mut sentinel).await.expect("a failover that starts");
    eventually(async || primary(&mut sentinel).await != before).await;

    eventually_written(&mut store).await;
}

#[tokio::test]
async fn a_server_that_never_answers_fails_a_command_and_gets_few_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    let mut store = RedisStore::new(format!("redis://{address}").parse().expect("an address"), "fleet/test".to_owned());

    // After the first attempt, further commands fail at once until the next connection is due.
    for _ in 0..100 {
        assert!(store.read().await.is_err());
    }

    assert!((1..=10).contains(&connections.load(Ordering::SeqCst)), "{connections:?}");
    server.abort();
}
