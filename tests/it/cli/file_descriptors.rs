//! The limit of open files of the process.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    time::Duration,
};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cli::process::{CREDENTIALS, RunningProcess};

/// The hard limit of the process.
const LIMIT: usize = 300;

#[tokio::test]
async fn with_more_connections_than_file_descriptors_probes_are_answered() {
    let settings = [
        CREDENTIALS[0],
        CREDENTIALS[1],
        ("FEISHU_BASE_URL", "http://127.0.0.1:1"),
        ("PULSE_LISTEN", "127.0.0.1:0"),
        ("PULSE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("PULSE_LOG_FORMAT", "json"),
    ];
    let preparation = format!("ulimit -Sn 64; ulimit -Hn {LIMIT}");
    let mut gateway = RunningProcess::start_prepared(&preparation, &["serve"], &settings);
    let mut log = BufReader::new(gateway.0.stderr.take().expect("a log"));
    let mut line = || -> Value {
        let mut line = String::new();
        log.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    let [main, operations] = [line(), line()].map(|line| line["address"].as_str().expect("an address").to_owned());
    let limits = line();

    let mut idle = Vec::new();
    for _ in 0..LIMIT + 50 {
        idle.push(TcpStream::connect(&main).await.expect("a connection"));
    }
    // The limit only ends a failing test.
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
    let probe = client.get(format!("http://{operations}/livez")).send().await.expect("a response");
    gateway.signal("TERM");
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the log");

    assert_eq!(probe.status(), StatusCode::OK);
    assert_eq!((&limits["open_files"], &limits["connections"]), (&LIMIT.into(), &(LIMIT / 2).into()), "{limits}");
    assert!(!rest.contains("could not be accepted") && !rest.contains("open_files"), "{rest}");
}
