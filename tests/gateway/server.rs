//! The server: what it does not put up with, what it speaks, and how it ends.

use std::{io, num::NonZero, sync::Arc, time::Duration};

use feishu_pulse::{
    app::{self, ServerConfig},
    sim::SimConfig,
};
use reqwest::{StatusCode, Version};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{Answer, Setup, eventually};

const LIVE: &str = "/livez";

async fn small() -> Setup {
    Setup::new(SimConfig { users: 5, ..SimConfig::default() }).await
}

async fn connect(setup: &Setup) -> TcpStream {
    TcpStream::connect(setup.base.trim_start_matches("http://")).await.expect("a connection")
}

/// What comes back until the connection is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

// Time is paused: it moves on as soon as nobody has anything to do but wait.
#[rstest]
#[case::nothing("")]
#[case::one_byte("P")]
#[case::half_a_header("GET /livez HTTP/1.1\r\nHost: here\r\nX-Slow: ")]
#[case::the_beginning_of_http2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_get_to_the_point_is_cut_off(#[case] sent: &str) {
    let setup = small().await;
    let mut stream = connect(&setup).await;
    stream.write_all(sent.as_bytes()).await.expect("sent");

    let told = rest(stream).await;

    assert!(!told.contains("200"), "{told}");
}

#[tokio::test]
async fn many_idle_connections_do_not_keep_anyone_from_being_answered() {
    let setup = small().await;
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(connect(&setup).await);
    }

    assert_eq!(setup.get(LIVE).await.status, StatusCode::OK);
    drop(idle);
}

#[tokio::test]
async fn beyond_the_bound_a_connection_waits_until_another_is_closed() {
    let bound = |server: &mut ServerConfig| server.max_connections = NonZero::new(1).expect("one");
    let setup = Setup::with(SimConfig { users: 5, ..SimConfig::default() }, |config| bound(&mut config.server)).await;
    let first = connect(&setup).await;
    let mut second = connect(&setup).await;
    second.write_all(b"GET /livez HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await.expect("sent");

    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), second.peek(&mut byte)).await;
    drop(first);

    assert!(early.is_err(), "answered though the first is still open");
    assert!(rest(second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let setup = small().await;
    let post = setup.http.post(format!("{}/open-apis/auth/v3/tenant_access_token/internal", setup.base));

    let uri = setup.get(&format!("/v1/users?sort={}", "a".repeat(9_000))).await;
    let body = post.body("x".repeat(100_000)).send().await.expect("an answer");
    let mut stream = connect(&setup).await;
    let header = format!("GET /livez HTTP/1.1\r\nHost: here\r\nX-Long: {}\r\n\r\n", "a".repeat(40_000));
    // The server may close before all of it is sent.
    let _ = stream.write_all(header.as_bytes()).await;

    assert_eq!((uri.status, &uri.problem()["code"]), (StatusCode::URI_TOO_LONG, &"uri_too_long".into()));
    assert_ne!(body.status(), StatusCode::OK);
    assert!(!rest(stream).await.contains("200 OK"));
    assert_eq!(setup.upstream_calls(), 0);
}

#[rstest]
#[case::no_http("\x16\x03\x01 hello\r\n\r\n")]
#[case::no_host_and_no_sense("GET\r\n\r\n")]
#[case::two_lengths("POST /livez HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")]
#[case::length_and_chunks(
    "POST /livez HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc"
)]
#[tokio::test]
async fn what_is_no_http_is_refused(#[case] sent: &str) {
    let setup = small().await;
    let mut stream = connect(&setup).await;
    stream.write_all(sent.as_bytes()).await.expect("sent");

    let told = rest(stream).await;

    assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{told}");
}

#[tokio::test]
async fn whoever_finds_no_room_is_told_when_to_come_back() {
    let simulation = SimConfig { users: 5, latency: Duration::from_secs(4), ..SimConfig::default() };
    let one = NonZero::new(1).expect("one");
    let setup = Arc::new(Setup::with(simulation, |config| config.server.max_requests = one).await);
    let waiting = tokio::spawn({
        let setup = Arc::clone(&setup);
        async move { setup.get("/v1/user-days?start_date=2026-11-20&end_date=2026-11-20").await }
    });

    let turned_away = async || setup.get("/v1/coverage").await.status == StatusCode::SERVICE_UNAVAILABLE;
    eventually(turned_away).await;
    let answer = setup.get("/v1/coverage").await;

    assert_eq!(
        (&answer.problem()["code"], &answer.headers["retry-after"]),
        (&"overloaded".into(), &"1".parse().unwrap())
    );
    assert_eq!(setup.get(LIVE).await.status, StatusCode::OK);
    waiting.abort();
}

#[tokio::test]
async fn http2_is_spoken_without_tls_too() {
    let setup = small().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");

    let answer = client.get(format!("{}{LIVE}", setup.base)).send().await.expect("an answer");

    assert_eq!((answer.version(), answer.status()), (Version::HTTP_2, StatusCode::OK));
}

/// A certificate of that name, and its key.
fn certify(folder: &std::path::Path, name: &str) -> String {
    let pair = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
    std::fs::write(folder.join("cert.pem"), pair.cert.pem()).expect("written");
    pair.cert.pem()
}

#[tokio::test]
async fn tls_is_served_and_a_new_certificate_is_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = app::TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    let first = certify(folder.path(), "localhost");
    let setup =
        Setup::with(SimConfig { users: 5, ..SimConfig::default() }, |config| config.server.tls = Some(files)).await;
    let port = setup.base.rsplit(':').next().expect("a port").to_owned();
    let trusting = async |certificate: &str| {
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let client = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
        client.get(format!("https://localhost:{port}{LIVE}")).send().await
    };

    let answer = trusting(&first).await.expect("an answer");
    assert_eq!((answer.version(), answer.status()), (Version::HTTP_2, StatusCode::OK));
    let second = certify(folder.path(), "localhost");

    eventually(async || trusting(&second).await.is_ok()).await;
    assert!(trusting(&first).await.is_err());
}

#[tokio::test]
async fn before_it_ends_probes_say_so_and_requests_under_way_are_answered() {
    let mut settings = None;
    let simulation = SimConfig { users: 5, latency: Duration::from_millis(300), ..SimConfig::default() };
    let setup = Setup::with(simulation, |config| settings = Some(config.clone())).await;
    let mut gateway = app::build(settings.expect("settings"), setup.clock.clone()).expect("a gateway");
    gateway.server.drain_delay = Duration::from_millis(500);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (end, ending) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(app::serve(gateway, listener, async {
        let _ = ending.await;
    }));
    let get =
        async |path: &str| Answer::read(setup.http.get(format!("{base}{path}")).send().await.expect("an answer")).await;
    assert_eq!(get("/readyz").await.status, StatusCode::OK);

    let slow = get("/v1/user-days?start_date=2026-10-01&end_date=2026-10-20");
    let ended = async {
        end.send(()).expect("somebody who listens");
        eventually(async || get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
        let answer = get("/v1/coverage").await;
        assert_eq!((answer.status, &answer.headers["connection"]), (StatusCode::OK, &"close".parse().unwrap()));
    };
    let (slow, ()) = tokio::join!(slow, ended);

    assert_eq!(slow.status, StatusCode::OK);
    served.await.expect("an end").expect("no fault");
}
