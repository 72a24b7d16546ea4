//! With a small issuer on loopback.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::{Json, Router, routing::get};
use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::access::Scope;

struct Issuer {
    key: EncodingKey,
    url: Url,
    asked: Arc<AtomicUsize>,
    /// What it publishes; nothing: it never answers.
    published: Arc<Mutex<Option<Vec<Value>>>>,
}

impl Issuer {
    async fn start() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &aws_lc_rs::rand::SystemRandom::new());
        let key = EncodingKey::from_ec_der(pkcs8.expect("a key").as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
        jwk.common.key_id = Some("current".to_owned());
        let published = Arc::new(Mutex::new(Some(vec![json!(jwk)])));
        let shown = Arc::clone(&published);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url: Url = format!("http://{}/realm", listener.local_addr().unwrap()).parse().unwrap();
        let configuration = json!({"issuer": url.as_str(), "jwks_uri": format!("{url}/keys")});
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(async move || Json(configuration)))
            .route(
                "/realm/keys",
                get(async move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let keys = shown.lock().unwrap().clone();
                    match keys {
                        Some(keys) => Json(json!({ "keys": keys })),
                        None => std::future::pending().await,
                    }
                }),
            );
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { key, url, asked, published }
    }

    fn token(&self, header: &Header, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": self.url.as_str(), "aud": ["other", "pulse"], "sub": "somebody", "exp": 2000, "nbf": 1000,
            "scope": "openid users:read", "roles": {"pulse": ["admin"]}, "units": ["总部/研发"],
        });
        change(&mut claims);
        encode(header, &claims, &self.key).expect("a token")
    }

    fn config(&self) -> OidcConfig {
        let (issuer, audience, scopes_claim) = (self.url.clone(), "pulse".to_owned(), "scope".to_owned());
        OidcConfig { issuer, audience, scopes_claim, departments_claim: None }
    }
}

fn header(kid: &str) -> Header {
    Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn a_token_says_who_holds_it_and_what_they_may_do() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();

    let caller = oidc.holder(&issuer.token(&header("current"), |_| {}), at(1500)).await.unwrap();

    assert!(caller.may(Scope::UsersRead) && !caller.may(Scope::Admin));
    assert!(caller.view().is_whole());
    assert!(caller.name().starts_with("oidc-") && !caller.name().contains("somebody"));
}

#[tokio::test]
async fn scopes_and_departments_are_read_from_the_claims_that_are_set() {
    let issuer = Issuer::start().await;
    let departments_claim = Some("units".to_owned());
    let config = OidcConfig { scopes_claim: "roles.pulse".into(), departments_claim, ..issuer.config() };
    let oidc = Oidc::new(config).unwrap();
    let holder = async |change: fn(&mut Value)| oidc.holder(&issuer.token(&header("current"), change), at(1500)).await;

    let bound = holder(|_| {}).await.unwrap();
    assert_eq!(bound.view().departments(), Some(&["总部/研发".into()][..]));
    assert!(!bound.may(Scope::Admin), "admin concerns all departments");

    let unbound = holder(|claims| claims["units"] = "*".into()).await.unwrap();
    assert!(unbound.view().is_whole() && unbound.may(Scope::Admin));

    let nowhere = holder(|claims| claims["units"] = json!([])).await.unwrap();
    assert_eq!(nowhere.view().departments(), Some(&[][..]));

    assert_eq!(holder(|claims| claims["units"] = Value::Null).await, Err(Refusal::Invalid));
    assert_eq!(holder(|claims| drop(claims.as_object_mut().unwrap().remove("units"))).await, Err(Refusal::Invalid));
}

#[rstest]
#[case::of_another_issuer("iss", json!("https://example.com"))]
#[case::for_somebody_else("aud", json!("other"))]
#[case::for_nobody("aud", Value::Null)]
#[case::expired("exp", json!(1400))]
#[case::without_an_end("exp", Value::Null)]
#[case::that_ends_in_words("exp", json!("never"))]
#[case::of_the_future("nbf", json!(1600))]
#[case::of_nobody("sub", json!(""))]
#[tokio::test]
async fn a_token_is_refused(#[case] claim: &str, #[case] value: Value) {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |claims| claims[claim] = value);
    assert_eq!(oidc.holder(&token, at(1500)).await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn clocks_may_be_a_little_apart() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    assert!(oidc.holder(&token, at(2029)).await.is_ok());
    assert!(oidc.holder(&token, at(971)).await.is_ok());
    assert!(oidc.holder(&token, at(2031)).await.is_err());
    assert!(oidc.holder(&token, at(969)).await.is_err());
}

#[tokio::test]
async fn a_signature_that_anybody_could_make_is_not_looked_at() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let good = issuer.token(&header("current"), |_| {});
    let parts: Vec<&str> = good.split('.').collect();
    for algorithm in ["none", "HS256", "hs256", "NONE"] {
        let head = BASE64.encode(json!({"alg": algorithm, "kid": "current"}).to_string());
        for signature in ["", parts[2]] {
            let forged = format!("{head}.{}.{signature}", parts[1]);
            assert_eq!(oidc.holder(&forged, at(1500)).await, Err(Refusal::Invalid), "{algorithm}");
        }
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 0, "the provider was asked about a forgery");
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let oidc = Oidc::new(issuer.config()).unwrap();
    let token = other.token(&header("current"), |claims| claims["iss"] = issuer.url.as_str().into());
    assert_eq!(oidc.holder(&token, at(1500)).await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn keys_that_nobody_knows_do_not_make_us_ask_again_and_again() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    for kid in 0..20 {
        let token = issuer.token(&header(&kid.to_string()), |_| {});
        assert_eq!(oidc.holder(&token, at(1500)).await, Err(Refusal::Invalid));
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    // Who has a key that is known is let in all the while.
    assert!(oidc.holder(&issuer.token(&header("current"), |_| {}), at(1500)).await.is_ok());
}

#[tokio::test]
async fn a_token_without_a_key_id_is_checked_with_the_only_key() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let token = issuer.token(&Header::new(Algorithm::ES256), |_| {});
    assert!(oidc.holder(&token, at(1500)).await.is_ok());
}

/// As if so much time had gone by.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A token that was taken once, by keys that were fetched for it.
async fn admitted_once() -> (Issuer, Oidc, String) {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    oidc.holder(&token, at(1500)).await.unwrap();
    (issuer, oidc, token)
}

const AN_HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_key_of_a_kind_that_nobody_here_knows_does_not_hide_the_others() {
    let issuer = Issuer::start().await;
    let strange = [json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AAAA"}), json!("no key at all")];
    issuer.published.lock().unwrap().as_mut().unwrap().extend(strange);
    let oidc = Oidc::new(issuer.config()).unwrap();
    assert!(oidc.holder(&issuer.token(&header("current"), |_| {}), at(1500)).await.is_ok());
    assert_eq!(oidc.holder(&issuer.token(&header("new"), |_| {}), at(1500)).await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn a_provider_that_takes_its_time_holds_up_nobody_whose_key_is_known() {
    let (issuer, oidc, token) = admitted_once().await;
    *issuer.published.lock().unwrap() = None;

    later(AN_HOUR).await;

    assert!(oidc.holder(&token, at(1500)).now_or_never().is_some_and(|held| held.is_ok()));
}

#[tokio::test]
async fn keys_that_were_withdrawn_are_good_for_an_hour_at_most() {
    let (issuer, oidc, token) = admitted_once().await;
    *issuer.published.lock().unwrap() = Some(Vec::new());
    assert!(oidc.holder(&token, at(1500)).await.is_ok());

    later(2 * AN_HOUR).await;

    assert_eq!(oidc.known(&token, at(1500)), None);
    assert_eq!(oidc.holder(&token, at(1500)).await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn the_holder_of_a_token_is_known_until_it_expires() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let [token, bad] = [issuer.token(&header("current"), |_| {}), issuer.token(&header("other"), |_| {})];
    assert_eq!(oidc.known(&token, at(1500)), None);

    let holder = oidc.holder(&token, at(1500)).await.ok();
    let refused = oidc.holder(&bad, at(1500)).await;

    assert_eq!(oidc.known(&token, at(1500)), holder);
    assert_eq!((refused, oidc.known(&bad, at(1500))), (Err(Refusal::Invalid), None));
    assert_eq!(oidc.known(&token, at(2030)), None);
    assert_eq!(oidc.holder(&token, at(2030)).await, Err(Refusal::Invalid));
}

#[tokio::test]
async fn a_token_that_asks_for_more_than_is_understood_is_refused() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(issuer.config()).unwrap();
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..header("current") };
    assert_eq!(oidc.holder(&issuer.token(&critical, |_| {}), at(1500)).await, Err(Refusal::Invalid));
}

#[rstest]
#[case::set_without("", "/")]
#[case::set_with("/", "")]
#[tokio::test]
async fn an_issuer_is_the_same_with_and_without_a_slash_at_its_end(#[case] set: &str, #[case] claimed: &str) {
    let issuer = Issuer::start().await;
    let config = OidcConfig { issuer: format!("{}{set}", issuer.url).parse().unwrap(), ..issuer.config() };
    let token = issuer.token(&header("current"), |claims| claims["iss"] = format!("{}{claimed}", issuer.url).into());
    assert!(Oidc::new(config).unwrap().holder(&token, at(1500)).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_down_is_told_apart_from_a_bad_token() {
    let issuer = Issuer::start().await;
    let config = OidcConfig { issuer: "http://127.0.0.1:9/".parse().unwrap(), ..issuer.config() };
    let oidc = Oidc::new(config).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    assert_eq!(oidc.holder(&token, at(1500)).await, Err(Refusal::Unavailable));
}

mod no_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn makes_the_reader_panic(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            let config = OidcConfig {
                issuer: "http://127.0.0.1:9/".parse().unwrap(),
                audience: "pulse".to_owned(),
                scopes_claim: "scope".to_owned(),
                departments_claim: None,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let held = runtime.block_on(async { Oidc::new(config).unwrap().holder(&text, at(1500)).await });
            prop_assert!(held.is_err());
        }
    }
}
