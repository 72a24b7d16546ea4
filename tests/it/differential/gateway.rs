//! A gateway in front of the scripted upstream.

use std::sync::Arc;

use adaptive_throttle::ThrottleConfig;
use feishu_pulse::{
    app::{self, GatewayConfig, maintenance::MaintenanceConfig},
    feishu::{FeishuConfig, token::AppCredentials},
    model::ManualClock,
    store::ArchiveOwner,
};
use reqwest::RequestBuilder;
use tokio::{net::TcpListener, runtime::Builder};

use super::{tenant::Tenant, upstream::Upstream};
use crate::support::{ApiResponse, NOON, at, end_runtime};

/// A running gateway. It ends with the runtime that it was started on.
pub struct Gateway {
    http: reqwest::Client,
    base: String,
}

impl Gateway {
    /// A gateway for this tenant at noon, with settings changed by `change`.
    pub async fn start(tenant: &Tenant, upstream: &Upstream, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let geos: Vec<_> = tenant.geos.iter().map(|geo| geo.parse().expect("a geo")).collect();
        let credentials = AppCredentials { app_id: "cli_scripted".to_owned(), app_secret: "secret".into() };
        let feishu = FeishuConfig {
            throttle: ThrottleConfig { start_rate: 5_000.0, ..ThrottleConfig::default() },
            ..FeishuConfig::new(upstream.base.parse().expect("a URL"), credentials, geos[0])
        };
        let mut config = GatewayConfig {
            // A fixed upstream, because an archive belongs to one upstream.
            owner: ArchiveOwner { app_id: "cli_scripted".to_owned(), upstream: "https://feishu.test".to_owned() },
            maintenance: MaintenanceConfig { warm_days: None, ..MaintenanceConfig::default() },
            ..GatewayConfig::new(feishu, geos)
        };
        change(&mut config);
        let gateway = app::build(config, Arc::new(ManualClock::at(at(NOON)))).expect("a gateway");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(app::serve(gateway, listener, std::future::pending()));
        Self { http: reqwest::Client::new(), base }
    }

    /// A GET request.
    pub fn request(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    /// Sends a GET request and reads the complete response.
    pub async fn get(&self, path: &str) -> ApiResponse {
        ApiResponse::read(self.request(path).send().await.expect("an answer")).await
    }
}

/// Runs one life of gateways: when `life` ends, so do they, with all their tasks.
pub fn run<T>(life: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let result = runtime.block_on(life);
    end_runtime(runtime);
    result
}
