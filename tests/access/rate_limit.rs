//! Fair use: how many requests a caller may make, and how it is told.

use feishu_pulse::{access::Scope, sim::SimConfig};
use reqwest::StatusCode;

use crate::callers::{Guarded, Key};

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_when_to_come_back_and_others_are_not() {
    let keys = ["greedy", "modest"].map(|name| Key::new(name, &[Scope::ReportsRead]));
    let [greedy, modest] = &keys;
    let simulation = SimConfig { users: 20, days: 5, ..SimConfig::default() };
    let guarded = Guarded::with(simulation, &keys, |config| config.access.requests_per_minute = Some(3)).await;
    // Answered from what is kept, from the second on: that counts too.
    let path = "/v1/reports/summary?period=2d";

    let first = guarded.get(path, greedy).await;
    assert_eq!(first.headers["ratelimit-policy"], "\"requests\";q=3;w=60");
    assert!(first.headers["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=2;t="));
    for _ in 0..2 {
        assert_eq!(guarded.get(path, greedy).await.status, StatusCode::OK);
    }
    let refused = guarded.get(path, greedy).await;

    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.problem()["code"], "too_many_requests");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds));
    assert_eq!(guarded.get(path, modest).await.status, StatusCode::OK);
    // Probes are nobody's requests.
    assert_eq!(guarded.setup.get("/livez").await.status, StatusCode::OK);
}
