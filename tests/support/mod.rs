//! A gateway before a simulated Feishu, both on real sockets of the loopback, for tests that ask as a caller would.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]

use std::{sync::Arc, time::Duration};

use feishu_pulse::{
    app::{self, GatewayConfig, upkeep::UpkeepConfig},
    feishu::{FeishuConfig, throttle::ThrottleConfig, token::Credentials},
    model::{Day, Geo, ManualClock},
    sim::{SimConfig, Simulator},
    store::Owner,
};
use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

/// Noon of 2026-11-22 in China: the 21st is produced and, fetched now, provisional; the 20th is final.
pub const NOON: &str = "2026-11-22T04:00:00Z";

/// The two ends of a test, and the time between them.
pub struct Setup {
    pub simulator: Simulator,
    pub clock: Arc<ManualClock>,
    pub http: reqwest::Client,
    pub base: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Setup {
    /// A gateway as it is by default, before the simulated Feishu that `simulation` describes.
    pub async fn new(simulation: SimConfig) -> Self {
        Self::with(simulation, |_| {}).await
    }

    /// The same with some settings of the gateway changed.
    pub async fn with(simulation: SimConfig, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let clock = Arc::new(ManualClock::at(at(NOON)));
        let (app_id, app_secret) = (simulation.app_id.clone(), simulation.app_secret.as_str().into());
        // Simulators come and go, each at an address of its own, and are the same Feishu all the same.
        let owner = Owner { app_id: app_id.clone(), upstream: "https://feishu.test".to_owned() };
        let geos = simulation.geos.clone();
        let simulator = Simulator::start(simulation, clock.clone()).await.expect("a simulator");
        let base_url = simulator.base_url().parse().expect("a URL");
        let feishu = FeishuConfig {
            // Tests are about what is asked, not how fast: nothing here has a limit unless it says so.
            throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
            call_timeout: Duration::from_secs(5),
            ..FeishuConfig::new(base_url, Credentials { app_id, app_secret }, geos[0])
        };
        let mut config = GatewayConfig {
            owner,
            upkeep: UpkeepConfig { warm_days: None, poll: Duration::from_millis(10), ..UpkeepConfig::default() },
            ..GatewayConfig::new(feishu, geos)
        };
        change(&mut config);
        let gateway = app::build(config, clock.clone()).expect("a gateway");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(app::serve(gateway, listener, std::future::pending()));
        Self { simulator, clock, http: reqwest::Client::new(), base }
    }

    /// Asks for a path and reads the answer to its end.
    pub async fn get(&self, path: &str) -> Answer {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        Answer::read(response).await
    }

    /// How many pages were asked of Feishu, refused and failed calls included.
    pub fn upstream_calls(&self) -> usize {
        self.simulator.ledger().stats_calls().len()
    }

    /// Sets the time.
    pub fn set_time(&self, now: &str) {
        self.clock.set(at(now));
    }

    /// The tenant's own geo.
    pub fn home(&self) -> Geo {
        self.simulator.tenant().geos().next().expect("a geo")
    }
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a whole body") }
    }

    /// The body of a good answer.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The problem of a bad one.
    pub fn problem(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        serde_json::from_str(&self.text).expect("a problem document")
    }

    /// The objects of an NDJSON body.
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

pub fn at(instant: &str) -> Timestamp {
    instant.parse().expect("an instant")
}

pub fn day(text: &str) -> Day {
    text.parse().expect("a day")
}

/// Waits until something that happens in the background has happened.
///
/// # Panics
/// When it has not after half a minute.
pub async fn eventually(mut happened: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.expect("it to happen at last");
}
