//! Fuzzes bearer tokens: only tokens signed by the identity provider or by the gateway are accepted, with the rights in
//! their claims.
//!
//! An identity provider on loopback publishes one key. The target signs most tokens with that key, so that their claims
//! are evaluated, and may flip one bit afterwards.

#![no_main]

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{Router, routing::get};
use feishu_pulse::{
    access::{Caller, OidcConfig, OidcVerifier, Scope},
    api::{AccessTokens, drop_in::access_token::TokenSubject},
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
static ACCESS_TOKENS: LazyLock<AccessTokens> = LazyLock::new(|| AccessTokens::new(&"the secret of the app".into()));

struct Provider {
    key: EncodingKey,
    issuer: String,
    oidc: OidcVerifier,
}

/// A token to test.
#[derive(Arbitrary, Debug)]
enum TestToken<'a> {
    /// Any text.
    Raw(&'a str),
    /// A signed token with any text as claims.
    Signed { header: TestHeader<'a>, claims: &'a str },
    /// A signed token with valid claims, some of them replaced.
    Claims { header: TestHeader<'a>, claims: ReplacedClaims<'a>, flip: Option<BitFlip> },
    /// An access token that the gateway issued, checked after `age_seconds`.
    Issued { subject: &'a str, flip: Option<BitFlip>, age_seconds: u16 },
}

/// The header of a token, which describes its signature.
#[derive(Arbitrary, Debug)]
enum TestHeader<'a> {
    Genuine,
    WithoutKeyId,
    KeyId(&'a str),
    Algorithm(u8),
    Raw(&'a str),
}

/// The claims that are replaced. `None` leaves the valid value.
#[derive(Arbitrary, Debug)]
struct ReplacedClaims<'a> {
    iss: Option<Claim<'a>>,
    aud: Option<Claim<'a>>,
    sub: Option<Claim<'a>>,
    exp: Option<Claim<'a>>,
    nbf: Option<Claim<'a>>,
    scope: Option<Claim<'a>>,
    departments: Option<Claim<'a>>,
}

/// The replacement of a claim.
#[derive(Arbitrary, Debug)]
enum Claim<'a> {
    Missing,
    Text(&'a str),
    Texts(Vec<&'a str>),
    Number(i16),
    Float(f64),
    Json(&'a str),
}

/// A change of one bit.
#[derive(Arbitrary, Debug)]
struct BitFlip {
    position: u16,
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
        let oidc = OidcVerifier::new(OidcConfig {
            issuer: issuer.parse().unwrap(),
            audience: AUDIENCE.into(),
            scopes_claim: "scope".into(),
            pseudonymous_claim: None,
            departments_claim: Some("departments".into()),
        });
        Self { key, issuer, oidc: oidc.unwrap() }
    }

    fn sign(&self, header: &TestHeader<'_>, claims: &str) -> String {
        let header = header.text();
        let message = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }

    fn caller(&self, token: &str) -> Option<Caller> {
        ASYNC.block_on(self.oidc.verify(token, Timestamp::from_second(NOW).unwrap())).ok()
    }
}

impl TestHeader<'_> {
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

    /// Whether the header is valid for the provider's key.
    fn is_valid(&self) -> bool {
        let Ok(header) = serde_json::from_str::<Value>(&self.text()) else { return false };
        header["alg"] == "ES256" && (header["kid"] == KEY_ID || header["kid"].is_null())
    }
}

impl ReplacedClaims<'_> {
    fn text(&self, issuer: &str) -> String {
        let valid = json!({
            "iss": issuer, "aud": [AUDIENCE, "other"], "sub": "somebody", "exp": 2000, "nbf": 1000,
            "scope": "openid users:read", "departments": ["总部/研发"],
        });
        let Value::Object(mut claims) = valid else { return String::new() };
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

impl BitFlip {
    /// The token with one bit changed. `None` if the result is not UTF-8.
    fn apply(&self, token: &str) -> Option<String> {
        let mut bytes = token.as_bytes().to_vec();
        let position = usize::from(self.position) % bytes.len();
        bytes[position] ^= 1 << (self.bit % 7);
        String::from_utf8(bytes).ok()
    }
}

/// Encodes bytes in the URL-safe base64 alphabet without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|digit| char::from(DIGITS[(group >> (18 - 6 * digit)) as usize & 63])));
    }
    text
}

/// Checks the claims of an accepted token against RFC 7519 and the settings, and the rights of the caller against the
/// claims.
fn assert_valid(caller: &Caller, claims: &str) {
    let claims: Map<String, Value> = serde_json::from_str(claims).expect("accepted claims are an object");
    let texts = |name: &str| match &claims[name] {
        Value::String(text) => vec![text.as_str()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let issuer = &PROVIDER.issuer;
    assert!(texts("iss").iter().any(|name| name.trim_end_matches('/') == issuer), "another issuer");
    assert!(texts("aud").contains(&AUDIENCE), "another audience");
    assert!(claims["exp"].as_f64().is_some_and(|end| (NOW as f64) < end + LEEWAY), "expired");
    assert!(claims.get("nbf").is_none_or(|begin| begin.as_f64().is_some_and(|begin| begin - LEEWAY <= NOW as f64)));
    let subject = claims["sub"].as_str().expect("a token without a subject");
    assert!(subject.len() < 12 || !caller.name().contains(subject), "the name of the caller contains the subject");

    let departments = texts("departments");
    if departments.contains(&"*") {
        assert!(caller.view().is_unrestricted());
    } else {
        assert!(
            caller.view().is_department_restricted() && !caller.has_scope(Scope::Admin),
            "admin requires access to all departments"
        );
        let paths: Vec<&str> = departments.iter().map(|path| path.trim_matches('/')).collect();
        let visible = caller.view().departments().unwrap_or_default();
        assert!(visible.iter().all(|path| !path.is_empty() && paths.contains(&&**path)), "{visible:?} of {paths:?}");
    }
    let scopes: Vec<&str> = claims.get("scope").map_or_else(Vec::new, |scope| match scope {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    });
    for scope in Scope::ALL.into_iter().filter(|scope| caller.has_scope(*scope)) {
        let includes = scope == Scope::ReportsRead && scopes.contains(&"users:read");
        assert!(scopes.contains(&scope.name()) || includes, "{scope} is not in the claims");
    }
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(test) = TestToken::arbitrary_take_rest(Unstructured::new(input)) else { return Corpus::Reject };
    let provider = &*PROVIDER;
    match &test {
        TestToken::Raw(token) => {
            assert!(provider.caller(token).is_none(), "a token that nobody signed is accepted");
            assert!(
                ACCESS_TOKENS.verify(token, Timestamp::UNIX_EPOCH).is_err(),
                "a token that nobody signed is accepted"
            );
        }
        TestToken::Signed { header, claims } => {
            if let Some(caller) = provider.caller(&provider.sign(header, claims)) {
                assert!(header.is_valid());
                assert_valid(&caller, claims);
            }
        }
        TestToken::Claims { header, claims, flip } => {
            let (replaced, claims) = (claims, claims.text(&provider.issuer));
            let token = provider.sign(header, &claims);
            match flip {
                None => match provider.caller(&token) {
                    Some(caller) => {
                        assert!(header.is_valid());
                        assert_valid(&caller, &claims);
                    }
                    None => {
                        let ReplacedClaims { iss, aud, sub, exp, nbf, departments, .. } = replaced;
                        let is_replaced = [iss, aud, sub, exp, nbf, departments].into_iter().any(Option::is_some);
                        assert!(is_replaced || !matches!(header, TestHeader::Genuine), "a valid token is rejected");
                    }
                },
                Some(flip) => {
                    let changed = flip.apply(&token).filter(|changed| *changed != token);
                    assert!(
                        changed.is_none_or(|changed| provider.caller(&changed).is_none()),
                        "a changed token is accepted"
                    );
                }
            }
        }
        TestToken::Issued { subject, flip, age_seconds } => {
            let subject = TokenSubject((*subject).into());
            let token = ACCESS_TOKENS.issue(&subject, Timestamp::UNIX_EPOCH);
            let now = Timestamp::from_second((*age_seconds).into()).unwrap();
            let changed = flip.as_ref().map(|flip| flip.apply(&token).unwrap_or_default());
            let verified = ACCESS_TOKENS.verify(changed.as_ref().unwrap_or(&token), now).ok();
            let is_genuine = changed.is_none_or(|changed| changed == token) && *age_seconds < 2 * 60 * 60;
            assert_eq!(verified, is_genuine.then_some(subject));
        }
    }
    Corpus::Keep
});
