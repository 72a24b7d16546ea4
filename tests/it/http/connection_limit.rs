//! Connections beyond the connection limit.

use std::{io, num::NonZero};

use feishu_simulator::SimulatorConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Setup, eventually};

/// A gateway with a limit of one connection, and that connection.
async fn full() -> (Setup, TcpStream) {
    let one = NonZero::new(1).expect("one");
    let simulation = SimulatorConfig { users: 5, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| config.server.max_connections = one).await;
    let mut first = connect(&setup).await;
    assert!(exchange(&mut first).await.starts_with("HTTP/1.1 200"));
    (setup, first)
}

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.expect("a connection")
}

/// Sends a request and reads some of its response; nothing if the connection is closed.
async fn exchange(stream: &mut TcpStream) -> String {
    let sent = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut received = [0; 1024];
    match sent.and(stream.read(&mut received).await) {
        Ok(length) => String::from_utf8_lossy(&received[..length]).into_owned(),
        Err(error) => {
            assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
            String::new()
        }
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed_and_the_others_are_served() {
    let (setup, mut first) = full().await;

    let mut silent = connect(&setup).await;
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(exchange(&mut connect(&setup).await).await, "");

    assert!(exchange(&mut first).await.starts_with("HTTP/1.1 200"));
    drop(first);
    eventually(async || exchange(&mut connect(&setup).await).await.starts_with("HTTP/1.1 200")).await;
}
