//! Starts a gateway and a simulated Feishu on loopback sockets, for tests that send requests like a caller.

pub mod captured_log;
pub mod truth;

use std::{sync::Arc, time::Duration};

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    app::{self, GatewayConfig, maintenance::MaintenanceConfig},
    feishu::{FeishuConfig, token::AppCredentials},
    model::{Clock, Day, Geo, ManualClock, UserIdType},
    store::ArchiveOwner,
};
use feishu_simulator::{Simulator, SimulatorConfig, TenantGeo, UserIdKind};
use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};

/// Noon of 2026-11-22 in China: the 21st is produced and, fetched now, provisional; the 20th is final.
pub const NOON: &str = "2026-11-22T04:00:00Z";

/// A simulated Feishu, and the clock that it shares with gateways.
pub struct Upstream {
    pub simulator: Simulator,
    pub clock: Arc<ManualClock>,
}

/// A gateway, its simulated upstream, and the clock that both share.
pub struct Setup {
    pub simulator: Simulator,
    pub clock: Arc<ManualClock>,
    pub http: reqwest::Client,
    pub base: String,
}

/// A response with its complete body.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

/// Ends a runtime with all its tasks, without notice to them, and waits up to 10 s for its threads.
///
/// `Runtime::shutdown_background` detaches the threads instead, and glibc 2.36 can end the process with a segmentation fault if
/// a thread ends while it is detached.
pub fn end_runtime(runtime: Runtime) {
    // Waiting is not allowed on a thread of another runtime.
    let ended = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(10)));
    ended.join().expect("the end of the runtime");
}

impl Upstream {
    pub async fn start(simulation: SimulatorConfig) -> Self {
        let clock = Arc::new(ManualClock::at(at(NOON)));
        let simulator = Simulator::start(simulation, simulator_clock(clock.clone())).await.expect("a simulator");
        Self { simulator, clock }
    }

    /// A client without a rate limit of its own.
    pub fn feishu_config(&self) -> FeishuConfig {
        let config = self.simulator.config();
        let credentials =
            AppCredentials { app_id: config.app_id.clone(), app_secret: config.app_secret.as_str().into() };
        let base_url = self.simulator.base_url().parse().expect("a URL");
        FeishuConfig {
            // A high rate, because most tests are not about rate limits.
            throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
            ..FeishuConfig::new(base_url, credentials, gateway_geo(config.geos[0]))
        }
    }

    /// A gateway that fetches only what is requested.
    pub fn gateway_config(&self) -> GatewayConfig {
        let config = self.simulator.config();
        let geos = config.geos.iter().copied().map(gateway_geo).collect();
        GatewayConfig {
            // A fixed upstream URL, because each simulator has another port: an archive belongs to one upstream.
            owner: ArchiveOwner { app_id: config.app_id.clone(), upstream: "https://feishu.test".to_owned() },
            maintenance: MaintenanceConfig { warm_days: None, poll_interval: Duration::from_millis(10) },
            ..GatewayConfig::new(self.feishu_config(), geos)
        }
    }

    /// Number of calls for pages that the simulator received, including rejected and failed calls.
    pub fn calls(&self) -> usize {
        self.simulator.call_log().stats_calls().len()
    }
}

impl Setup {
    /// A gateway with default settings, whose upstream is a simulator with the settings `simulation`.
    pub async fn new(simulation: SimulatorConfig) -> Self {
        Self::with(simulation, |_| {}).await
    }

    /// The same, with settings of the gateway changed by `change`.
    pub async fn with(simulation: SimulatorConfig, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let upstream = Upstream::start(simulation).await;
        let mut config = upstream.gateway_config();
        config.feishu.call_timeout = Duration::from_secs(5);
        change(&mut config);
        let Upstream { simulator, clock } = upstream;
        let gateway = app::build(config, clock.clone()).expect("a gateway");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(app::serve(gateway, listener, std::future::pending()));
        Self { simulator, clock, http: reqwest::Client::new(), base }
    }

    /// Sends a GET request and reads the complete response.
    pub async fn get(&self, path: &str) -> ApiResponse {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        ApiResponse::read(response).await
    }

    /// Sends a GET request and reads the complete response as bytes.
    pub async fn get_bytes(&self, path: &str) -> FileResponse {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        FileResponse::read(response).await
    }

    /// Number of calls for pages that the simulator received, including rejected and failed calls.
    pub fn upstream_calls(&self) -> usize {
        self.simulator.call_log().stats_calls().len()
    }

    /// Sets the time.
    pub fn set_time(&self, now: &str) {
        self.clock.set(at(now));
    }

    /// The tenant's home geo.
    pub fn home(&self) -> TenantGeo {
        self.simulator.tenant().geos().next().expect("a geo")
    }
}

/// A response that is not a text.
#[derive(Debug)]
pub struct FileResponse {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl FileResponse {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, bytes: response.bytes().await.expect("a whole body").into() }
    }
}

impl ApiResponse {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a whole body") }
    }

    /// The JSON body of a successful response.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The problem document of an error response.
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

/// The clock for the simulator: a function that reads the gateway's clock.
pub fn simulator_clock(clock: Arc<impl Clock + ?Sized>) -> impl Fn() -> Timestamp + Send + Sync + 'static {
    move || clock.now()
}

/// The gateway's name for a geo of the simulator.
pub fn gateway_geo(geo: TenantGeo) -> Geo {
    match geo {
        TenantGeo::Cn => Geo::Cn,
        TenantGeo::Us => Geo::Us,
        TenantGeo::Sg => Geo::Sg,
        TenantGeo::Jp => Geo::Jp,
    }
}

/// The simulator's name for a type of user id.
pub fn user_id_kind(kind: UserIdType) -> UserIdKind {
    match kind {
        UserIdType::OpenId => UserIdKind::OpenId,
        UserIdType::UnionId => UserIdKind::UnionId,
        UserIdType::UserId => UserIdKind::UserId,
    }
}

/// Waits until `condition` returns true, because of work in the background.
///
/// # Panics
/// If it does not hold within 30 seconds.
pub async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), poll).await.expect("the condition to hold within 30 s");
}
