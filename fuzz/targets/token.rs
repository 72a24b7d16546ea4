//! Tokens: nobody gets in with bytes of their own making, and whoever gets in may do and see what the provider says.
//!
//! A provider on loopback hands out one key. Tokens are signed with it, so that any claims get as far as those of a real
//! one, and then perhaps spoilt.

#![no_main]

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Router, routing::get};
use feishu_pulse::{
    access::{Caller, Oidc, OidcConfig, Scope},
    api::{AccessTokens, compat::access_token::Holder},
};
use jiff::Timestamp;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header, crypto,
    jwk::{Jwk, JwkSet},
};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Map, Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

const KEY_ID: &str = "current";
const AUDIENCE: &str = "pulse";
const NOW: i64 = 1_500;
const LEEWAY: f64 = 30.0;

static ASYNC: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
static PROVIDER: LazyLock<Provider> = LazyLock::new(|| ASYNC.block_on(Provider::start()));
static OURS: LazyLock<AccessTokens> = LazyLock::new(|| AccessTokens::new(&"the secret of the app".into()));

struct Provider {
    key: EncodingKey,
    issuer: String,
    oidc: Oidc,
}

/// A token that somebody might send.
#[derive(Arbitrary, Debug)]
enum Sent<'a> {
    /// Bytes, as they come.
    Raw(&'a str),
    /// A signed token, its claims as they come.
    Signed { header: Sealed<'a>, claims: &'a str },
    /// A signed token whose claims are what they should be, but for some.
    Claims { header: Sealed<'a>, claims: Claims<'a>, spoil: Option<Spoil> },
    /// A token of ours, spoilt or not.
    Ours { holder: &'a str, spoil: Option<Spoil>, later: u16 },
}

/// The part of a token that says how it is signed.
#[derive(Arbitrary, Debug)]
enum Sealed<'a> {
    Genuine,
    WithoutKeyId,
    KeyId(&'a str),
    Algorithm(u8),
    Raw(&'a str),
}

#[derive(Arbitrary, Debug)]
struct Claims<'a> {
    iss: Option<Claim<'a>>,
    aud: Option<Claim<'a>>,
    sub: Option<Claim<'a>>,
    exp: Option<Claim<'a>>,
    nbf: Option<Claim<'a>>,
    scope: Option<Claim<'a>>,
    departments: Option<Claim<'a>>,
}

/// What stands in place of a sound claim.
#[derive(Arbitrary, Debug)]
enum Claim<'a> {
    Missing,
    Text(&'a str),
    Texts(Vec<&'a str>),
    Number(i16),
    Float(f64),
    Json(&'a str),
}

/// A byte that is changed.
#[derive(Arbitrary, Debug)]
struct Spoil {
    at: u16,
    bit: u8,
}

impl Provider {
    async fn start() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(KEY_ID.to_owned());
        let set = serde_json::to_string(&JwkSet { keys: vec![jwk] }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let configuration = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string();
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(async move || configuration))
            .route("/realm/keys", get(async move || set));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let oidc = Oidc::new(OidcConfig {
            issuer: issuer.parse().unwrap(),
            audience: AUDIENCE.into(),
            scopes_claim: "scope".into(),
            departments_claim: Some("departments".into()),
        });
        Self { key, issuer, oidc: oidc.unwrap() }
    }

    fn sign(&self, header: &Sealed<'_>, claims: &str) -> String {
        let header = header.text();
        let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }

    fn holder(&self, token: &str) -> Option<Caller> {
        ASYNC.block_on(self.oidc.holder(token, Timestamp::from_second(NOW).unwrap())).ok()
    }
}

impl Sealed<'_> {
    fn text(&self) -> String {
        let genuine = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        let header = match self {
            Self::Genuine => genuine,
            Self::WithoutKeyId => Header { kid: None, ..genuine },
            Self::KeyId(id) => Header { kid: Some((*id).to_owned()), ..genuine },
            Self::Algorithm(number) => {
                let all = [
                    Algorithm::HS256,
                    Algorithm::ES384,
                    Algorithm::RS256,
                    Algorithm::PS512,
                    Algorithm::EdDSA,
                    Algorithm::HS512,
                ];
                Header { alg: all[usize::from(*number) % all.len()], ..genuine }
            }
            Self::Raw(text) => return (*text).to_owned(),
        };
        serde_json::to_string(&header).unwrap()
    }

    /// Whether the provider's key may be meant by it.
    fn is_sound(&self) -> bool {
        let Ok(header) = serde_json::from_str::<Value>(&self.text()) else { return false };
        header["alg"] == "ES256" && (header["kid"] == KEY_ID || header["kid"].is_null())
    }
}

impl Claims<'_> {
    fn text(&self, issuer: &str) -> String {
        let sound = json!({
            "iss": issuer, "aud": [AUDIENCE, "other"], "sub": "somebody", "exp": 2000, "nbf": 1000,
            "scope": "openid users:read", "departments": ["总部/研发"],
        });
        let Value::Object(mut claims) = sound else { return String::new() };
        let changes = [
            ("iss", &self.iss),
            ("aud", &self.aud),
            ("sub", &self.sub),
            ("exp", &self.exp),
            ("nbf", &self.nbf),
            ("scope", &self.scope),
            ("departments", &self.departments),
        ];
        for (name, change) in changes {
            match change.as_ref().map(Claim::value) {
                None => {}
                Some(Some(value)) => drop(claims.insert(name.to_owned(), value)),
                Some(None) => drop(claims.remove(name)),
            }
        }
        Value::Object(claims).to_string()
    }
}

impl Claim<'_> {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Missing => None,
            Self::Text(text) => Some(json!(text)),
            Self::Texts(texts) => Some(json!(texts)),
            Self::Number(number) => Some(json!(number)),
            Self::Float(number) => Some(json!(number)),
            Self::Json(text) => serde_json::from_str(text).ok(),
        }
    }
}

impl Spoil {
    /// The token with one bit changed; `None` where it is not text any more, or means the same.
    fn of(&self, token: &str) -> Option<String> {
        let mut bytes = token.as_bytes().to_vec();
        let at = usize::from(self.at) % bytes.len();
        bytes[at] ^= 1 << (self.bit % 7);
        String::from_utf8(bytes).ok()
    }
}

/// Base 64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|digit| char::from(DIGITS[(group >> (18 - 6 * digit)) as usize & 63])));
    }
    text
}

/// What whoever got in must have shown, as RFC 7519 and the settings have it.
fn assert_sound(caller: &Caller, claims: &str) {
    let claims: Map<String, Value> = serde_json::from_str(claims).expect("claims that were accepted are an object");
    let texts = |name: &str| match &claims[name] {
        Value::String(text) => vec![text.as_str()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let issuer = &PROVIDER.issuer;
    assert!(texts("iss").iter().any(|name| name.trim_end_matches('/') == issuer), "another issuer");
    assert!(texts("aud").contains(&AUDIENCE), "for somebody else");
    assert!(claims["exp"].as_f64().is_some_and(|end| (NOW as f64) < end + LEEWAY), "expired");
    assert!(claims.get("nbf").is_none_or(|begin| begin.as_f64().is_some_and(|begin| begin - LEEWAY <= NOW as f64)));
    let subject = claims["sub"].as_str().expect("a token of nobody");
    assert!(subject.len() < 12 || !caller.name().contains(subject), "ids of people do not belong in logs");

    let departments = texts("departments");
    if departments.contains(&"*") {
        assert!(caller.view().is_whole());
    } else {
        assert!(caller.view().is_bound() && !caller.may(Scope::Admin), "admin concerns all departments");
        let paths: Vec<&str> = departments.iter().map(|path| path.trim_matches('/')).collect();
        let seen = caller.view().departments().unwrap_or_default();
        assert!(seen.iter().all(|path| !path.is_empty() && paths.contains(&&**path)), "{seen:?} of {paths:?}");
    }
    let scopes: Vec<&str> = claims.get("scope").map_or_else(Vec::new, |scope| match scope {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    });
    for scope in Scope::ALL.into_iter().filter(|scope| caller.may(*scope)) {
        let includes = scope == Scope::ReportsRead && scopes.contains(&"users:read");
        assert!(scopes.contains(&scope.name()) || includes, "{scope} was not given");
    }
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(sent) = Sent::arbitrary_take_rest(Unstructured::new(input)) else { return Corpus::Reject };
    let provider = &*PROVIDER;
    match &sent {
        Sent::Raw(token) => {
            assert!(provider.holder(token).is_none(), "bytes of nobody's");
            assert!(OURS.verify(token, Timestamp::UNIX_EPOCH).is_err(), "bytes of nobody's");
        }
        Sent::Signed { header, claims } => {
            if let Some(caller) = provider.holder(&provider.sign(header, claims)) {
                assert!(header.is_sound());
                assert_sound(&caller, claims);
            }
        }
        Sent::Claims { header, claims, spoil } => {
            let (sound, claims) = (claims, claims.text(&provider.issuer));
            let token = provider.sign(header, &claims);
            match spoil {
                None => match provider.holder(&token) {
                    Some(caller) => {
                        assert!(header.is_sound());
                        assert_sound(&caller, &claims);
                    }
                    None => {
                        let Claims { iss, aud, sub, exp, nbf, departments, .. } = sound;
                        let is_changed = [iss, aud, sub, exp, nbf, departments].into_iter().any(Option::is_some);
                        assert!(is_changed || !matches!(header, Sealed::Genuine), "a sound token is refused");
                    }
                },
                Some(spoil) => {
                    let spoilt = spoil.of(&token).filter(|spoilt| *spoilt != token);
                    assert!(spoilt.is_none_or(|spoilt| provider.holder(&spoilt).is_none()), "a signature of nobody's");
                }
            }
        }
        Sent::Ours { holder, spoil, later } => {
            let holder = Holder((*holder).into());
            let token = OURS.issue(&holder, Timestamp::UNIX_EPOCH);
            let now = Timestamp::from_second((*later).into()).unwrap();
            let spoilt = spoil.as_ref().map(|spoil| spoil.of(&token).unwrap_or_default());
            let verified = OURS.verify(spoilt.as_ref().unwrap_or(&token), now).ok();
            let is_genuine = spoilt.is_none_or(|spoilt| spoilt == token) && *later < 2 * 60 * 60;
            assert_eq!(verified, is_genuine.then_some(holder));
        }
    }
    Corpus::Keep
});
