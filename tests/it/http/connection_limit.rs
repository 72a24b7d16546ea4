//! Connections beyond the connection limit.

use std::{io, num::NonZero};

use feishu_simulator::SimulatorConfig;
use reqwest::{Client, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{ApiResponse, Setup, eventually};

/// Connections beyond the limit on which requests are still read, to response 503 or a probe.
const OVERFLOW_CONNECTIONS: usize = 64;

/// A gateway with a limit of one connection, and that connection.
async fn full() -> (Setup, TcpStream) {
    let one = NonZero::new(1).expect("one");
    let simulation = SimulatorConfig { users: 5, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| config.server.max_connections = one).await;
    let first = connect(&setup).await;
    (setup, first)
}

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.expect("a connection")
}

/// Sends a request on a connection of its own and reads until it is closed.
async fn exchange(setup: &Setup, path: &str) -> String {
    let mut stream = connect(setup).await;
    let sent = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    let mut received = Vec::new();
    match sent.and(stream.read_to_end(&mut received).await) {
        Ok(_) => {}
        Err(error) => assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)),
    }
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn beyond_the_limit_requests_get_503_and_probes_are_answered() {
    let (setup, first) = full().await;

    let (refused, probe, ready) =
        (exchange(&setup, "/v1/coverage").await, exchange(&setup, "/livez").await, exchange(&setup, "/readyz").await);

    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"overloaded\""), "{refused}");
    assert!(refused.contains("Retry-After: 1") && refused.contains("Connection: close"), "{refused}");
    assert!(probe.starts_with("HTTP/1.1 200") && ready.starts_with("HTTP/1.1 200"), "{probe} {ready}");
    drop(first);
    eventually(async || setup.get("/v1/coverage").await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn beyond_the_limit_http2_requests_get_503_and_probes_are_answered() {
    let (setup, _first) = full().await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let get = async |path: &str| {
        ApiResponse::read(client.get(format!("{}{path}", setup.base)).send().await.expect("a response")).await
    };
    assert_eq!(get("/v1/coverage").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn beyond_the_overflow_connections_are_closed_unread() {
    let (setup, _first) = full().await;
    let mut overflow = Vec::new();
    for _ in 0..OVERFLOW_CONNECTIONS {
        overflow.push(connect(&setup).await);
    }

    assert_eq!(exchange(&setup, "/livez").await, "");
    drop(overflow);
    eventually(async || exchange(&setup, "/livez").await.starts_with("HTTP/1.1 200")).await;
}

// Time is paused: it advances when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn a_silent_overflow_connection_is_closed() {
    let (setup, _first) = full().await;
    let mut silent = connect(&setup).await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}
