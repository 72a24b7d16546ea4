//! The rate limit of callers.

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::StatusCode;

use crate::access::callers::{GuardedGateway, Key};

#[tokio::test]
async fn a_caller_beyond_the_rate_limit_gets_429_with_retry_after_and_others_are_served() {
    let keys = ["limited", "other"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let [limited, other] = &keys;
    let simulation = SimulatorConfig { users: 20, days: 5, ..SimulatorConfig::default() };
    let guarded = GuardedGateway::with(simulation, &keys, |config| config.access.requests_per_minute = Some(3)).await;
    // From the second on, responses come from the response cache. They count as well.
    let path = "/v1/reports/summary?period=2d";

    let first = guarded.get(path, limited).await;
    assert_eq!(first.headers["ratelimit-policy"], "\"requests\";q=3;w=60");
    assert!(first.headers["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=2;t="));
    for _ in 0..2 {
        assert_eq!(guarded.get(path, limited).await.status, StatusCode::OK);
    }
    let refused = guarded.get(path, limited).await;

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.problem()["code"], "too_many_requests");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds));
    assert_eq!(guarded.get(path, other).await.status, StatusCode::OK);
    // Probes have no limit.
    assert_eq!(guarded.setup.get("/livez").await.status, StatusCode::OK);
}
