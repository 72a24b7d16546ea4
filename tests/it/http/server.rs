//! The server: input that it rejects, protocols, and TLS.

use std::{io, num::NonZero, sync::Arc, time::Duration};

use feishu_pulse::app;
use feishu_simulator::SimulatorConfig;
use reqwest::{StatusCode, Version};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    http::hosts::with_operations_listener,
    support::{Setup, eventually},
};

const LIVE: &str = "/livez";

async fn small() -> Setup {
    Setup::new(SimulatorConfig { users: 5, ..SimulatorConfig::default() }).await
}

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.expect("a connection")
}

/// Reads until the connection is closed.
async fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

// Time is paused: it advances when all tasks are idle.
#[rstest]
#[case::nothing("")]
#[case::one_byte("P")]
#[case::half_a_header("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")]
#[case::the_beginning_of_http2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_complete_header_is_disconnected(#[case] sent: &str) {
    let setup = small().await;
    let mut stream = connect(&setup).await;
    stream.write_all(sent.as_bytes()).await.expect("sent");

    let response = read_all(stream).await;

    assert!(!response.contains("HTTP/1.1") || response.starts_with("HTTP/1.1 400"), "{response}");
}

#[tokio::test]
async fn idle_connections_do_not_block_requests() {
    let setup = small().await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(connect(&setup).await);
    }

    assert_eq!(setup.get(LIVE).await.status, StatusCode::OK);
    drop(idle);
}

#[tokio::test]
async fn oversized_paths_headers_and_bodies_are_rejected() {
    let setup = small().await;
    let post = setup.http.post(format!("{}/open-apis/auth/v3/tenant_access_token/internal", setup.base));

    let uri = setup.get(&format!("/v1/users?sort={}", "a".repeat(9_000))).await;
    let body = post.body("x".repeat(100_000)).send().await.expect("a response");
    let mut stream = connect(&setup).await;
    let header = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(40_000));
    // The server may close the connection before everything is sent.
    let _ = stream.write_all(header.as_bytes()).await;

    assert_eq!((uri.status, &uri.problem()["code"]), (StatusCode::URI_TOO_LONG, &"uri_too_long".into()));
    // Feishu's code for an invalid parameter. Its status is 500.
    assert_eq!(body.json::<serde_json::Value>().await.expect("JSON")["code"], 1_051_001);
    let response = read_all(stream).await;
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 431"), "{response}");
    assert_eq!(setup.upstream_calls(), 0);
}

#[rstest]
#[case::a_tls_handshake("\x16\x03\x01 hello\r\n\r\n")]
#[case::an_incomplete_request_line("GET\r\n\r\n")]
#[case::two_lengths("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")]
#[case::length_and_chunks(
    "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc"
)]
#[tokio::test]
async fn malformed_http_is_rejected(#[case] sent: &str) {
    let setup = small().await;
    let mut stream = connect(&setup).await;
    stream.write_all(sent.as_bytes()).await.expect("sent");

    let response = read_all(stream).await;

    assert!(response.is_empty() || response.starts_with("HTTP/1.1 400"), "{response}");
}

#[tokio::test]
async fn beyond_the_request_limit_requests_get_503_with_retry_after() {
    let simulation = SimulatorConfig { users: 5, latency: Duration::from_secs(4), ..SimulatorConfig::default() };
    let one = NonZero::new(1).expect("one");
    let setup = Arc::new(Setup::with(simulation, |config| config.server.max_requests = one).await);
    let waiting = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move { setup.get("/v1/user-days?start_date=2026-11-20&end_date=2026-11-20").await }
    });

    let is_overloaded = async || setup.get("/v1/coverage").await.status == StatusCode::SERVICE_UNAVAILABLE;
    eventually(is_overloaded).await;
    let response = setup.get("/v1/coverage").await;

    assert_eq!(
        (&response.problem()["code"], &response.headers["retry-after"]),
        (&"overloaded".into(), &"1".parse().unwrap())
    );
    assert_eq!(setup.get(LIVE).await.status, StatusCode::OK);
    waiting.abort();
}

#[tokio::test]
async fn http2_works_without_tls() {
    let setup = small().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");

    let response = client.get(format!("{}{LIVE}", setup.base)).send().await.expect("a response");

    assert_eq!((response.version(), response.status()), (Version::HTTP_2, StatusCode::OK));
}

/// Writes a self-signed certificate for `name` and its key; returns the certificate.
fn write_certificate(folder: &std::path::Path, name: &str) -> String {
    let pair = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
    std::fs::write(folder.join("cert.pem"), pair.cert.pem()).expect("written");
    pair.cert.pem()
}

#[tokio::test]
async fn tls_is_served_and_a_renewed_certificate_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = app::TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let first = write_certificate(folder.path(), "localhost");
    let setup = Setup::with(SimulatorConfig { users: 5, ..SimulatorConfig::default() }, |config| {
        config.server.tls = Some(files);
    })
    .await;
    let port = setup.base.rsplit(':').next().expect("a port").to_owned();
    let trusting = async |certificate: &str| {
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
        client.get(format!("https://localhost:{port}{LIVE}")).send().await
    };

    let response = trusting(&first).await.expect("a response");
    assert_eq!((response.version(), response.status()), (Version::HTTP_2, StatusCode::OK));
    let second = write_certificate(folder.path(), "localhost");

    eventually(async || trusting(&second).await.is_ok()).await;
    assert!(trusting(&first).await.is_err());
}

// Time is paused: it advances when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_408_at_every_path() {
    let (setup, operations) = with_operations_listener(&[]).await;
    let main = setup.base.trim_start_matches("http://");
    let cases = [
        (main, "POST /open-apis/auth/v3/tenant_access_token/internal", "\"code\":2200"),
        (&operations, "PUT /log-level", "\"code\":\"request_timeout\""),
    ];

    for (address, target, code) in cases {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let head =
            format!("{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.expect("sent");

        let response = read_all(stream).await;

        assert!(response.starts_with("HTTP/1.1 408 ") && response.contains(code), "{response}");
    }
}
