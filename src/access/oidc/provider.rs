//! The identity provider: where its keys are, and the keys.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse},
};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// Keys are asked for again after so long, since the provider may have withdrawn one.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// The provider is asked at most so often, whatever keys the tokens name that callers send.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(5);

/// A longer document is not read, in bytes.
const LONGEST: usize = 1 << 20;

/// The provider can't be asked, and its keys are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity provider cannot be reached")]
pub(super) struct Unavailable;

#[derive(Debug)]
pub(super) struct Provider {
    issuer: Url,
    http: Client,
    keys: RwLock<Option<Arc<Known>>>,
    /// When the provider was asked last. Held while it is asked, so that many callers make one call.
    asked: Mutex<Option<Instant>>,
}

/// The provider's keys.
#[derive(Debug)]
struct Known {
    keys: Vec<Key>,
    since: Instant,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, where the provider says so.
    algorithm: Option<String>,
    public: Arc<DecodingKey>,
}

/// The part of the provider's configuration that matters here.
#[derive(Debug, Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    pub(super) fn new(issuer: &Url) -> Result<Self, reqwest::Error> {
        // Not where a redirect leads: that would be another authority.
        let http = Client::builder().timeout(CALL).redirect(redirect::Policy::none()).build()?;
        Ok(Self { issuer: issuer.clone(), http, keys: RwLock::default(), asked: Mutex::default() })
    }

    /// The key of that id; without an id, the only one there is. `None` where the provider has no such key.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<DecodingKey>>, Unavailable> {
        let known = self.known();
        let key = known.as_ref().and_then(|known| known.find(id, algorithm));
        if let (Some(key), true) = (&key, known.as_ref().is_some_and(|known| known.since.elapsed() < FRESH)) {
            return Ok(Some(Arc::clone(key)));
        }
        self.ask(known.as_ref()).await;
        let known = self.known().ok_or(Unavailable)?;
        // Keys that could not be asked for again are better than none.
        Ok(known.find(id, algorithm))
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the keys, unless that was done a moment ago, or by somebody else since they were `seen`.
    async fn ask(&self, seen: Option<&Arc<Known>>) {
        let mut asked = self.asked.lock().await;
        let is_newer = self.known().is_some_and(|known| seen.is_none_or(|seen| known.since > seen.since));
        if is_newer || asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                let known = Known { keys, since: Instant::now() };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
            }
            Err(error) => tracing::error!(error, "the keys of the identity provider could not be fetched"),
        }
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let mut place = self.issuer.clone();
        place.set_path(&format!("{}/.well-known/openid-configuration", self.issuer.path().trim_end_matches('/')));
        let configuration: Configuration = self.document(place).await?;
        if configuration.issuer.trim_end_matches('/') != self.issuer.as_str().trim_end_matches('/') {
            return Err(format!("its configuration is of another issuer: {}", configuration.issuer));
        }
        let place = &configuration.jwks_uri;
        let place: Url = place.parse().map_err(|_| format!("its keys are at no address: {place}"))?;
        let set: JwkSet = self.document(place).await?;
        Ok(set.keys.iter().filter_map(Key::of).collect())
    }

    async fn document<T: for<'de> Deserialize<'de>>(&self, place: Url) -> Result<T, String> {
        let said = |error: reqwest::Error| format!("{place}: {}", error.without_url());
        let reply = self.http.get(place.clone()).send().await.map_err(said)?;
        let mut reply = reply.error_for_status().map_err(said)?;
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(said)? {
            body.extend(chunk);
            if body.len() > LONGEST {
                return Err(format!("{place}: longer than {LONGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{place}: {error}"))
    }
}

impl Known {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut suited = self.keys.iter().filter(|key| key.suits(algorithm));
        let key = match id {
            Some(id) => suited.find(|key| key.id.as_deref() == Some(id)),
            None => suited.next().filter(|_| suited.next().is_none()),
        };
        key.map(|key| Arc::clone(&key.public))
    }
}

impl Key {
    /// A key that signatures can be checked with; `None` for others, secrets among them.
    fn of(jwk: &Jwk) -> Option<Self> {
        use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
        let is_public = matches!(jwk.algorithm, RSA(_) | EllipticCurve(_) | OctetKeyPair(_));
        let key = (signs && is_public).then(|| DecodingKey::from_jwk(jwk).ok()).flatten()?;
        let algorithm = jwk.common.key_algorithm.as_ref().map(ToString::to_string);
        Some(Self { id: jwk.common.key_id.clone(), algorithm, public: Arc::new(key) })
    }

    fn suits(&self, algorithm: Algorithm) -> bool {
        let is_meant = self.algorithm.as_ref().is_none_or(|meant| *meant == format!("{algorithm:?}"));
        is_meant && self.public.family() == algorithm.family()
    }
}
