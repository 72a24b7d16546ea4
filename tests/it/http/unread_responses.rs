//! Responses that their clients do not read: how many there may be, and when they are cut.

use std::{num::NonZero, time::Duration};

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::{Response, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    access::callers::{GuardedGateway, Key},
    support::{ApiResponse, Setup, eventually},
};

const ONE: NonZero<usize> = NonZero::new(1).unwrap();
const EXPORT: &str = "/v1/user-days?start_date=2026-10-21&end_date=2026-11-20&format=ndjson";

/// With this memory, only exports below 256 KiB are collected. [`EXPORT`] is longer, compressed too, so it is in progress until
/// it is read.
const STREAMING_CACHE_BYTES: u64 = 4 << 20;

fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 300, days: 35, ..SimulatorConfig::default() }
}

/// A client of HTTP/2 that accepts no byte of a response body, and answers pings.
fn unreading_client() -> reqwest::Client {
    let client = reqwest::Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(0);
    client.build().expect("a client")
}

/// A response without its body.
async fn begin(client: &reqwest::Client, setup: &Setup, path: &str) -> Response {
    client.get(format!("{}{path}", setup.base)).send().await.expect("a response")
}

async fn status(setup: &Setup, path: &str) -> StatusCode {
    setup.get(path).await.status
}

#[tokio::test]
async fn an_unread_response_counts_as_a_concurrent_request_until_its_client_leaves() {
    let setup = Setup::with(simulation(), |config| config.server.max_requests = ONE).await;
    let unread = begin(&unreading_client(), &setup, "/v1/coverage").await;
    assert_eq!(unread.status(), StatusCode::OK);

    let refused = setup.get("/v1/coverage").await;
    assert_eq!((refused.status, &refused.problem()["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"overloaded".into()));
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(status(&setup, "/livez").await, StatusCode::OK);

    drop(unread);
    eventually(async || status(&setup, "/v1/coverage").await == StatusCode::OK).await;
}

#[tokio::test]
async fn an_http2_stream_whose_client_accepts_nothing_is_reset() {
    let setup = Setup::with(simulation(), |config| {
        config.server.max_requests = ONE;
        config.server.unread_limit = Duration::from_millis(200);
    })
    .await;
    let client = unreading_client();
    let unread = begin(&client, &setup, "/v1/coverage").await;

    let body = tokio::time::timeout(Duration::from_secs(30), unread.bytes()).await.expect("the end of the stream");

    assert!(body.is_err(), "no byte was accepted");
    eventually(async || status(&setup, "/v1/coverage").await == StatusCode::OK).await;
    // The connection is still usable.
    assert_eq!(begin(&client, &setup, "/v1/reports/summary?period=1d").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_http1_connection_whose_client_accepts_nothing_is_closed() {
    let setup = Setup::with(simulation(), |config| {
        config.server.max_requests = ONE;
        config.server.unread_limit = Duration::from_millis(200);
    })
    .await;
    let complete = setup.get(EXPORT).await;
    assert_eq!(complete.status, StatusCode::OK);
    assert!(complete.text.len() > 6 << 20, "more than the buffers of two sockets hold");
    let mut unread = connect_with_small_buffer(&setup).await;
    let request = format!("GET {EXPORT} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    unread.write_all(request.as_bytes()).await.expect("sent");
    unread.readable().await.expect("the begin of the response");

    eventually(async || status(&setup, "/v1/coverage").await == StatusCode::OK).await;

    let mut received = Vec::new();
    // A reset connection can lose what the client has not read.
    let _ = tokio::time::timeout(Duration::from_secs(30), unread.read_to_end(&mut received)).await.expect("an end");
    assert!(received.len() < complete.text.len());
}

async fn connect_with_small_buffer(setup: &Setup) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(setup.base.trim_start_matches("http://").parse().expect("an address")).await.expect("a connection")
}

#[tokio::test]
async fn beyond_the_limit_exports_get_503_with_retry_after_and_fetch_nothing() {
    let setup = Setup::with(simulation(), |config| {
        config.server.max_exports = ONE;
        config.cache_bytes = STREAMING_CACHE_BYTES;
    })
    .await;
    let first = begin(&unreading_client(), &setup, EXPORT).await;
    assert_eq!(first.status(), StatusCode::OK);
    let calls = setup.upstream_calls();

    let refused = setup.get("/v1/users?start_date=2026-10-20&end_date=2026-10-20&format=csv").await;

    assert_eq!((refused.status, &refused.problem()["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"overloaded".into()));
    assert!(refused.headers.contains_key("retry-after"));
    drop(first);
    eventually(async || status(&setup, EXPORT).await == StatusCode::OK).await;
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn a_caller_has_a_quarter_of_the_exports() {
    let keys = ["greedy", "other"].map(|name| Key::new(name, &[Scope::UsersRead]));
    let [greedy, other] = &keys;
    let four = NonZero::new(4).expect("four");
    let guarded = GuardedGateway::with(simulation(), &keys, |config| {
        config.server.max_exports = four;
        config.cache_bytes = STREAMING_CACHE_BYTES;
    })
    .await;
    let export = |client: reqwest::Client, key: &Key| {
        client.get(format!("{}{EXPORT}", guarded.setup.base)).bearer_auth(&key.secret).send()
    };
    let first = export(unreading_client(), greedy).await.expect("a response");
    assert_eq!(first.status(), StatusCode::OK);

    let refused = ApiResponse::read(export(guarded.setup.http.clone(), greedy).await.expect("a response")).await;

    assert_eq!(
        (refused.status, &refused.problem()["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &"too_many_requests".into())
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(export(guarded.setup.http.clone(), other).await.expect("a response").status(), StatusCode::OK);
}
