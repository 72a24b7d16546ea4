//! Many wrong credentials from one address.

use feishu_pulse::access::Scope;
use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::ApiResponse,
};

/// Wrong credentials of one address that are answered as such within a minute.
const BURST: usize = 60;

async fn gateway() -> (GuardedGateway, Key) {
    let key = Key::new("etl", &[Scope::UsersRead]);
    let simulation = SimulatorConfig { users: 20, days: 5, ..SimulatorConfig::default() };
    (GuardedGateway::new(simulation, std::slice::from_ref(&key)).await, key)
}

fn assert_too_many(response: &ApiResponse) {
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS, "{}", response.text);
    let seconds: u64 = response.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[tokio::test]
async fn after_a_burst_wrong_keys_get_429_and_valid_ones_are_served() {
    let (guarded, key) = gateway().await;
    let guess = |guess: usize| send(guarded.request(Method::GET, "/v1/coverage").bearer_auth(format!("fpk_{guess}")));

    assert_eq!(guess(0).await.status, StatusCode::UNAUTHORIZED);
    let mut last = guess(1).await;
    for index in 2..2 * BURST {
        last = guess(index).await;
    }

    assert_too_many(&last);
    assert_eq!(last.problem()["code"], "too_many_requests");
    assert_eq!(guarded.get("/v1/coverage", &key).await.status, StatusCode::OK);
    let without_credentials = send(guarded.request(Method::GET, "/v1/coverage")).await;
    assert_eq!(without_credentials.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn after_a_burst_wrong_secrets_and_tokens_of_sdks_get_feishus_limit() {
    let (guarded, key) = gateway().await;
    let sign_in = |secret: &str| {
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        send(guarded.request(Method::POST, path).json(&json!({"app_id": "etl", "app_secret": secret})))
    };
    let code = |response: &ApiResponse| serde_json::from_str::<Value>(&response.text).expect("JSON")["code"].clone();

    assert_eq!(code(&sign_in("wrong").await), 10_014);
    for _ in 1..2 * BURST {
        sign_in("wrong").await;
    }

    let refused = sign_in("wrong").await;
    assert_too_many(&refused);
    assert_eq!(code(&refused), 99_991_400);
    let stats = guarded.request(Method::GET, "/open-apis/admin/v1/admin_user_stats").bearer_auth("t-wrong");
    assert_too_many(&send(stats).await);
    assert_eq!(code(&sign_in(&key.secret).await), 0);
}
