//! Access control of the drop-in: an access key is the secret of an app, and its restrictions apply.

use feishu_pulse::access::Scope;
use feishu_simulator::{SimulatorConfig, TenantGeo};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::{ApiResponse, day},
};

const TOKEN: &str = "/open-apis/auth/v3/tenant_access_token/internal";
const STATS: &str = "/open-apis/admin/v1/admin_user_stats?start_date=2026-11-20&end_date=2026-11-20&page_size=60";

fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 50, days: 10, ..SimulatorConfig::default() }
}

async fn sign_in(guarded: &GuardedGateway, name: &str, secret: &str) -> Value {
    let credentials = json!({"app_id": name, "app_secret": secret});
    send(guarded.request(Method::POST, TOKEN).json(&credentials)).await.json()
}

async fn stats(guarded: &GuardedGateway, token: &str) -> ApiResponse {
    send(guarded.request(Method::GET, STATS).bearer_auth(token)).await
}

fn code(response: &ApiResponse) -> i64 {
    serde_json::from_str::<Value>(&response.text).expect("JSON")["code"].as_i64().expect("a code")
}

#[tokio::test]
async fn an_access_key_is_the_secret_of_an_app() {
    let keys = [Key::new("etl", &[Scope::UsersRead]), Key::new("other", &[Scope::UsersRead])];
    let [etl, other] = &keys;
    let limit = |config: &mut feishu_pulse::app::GatewayConfig| config.access.requests_per_minute = Some(6000);
    let guarded = GuardedGateway::with(simulation(), &keys, limit).await;

    let granted = sign_in(&guarded, "etl", &etl.secret).await;
    let token = granted["tenant_access_token"].as_str().unwrap();
    assert!(!token.contains(&etl.secret));
    let page = stats(&guarded, token).await;
    assert_eq!((page.status, code(&page)), (StatusCode::OK, 0));
    assert_eq!(page.headers["x-ogw-ratelimit-limit"].to_str().unwrap(), "6000");

    for (name, secret) in [("etl", "wrong"), ("etl", &other.secret), ("nobody", &etl.secret)] {
        assert_eq!(sign_in(&guarded, name, secret).await["code"], 10014, "{name}");
    }
    // A key is not accepted as a token, and a token is not accepted as a key.
    assert_eq!(code(&stats(&guarded, &etl.secret).await), 99_991_663);
    let elsewhere = guarded.request(Method::GET, "/v1/users?period=2d").bearer_auth(token);
    assert_eq!(send(elsewhere).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn scopes_departments_and_pseudonyms_apply_to_the_drop_in() {
    let probe = crate::support::Setup::new(simulation()).await;
    let truth = probe.simulator.tenant().rows_of(TenantGeo::Cn, day("2026-11-20").date());
    let inside = truth[0].department_path.clone();
    let keys = [
        Key::new("reports", &[Scope::ReportsRead]),
        Key::bound("bound", &[Scope::UsersRead], &[&inside]),
        Key::pseudonymous("pseudonymous", &[Scope::UsersRead], &[]),
    ];
    let guarded = GuardedGateway::new(simulation(), &keys).await;
    let mut tokens = Vec::new();
    for key in &keys {
        let granted = sign_in(&guarded, &key.name, &key.secret).await;
        tokens.push(granted["tenant_access_token"].as_str().unwrap().to_owned());
    }

    assert_eq!(code(&stats(&guarded, &tokens[0]).await), 99_991_672);
    let items = |response: ApiResponse| response.json()["data"]["items"].as_array().unwrap().clone();
    let bound = items(stats(&guarded, &tokens[1]).await);
    let within = |path: &str| path == inside || path.starts_with(&format!("{inside}/"));
    assert_eq!(bound.len(), truth.iter().filter(|row| within(&row.department_path)).count());
    assert!(bound.iter().all(|item| within(item["department_path"].as_str().unwrap())));
    let named = guarded.request(Method::GET, &format!("{STATS}&department_id=od-1")).bearer_auth(&tokens[1]);
    assert_eq!(code(&send(named).await), 1_051_002);
    let pseudonymous = items(stats(&guarded, &tokens[2]).await);
    assert_eq!(pseudonymous.len(), truth.len());
    assert!(
        pseudonymous.iter().all(|item| item["user_id"].as_str().unwrap().starts_with("ps_") && item["user_name"] == "")
    );
}
