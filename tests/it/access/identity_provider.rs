//! Tokens of an identity provider, over real sockets.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Json, Router, routing::get};
use feishu_pulse::access::OidcConfig;
use feishu_simulator::SimulatorConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    access::callers::send,
    support::{NOON, Setup, at},
};

/// An identity provider with one key.
async fn provider() -> (String, EncodingKey) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let key = EncodingKey::from_ec_der(pkcs8.as_ref());
    let published = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let issuer = format!("http://{}", listener.local_addr().expect("an address"));
    let configuration = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
    let keys = json!({ "keys": [published] });
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(async move || Json(configuration)))
        .route("/keys", get(async move || Json(keys)));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (issuer, key)
}

fn config(issuer: &str) -> OidcConfig {
    OidcConfig {
        issuer: issuer.parse().expect("a URL"),
        audience: "pulse".to_owned(),
        scopes_claim: "scope".to_owned(),
        departments_claim: None,
        pseudonymous_claim: None,
    }
}

#[tokio::test]
async fn a_token_can_make_its_caller_pseudonymous() {
    let (issuer, key) = provider().await;
    let config = OidcConfig { pseudonymous_claim: Some("external".to_owned()), ..config(&issuer) };
    let simulation = SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |gateway| {
        gateway.access.oidc = Some(config);
        gateway.access.pseudonym_key = Some("0123456789abcdef0123456789abcdef".into());
    })
    .await;
    let users = async |external: bool| {
        let expires = at(NOON).as_second() + 600;
        let claims = json!({
            "iss": issuer, "aud": "pulse", "sub": "somebody", "scope": "users:read", "exp": expires, "external": external
        });
        let token = encode(&Header::new(Algorithm::ES256), &claims, &key).expect("a token");
        send(setup.http.get(format!("{}/v1/users?period=2d", setup.base)).bearer_auth(token)).await.json()
    };

    let (external, internal) = (users(true).await, users(false).await);

    let ids = |users: &Value, prefix: &str| {
        let users = users["data"].as_array().expect("people").iter();
        users.filter(|user| user["user_id"].as_str().is_some_and(|id| id.starts_with(prefix))).count()
    };
    assert_eq!((ids(&external, "ps_"), ids(&internal, "ou_")), (5, 5));
    assert_eq!(external["data"][0]["user_name"], "");
}

#[tokio::test]
async fn a_token_gets_cached_responses_until_it_expires() {
    let (issuer, key) = provider().await;
    let config = config(&issuer);
    let simulation = SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |gateway| gateway.access.oidc = Some(config)).await;
    let expires = at(NOON).as_second() + 600;
    let token = |scope: &str| -> String {
        let claims: Value = json!({"iss": issuer, "aud": "pulse", "sub": "somebody", "scope": scope, "exp": expires});
        encode(&Header::new(Algorithm::ES256), &claims, &key).expect("a token")
    };
    let (reader, stranger) = (token("reports:read"), token("openid"));
    let get = async |token: &str| {
        send(setup.http.get(format!("{}/v1/reports/summary?period=2d", setup.base)).bearer_auth(token)).await
    };

    let responses = [get(&reader).await, get(&reader).await, get(&reader).await];

    assert!(responses.iter().all(|response| response.status == StatusCode::OK));
    // Only responses from the response cache have an age.
    assert_eq!(responses.each_ref().map(|response| response.headers.contains_key("age")), [false, false, true]);
    assert_eq!(get(&stranger).await.status, StatusCode::FORBIDDEN);
    assert_eq!(get(&format!("{reader}x")).await.status, StatusCode::UNAUTHORIZED);
    setup.set_time("2026-11-22T04:10:30Z");
    assert_eq!(get(&reader).await.status, StatusCode::UNAUTHORIZED);
}
