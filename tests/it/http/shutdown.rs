//! Graceful shutdown: every request that was received gets a complete response.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use feishu_pulse::app;
use feishu_simulator::SimulatorConfig;
use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::support::{ApiResponse, Setup, eventually};

/// A gateway that can be shut down.
struct StoppableGateway {
    setup: Setup,
    base: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// A gateway whose Feishu responds after `latency`.
async fn gateway(latency: Duration, drain_delay: Duration) -> StoppableGateway {
    let mut settings = None;
    let simulation = SimulatorConfig { users: 5, latency, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| settings = Some(config.clone())).await;
    let mut gateway = app::build(settings.expect("settings"), setup.clock.clone()).expect("a gateway");
    gateway.server.drain_delay = drain_delay;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        app::serve(gateway, listener, shutdown).await.expect("no error");
    });
    StoppableGateway { setup, base, stop, served }
}

async fn get(client: &Client, url: String) -> ApiResponse {
    ApiResponse::read(client.get(url).send().await.expect("a response")).await
}

#[tokio::test]
async fn during_the_drain_readiness_fails_and_running_requests_complete() {
    let StoppableGateway { setup, base, stop, served } =
        gateway(Duration::from_millis(300), Duration::from_millis(500)).await;
    let get = async |path: &str| get(&setup.http, format!("{base}{path}")).await;
    assert_eq!(get("/readyz").await.status, StatusCode::OK);

    let slow = get("/v1/user-days?start_date=2026-10-01&end_date=2026-10-20");
    let ended = async {
        stop.send(()).expect("the gateway runs");
        eventually(async || get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
        let response = get("/v1/coverage").await;
        assert_eq!((response.status, &response.headers["connection"]), (StatusCode::OK, &"close".parse().unwrap()));
    };
    let (slow, ()) = tokio::join!(slow, ended);

    assert_eq!(slow.status, StatusCode::OK);
    served.await.expect("the server task");
}

#[tokio::test]
async fn under_load_every_received_request_gets_a_complete_response() {
    const CONNECTIONS: usize = 16;
    const STREAMS: usize = 16;
    const UNREAD: usize = 100;
    let StoppableGateway { setup, base, stop, served } = gateway(Duration::from_secs(3), Duration::ZERO).await;
    let request = format!("{base}/v1/user-days?start_date=2026-10-01&end_date=2026-10-20");
    let http1 = || Client::builder().http1_only().build().expect("a client");
    let http2 = || Client::builder().http2_prior_knowledge().build().expect("a client");
    let clients: Vec<(Client, usize)> =
        (0..CONNECTIONS).map(|index| if index % 2 == 0 { (http1(), 1) } else { (http2(), STREAMS) }).collect();
    // Opens the connections before the requests are sent.
    for (client, _) in &clients {
        assert_eq!(get(client, format!("{base}/livez")).await.status, StatusCode::OK);
    }
    let senders = clients.iter().flat_map(|(client, streams)| std::iter::repeat_n(client.clone(), *streams));
    let running: Vec<_> = senders.map(|client| tokio::spawn(get_owned(client, request.clone()))).collect();
    let all = format!("feishu_pulse_http_requests_in_flight {}", running.len() + 1);
    eventually(async || get(&setup.http, format!("{base}/metrics")).await.text.contains(&all)).await;

    // The gateway runs on this thread, so it has not read these requests when the shutdown begins.
    let address = base.trim_start_matches("http://").to_owned();
    let unread: Vec<_> = (0..UNREAD).map(|_| send_unread(&address)).collect();
    stop.send(()).expect("the gateway runs");

    let responses = join_all(running).await;
    let bodies: Vec<String> = responses.into_iter().map(|response| response.expect("no panic").text).collect();
    assert!(bodies[0].len() > 10_000 && bodies.iter().all(|body| *body == bodies[0]), "a response is incomplete");
    let unread = tokio::task::spawn_blocking(move || unread.into_iter().map(read_all).collect::<Vec<_>>()).await;
    for response in unread.expect("no panic") {
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with(&bodies[0]), "{response}");
    }
    served.await.expect("the server task");
    assert!(setup.http.get(format!("{base}/livez")).send().await.is_err());
}

async fn get_owned(client: Client, url: String) -> ApiResponse {
    get(&client, url).await
}

/// Sends a request on a new connection, and blocks the thread meanwhile so that the gateway cannot read it.
fn send_unread(address: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let request = "GET /v1/user-days?start_date=2026-10-01&end_date=2026-10-20 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// Reads until the connection is closed.
fn read_all(mut stream: std::net::TcpStream) -> String {
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("an orderly close");
    String::from_utf8(response).expect("text")
}

#[tokio::test]
async fn an_event_stream_does_not_block_the_shutdown() {
    let StoppableGateway { setup, base, stop, served } = gateway(Duration::from_secs(60), Duration::ZERO).await;
    let request = setup.http.post(format!("{base}/v1/backfills?start_date=2026-10-01&end_date=2026-10-20"));
    let job = request.send().await.expect("a response");
    let events = format!("{base}{}/events", job.headers()["location"].to_str().expect("text"));
    let mut followed = setup.http.get(events).send().await.expect("a response");
    let mut last = followed.chunk().await.expect("an event");
    assert!(last.is_some());

    stop.send(()).expect("the gateway runs");

    // The stream ends in order while the job is still running.
    while let Some(more) = followed.chunk().await.expect("a complete body") {
        last = Some(more);
    }
    let last = String::from_utf8(last.expect("an event").to_vec()).expect("text");
    assert!(last.contains("\"running\""), "{last}");
    served.await.expect("the server task");
}
