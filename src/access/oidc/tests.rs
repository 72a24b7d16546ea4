//! Tests of token verification against a small identity provider on loopback.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::{Json, Router, routing::get};
use futures_util::FutureExt as _;
use jsonwebtoken::{EncodingKey, Header, encode, jwk::Jwk};
use reqwest::Url;
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::access::Scope;

struct Issuer {
    key: EncodingKey,
    url: Url,
    fetches: Arc<AtomicUsize>,
    /// The published keys; `None`: the provider does not respond.
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
        let served = Arc::clone(&published);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url: Url = format!("http://{}/realm", listener.local_addr().unwrap()).parse().unwrap();
        let configuration = json!({"issuer": url.as_str(), "jwks_uri": format!("{url}/keys")});
        let fetches = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&fetches);
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(async move || Json(configuration)))
            .route(
                "/realm/keys",
                get(async move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                    let keys = served.lock().unwrap().clone();
                    match keys {
                        Some(keys) => Json(json!({ "keys": keys })),
                        None => std::future::pending().await,
                    }
                }),
            );
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { key, url, fetches, published }
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
        OidcConfig { issuer, audience, scopes_claim, departments_claim: None, pseudonymous_claim: None }
    }
}

fn header(kid: &str) -> Header {
    Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[tokio::test]
async fn a_valid_token_yields_a_caller_with_its_scopes() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();

    let caller = oidc.verify(&issuer.token(&header("current"), |_| {}), at(1500)).await.unwrap();

    assert!(caller.has_scope(Scope::UsersRead) && !caller.has_scope(Scope::Admin));
    assert!(caller.view().is_unrestricted());
    assert!(caller.name().starts_with("oidc-") && !caller.name().contains("somebody"));
}

#[tokio::test]
async fn scopes_and_departments_are_read_from_the_configured_claims() {
    let issuer = Issuer::start().await;
    let departments_claim = Some("units".to_owned());
    let config = OidcConfig { scopes_claim: "roles.pulse".into(), departments_claim, ..issuer.config() };
    let oidc = OidcVerifier::new(config).unwrap();
    let verify = async |change: fn(&mut Value)| oidc.verify(&issuer.token(&header("current"), change), at(1500)).await;

    let bound = verify(|_| {}).await.unwrap();
    assert_eq!(bound.view().departments(), Some(&["总部/研发".into()][..]));
    assert!(!bound.has_scope(Scope::Admin), "admin applies to all departments");

    let unbound = verify(|claims| claims["units"] = "*".into()).await.unwrap();
    assert!(unbound.view().is_unrestricted() && unbound.has_scope(Scope::Admin));

    let nowhere = verify(|claims| claims["units"] = json!([])).await.unwrap();
    assert_eq!(nowhere.view().departments(), Some(&[][..]));

    assert_eq!(verify(|claims| claims["units"] = Value::Null).await, Err(AuthError::Invalid));
    assert_eq!(verify(|claims| drop(claims.as_object_mut().unwrap().remove("units"))).await, Err(AuthError::Invalid));
}

#[rstest]
#[case(json!(true), Ok(true))]
#[case(json!("true"), Ok(true))]
#[case(json!(false), Ok(false))]
#[case(json!("yes"), Err(AuthError::Invalid))]
#[case(json!(1), Err(AuthError::Invalid))]
#[case(Value::Null, Err(AuthError::Invalid))]
#[tokio::test]
async fn the_configured_claim_makes_callers_pseudonymous(
    #[case] claim: Value,
    #[case] expected: Result<bool, AuthError>,
) {
    let issuer = Issuer::start().await;
    let config = OidcConfig { pseudonymous_claim: Some("external".to_owned()), ..issuer.config() };
    let oidc = OidcVerifier::new(config).unwrap();
    let token = issuer.token(&header("current"), |claims| claims["external"] = claim);

    let verified = oidc.verify(&token, at(1500)).await;

    assert_eq!(verified.map(|caller| caller.view().is_pseudonymous()), expected);
    let without_claim = issuer.token(&header("current"), |_| {});
    assert_eq!(oidc.verify(&without_claim, at(1500)).await, Err(AuthError::Invalid));
}

#[rstest]
#[case::of_another_issuer("iss", json!("https://example.com"))]
#[case::for_another_audience("aud", json!("other"))]
#[case::without_an_audience("aud", Value::Null)]
#[case::expired("exp", json!(1400))]
#[case::without_an_expiry("exp", Value::Null)]
#[case::with_a_textual_expiry("exp", json!("never"))]
#[case::not_valid_yet("nbf", json!(1600))]
#[case::without_a_subject("sub", json!(""))]
#[tokio::test]
async fn a_token_with_a_wrong_claim_is_refused(#[case] claim: &str, #[case] value: Value) {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |claims| claims[claim] = value);
    assert_eq!(oidc.verify(&token, at(1500)).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn clocks_may_differ_by_thirty_seconds() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    assert!(oidc.verify(&token, at(2029)).await.is_ok());
    assert!(oidc.verify(&token, at(971)).await.is_ok());
    assert!(oidc.verify(&token, at(2031)).await.is_err());
    assert!(oidc.verify(&token, at(969)).await.is_err());
}

#[tokio::test]
async fn an_unsigned_or_symmetric_token_is_refused_without_a_fetch() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let good = issuer.token(&header("current"), |_| {});
    let parts: Vec<&str> = good.split('.').collect();
    for algorithm in ["none", "HS256", "hs256", "NONE"] {
        let head = BASE64.encode(json!({"alg": algorithm, "kid": "current"}).to_string());
        for signature in ["", parts[2]] {
            let forged = format!("{head}.{}.{signature}", parts[1]);
            assert_eq!(oidc.verify(&forged, at(1500)).await, Err(AuthError::Invalid), "{algorithm}");
        }
    }
    assert_eq!(issuer.fetches.load(Ordering::Relaxed), 0, "keys were fetched for a forged token");
}

#[tokio::test]
async fn a_token_signed_with_another_key_is_refused() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let token = other.token(&header("current"), |claims| claims["iss"] = issuer.url.as_str().into());
    assert_eq!(oidc.verify(&token, at(1500)).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn tokens_with_unknown_key_ids_cause_one_fetch() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    for kid in 0..20 {
        let token = issuer.token(&header(&kid.to_string()), |_| {});
        assert_eq!(oidc.verify(&token, at(1500)).await, Err(AuthError::Invalid));
    }
    assert_eq!(issuer.fetches.load(Ordering::Relaxed), 1);
    // Tokens with a known key are accepted meanwhile.
    assert!(oidc.verify(&issuer.token(&header("current"), |_| {}), at(1500)).await.is_ok());
}

#[tokio::test]
async fn a_token_without_a_key_id_is_checked_with_the_only_key() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let token = issuer.token(&Header::new(Algorithm::ES256), |_| {});
    assert!(oidc.verify(&token, at(1500)).await.is_ok());
}

/// Advances the clock.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// An issuer, a verifier that has fetched its keys, and a token that it has accepted.
async fn after_first_token() -> (Issuer, OidcVerifier, String) {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    oidc.verify(&token, at(1500)).await.unwrap();
    (issuer, oidc, token)
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_key_of_an_unknown_type_does_not_hide_the_others() {
    let issuer = Issuer::start().await;
    let unknown = [json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AAAA"}), json!("no key at all")];
    issuer.published.lock().unwrap().as_mut().unwrap().extend(unknown);
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    assert!(oidc.verify(&issuer.token(&header("current"), |_| {}), at(1500)).await.is_ok());
    assert_eq!(oidc.verify(&issuer.token(&header("new"), |_| {}), at(1500)).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn a_slow_provider_does_not_delay_tokens_with_a_known_key() {
    let (issuer, oidc, token) = after_first_token().await;
    *issuer.published.lock().unwrap() = None;

    advance(HOUR).await;

    assert!(oidc.verify(&token, at(1500)).now_or_never().is_some_and(|verified| verified.is_ok()));
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_after_two_hours() {
    let (issuer, oidc, token) = after_first_token().await;
    *issuer.published.lock().unwrap() = Some(Vec::new());
    assert!(oidc.verify(&token, at(1500)).await.is_ok());

    advance(2 * HOUR).await;

    assert_eq!(oidc.cached_caller(&token, at(1500)), None);
    assert_eq!(oidc.verify(&token, at(1500)).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn a_verified_token_is_cached_until_it_expires() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let [token, bad] = [issuer.token(&header("current"), |_| {}), issuer.token(&header("other"), |_| {})];
    assert_eq!(oidc.cached_caller(&token, at(1500)), None);

    let caller = oidc.verify(&token, at(1500)).await.ok();
    let refused = oidc.verify(&bad, at(1500)).await;

    assert_eq!(oidc.cached_caller(&token, at(1500)), caller);
    assert_eq!((refused, oidc.cached_caller(&bad, at(1500))), (Err(AuthError::Invalid), None));
    assert_eq!(oidc.cached_caller(&token, at(2030)), None);
    assert_eq!(oidc.verify(&token, at(2030)).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn a_token_with_a_critical_extension_is_refused() {
    let issuer = Issuer::start().await;
    let oidc = OidcVerifier::new(issuer.config()).unwrap();
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..header("current") };
    assert_eq!(oidc.verify(&issuer.token(&critical, |_| {}), at(1500)).await, Err(AuthError::Invalid));
}

#[rstest]
#[case::configured_without("", "/")]
#[case::configured_with("/", "")]
#[tokio::test]
async fn a_trailing_slash_of_the_issuer_makes_no_difference(#[case] configured: &str, #[case] claimed: &str) {
    let issuer = Issuer::start().await;
    let config = OidcConfig { issuer: format!("{}{configured}", issuer.url).parse().unwrap(), ..issuer.config() };
    let token = issuer.token(&header("current"), |claims| claims["iss"] = format!("{}{claimed}", issuer.url).into());
    assert!(OidcVerifier::new(config).unwrap().verify(&token, at(1500)).await.is_ok());
}

#[tokio::test]
async fn an_unreachable_provider_is_not_reported_as_an_invalid_token() {
    let issuer = Issuer::start().await;
    let config = OidcConfig { issuer: "http://127.0.0.1:9/".parse().unwrap(), ..issuer.config() };
    let oidc = OidcVerifier::new(config).unwrap();
    let token = issuer.token(&header("current"), |_| {});
    assert_eq!(oidc.verify(&token, at(1500)).await, Err(AuthError::Unavailable));
}

mod random_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_refused_without_a_panic(text in "\\PC{0,80}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
            let config = OidcConfig {
                issuer: "http://127.0.0.1:9/".parse().unwrap(),
                audience: "pulse".to_owned(),
                scopes_claim: "scope".to_owned(),
                departments_claim: None,
                pseudonymous_claim: None,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let verified = runtime.block_on(async { OidcVerifier::new(config).unwrap().verify(&text, at(1500)).await });
            prop_assert!(verified.is_err());
        }
    }
}
