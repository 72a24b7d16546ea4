//! How a gateway ends: nobody who was heard goes without a whole answer.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use feishu_pulse::{app, sim::SimConfig};
use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::support::{Answer, Setup, eventually};

/// A gateway that can be told to end.
struct Ending {
    setup: Setup,
    base: String,
    end: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// A gateway before a Feishu that takes so long to answer.
async fn gateway(latency: Duration, drain_delay: Duration) -> Ending {
    let mut settings = None;
    let simulation = SimConfig { users: 5, latency, ..SimConfig::default() };
    let setup = Setup::with(simulation, |config| settings = Some(config.clone())).await;
    let mut gateway = app::build(settings.expect("settings"), setup.clock.clone()).expect("a gateway");
    gateway.server.drain_delay = drain_delay;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (end, ending) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let ending = async {
            let _ = ending.await;
        };
        app::serve(gateway, listener, ending).await.expect("no fault");
    });
    Ending { setup, base, end, served }
}

async fn get(client: &Client, url: String) -> Answer {
    Answer::read(client.get(url).send().await.expect("an answer")).await
}

#[tokio::test]
async fn before_it_ends_probes_say_so_and_requests_under_way_are_answered() {
    let Ending { setup, base, end, served } = gateway(Duration::from_millis(300), Duration::from_millis(500)).await;
    let get = async |path: &str| get(&setup.http, format!("{base}{path}")).await;
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
    served.await.expect("an end");
}

#[tokio::test]
async fn under_load_everyone_who_was_heard_gets_a_whole_answer() {
    const CONNECTIONS: usize = 16;
    const STREAMS: usize = 16;
    const UNHEARD: usize = 100;
    let Ending { setup, base, end, served } = gateway(Duration::from_secs(3), Duration::ZERO).await;
    let question = format!("{base}/v1/user-days?start_date=2026-10-01&end_date=2026-10-20");
    let http1 = || Client::builder().http1_only().build().expect("a client");
    let http2 = || Client::builder().http2_prior_knowledge().build().expect("a client");
    let clients: Vec<(Client, usize)> =
        (0..CONNECTIONS).map(|at| if at % 2 == 0 { (http1(), 1) } else { (http2(), STREAMS) }).collect();
    // So that each has a connection that was used before.
    for (client, _) in &clients {
        assert_eq!(get(client, format!("{base}/livez")).await.status, StatusCode::OK);
    }
    let asked = clients.iter().flat_map(|(client, streams)| std::iter::repeat_n(client.clone(), *streams));
    let waiting: Vec<_> = asked.map(|client| tokio::spawn(get_owned(client, question.clone()))).collect();
    let all = format!("feishu_pulse_http_requests_in_flight {}", waiting.len() + 1);
    eventually(async || get(&setup.http, format!("{base}/metrics")).await.text.contains(&all)).await;

    // The gateway runs on this thread: it has not heard of these when it is told to end.
    let address = base.trim_start_matches("http://").to_owned();
    let latest: Vec<_> = (0..UNHEARD).map(|_| ask_unheard(&address)).collect();
    end.send(()).expect("somebody who listens");

    let answers = join_all(waiting).await;
    let bodies: Vec<String> = answers.into_iter().map(|answer| answer.expect("no panic").text).collect();
    assert!(bodies[0].len() > 10_000 && bodies.iter().all(|body| *body == bodies[0]), "not all answers are whole");
    let latest = tokio::task::spawn_blocking(move || latest.into_iter().map(rest).collect::<Vec<_>>()).await;
    for told in latest.expect("no panic") {
        assert!(told.starts_with("HTTP/1.1 200") && told.ends_with(&bodies[0]), "{told}");
    }
    served.await.expect("an end");
    assert!(setup.http.get(format!("{base}/livez")).send().await.is_err());
}

async fn get_owned(client: Client, url: String) -> Answer {
    get(&client, url).await
}

/// A request of somebody who has connected just now.
fn ask_unheard(address: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let question = "GET /v1/user-days?start_date=2026-10-01&end_date=2026-10-20 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(question.as_bytes()).expect("sent");
    stream
}

/// What comes back until the connection is closed.
fn rest(mut stream: std::net::TcpStream) -> String {
    let mut told = Vec::new();
    stream.read_to_end(&mut told).expect("a connection that is closed in order");
    String::from_utf8(told).expect("text")
}

#[tokio::test]
async fn whoever_follows_a_job_does_not_keep_the_process_from_ending() {
    let Ending { setup, base, end, served } = gateway(Duration::from_secs(60), Duration::ZERO).await;
    let order = setup.http.post(format!("{base}/v1/backfills?start_date=2026-10-01&end_date=2026-10-20"));
    let job = order.send().await.expect("an answer");
    let events = format!("{base}{}/events", job.headers()["location"].to_str().expect("text"));
    let mut followed = setup.http.get(events).send().await.expect("an answer");
    let mut last = followed.chunk().await.expect("an event");
    assert!(last.is_some());

    end.send(()).expect("somebody who listens");

    // To its end, and not to where it is cut off; nor does the job end first.
    while let Some(more) = followed.chunk().await.expect("a whole body") {
        last = Some(more);
    }
    let last = String::from_utf8(last.expect("an event").to_vec()).expect("text");
    assert!(last.contains("\"running\""), "{last}");
    served.await.expect("an end");
}
