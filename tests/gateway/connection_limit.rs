//! Connections beyond the bound.

use std::{io, num::NonZero};

use feishu_pulse::sim::SimConfig;
use reqwest::{Client, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Answer, Setup, eventually};

/// Connections beyond the bound that are told so.
const DOORSTEP: usize = 64;

/// A gateway that takes one connection, and one that takes its place.
async fn full() -> (Setup, TcpStream) {
    let one = NonZero::new(1).expect("one");
    let simulation = SimConfig { users: 5, ..SimConfig::default() };
    let setup = Setup::with(simulation, |config| config.server.max_connections = one).await;
    let first = connect(&setup).await;
    (setup, first)
}

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.expect("a connection")
}

/// What a client hears on a connection of its own, until that is closed.
async fn told(setup: &Setup, path: &str) -> String {
    let mut stream = connect(setup).await;
    let asked = stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    let mut told = Vec::new();
    match asked.and(stream.read_to_end(&mut told).await) {
        Ok(_) => {}
        Err(error) => assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)),
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[tokio::test]
async fn whoever_finds_no_room_is_told_so_and_probes_are_answered() {
    let (setup, first) = full().await;

    let (refused, probe, ready) =
        (told(&setup, "/v1/coverage").await, told(&setup, "/livez").await, told(&setup, "/readyz").await);

    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"overloaded\""), "{refused}");
    assert!(refused.contains("Retry-After: 1") && refused.contains("Connection: close"), "{refused}");
    assert!(probe.starts_with("HTTP/1.1 200") && ready.starts_with("HTTP/1.1 200"), "{probe} {ready}");
    drop(first);
    eventually(async || setup.get("/v1/coverage").await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn the_same_holds_for_http2() {
    let (setup, _first) = full().await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let get = async |path: &str| {
        Answer::read(client.get(format!("{}{path}", setup.base)).send().await.expect("an answer")).await
    };
    assert_eq!(get("/v1/coverage").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_crowd_is_closed_unheard() {
    let (setup, _first) = full().await;
    let mut crowd = Vec::new();
    for _ in 0..DOORSTEP {
        crowd.push(connect(&setup).await);
    }

    assert_eq!(told(&setup, "/livez").await, "");
    drop(crowd);
    eventually(async || told(&setup, "/livez").await.starts_with("HTTP/1.1 200")).await;
}

// Time is paused: it moves on as soon as nobody has anything to do but wait.
#[tokio::test(start_paused = true)]
async fn nobody_stays_on_the_doorstep() {
    let (setup, _first) = full().await;
    let mut silent = connect(&setup).await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}
