//! The identity provider: where its keys are, and the keys.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse},
};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

/// Keys are asked for again after so long, since the provider may have withdrawn one: behind whoever comes with a token of
/// one that is known, so that a provider that takes its time holds nobody up.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Older keys are not taken before the provider was asked, and told nothing.
const STALE: Duration = Duration::from_secs(2 * 60 * 60);

/// Older ones are not taken at all, though the provider may have been down since.
const OLDEST: Duration = Duration::from_secs(24 * 60 * 60);

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

/// Clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    issuer: Url,
    http: Client,
    keys: RwLock<Option<Arc<Known>>>,
    asked: RwLock<Asked>,
    /// Held while the provider is asked, so that many callers make one call.
    asking: Mutex<()>,
}

/// When the provider was asked last, and whether it did not tell.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    at: Option<Instant>,
    failed: bool,
}

/// The provider's keys.
#[derive(Debug)]
struct Known {
    keys: Vec<Key>,
    since: Instant,
}

/// Tells the keys that the provider has published at one time from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edition(Instant);

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

/// The keys as they are published, each still to be read.
#[derive(Debug, Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl Provider {
    pub(super) fn new(issuer: &Url) -> Result<Self, reqwest::Error> {
        // Not where a redirect leads: that would be another authority.
        let http = Client::builder().timeout(CALL).redirect(redirect::Policy::none()).build()?;
        let (keys, asked, asking) = (RwLock::default(), RwLock::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { issuer: issuer.clone(), http, keys, asked, asking }) })
    }

    /// The edition of keys that counts now; `None` where they have to be asked for.
    pub(super) fn edition(&self) -> Option<Edition> {
        self.shared.known().filter(|known| known.since.elapsed() < FRESH).map(|known| Edition(known.since))
    }

    /// The key of that id, and the edition that it is from; without an id, the only one there is. `None` where the provider
    /// has no such key.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<(Arc<DecodingKey>, Edition)>, Unavailable> {
        let known = self.shared.known();
        if let Some(known) = &known
            && let Some(key) = known.find(id, algorithm)
            && self.will_do(known)
        {
            return Ok(Some(key));
        }
        self.shared.ask(known.as_ref()).await;
        Ok(self.shared.known().ok_or(Unavailable)?.find(id, algorithm))
    }

    /// Whether nobody need wait for newer keys. Where it is time for them, they are asked for behind the caller.
    fn will_do(&self, known: &Arc<Known>) -> bool {
        let age = known.since.elapsed();
        if age < FRESH {
            return true;
        }
        let asked = self.shared.asked();
        // Keys that could not be asked for again are better than none.
        let will_do = age < STALE || asked.failed;
        if will_do && asked.is_due() {
            let (shared, known) = (Arc::clone(&self.shared), Arc::clone(known));
            tokio::spawn(async move { shared.ask(Some(&known)).await });
        }
        will_do
    }
}

impl Asked {
    fn is_due(self) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= PAUSE)
    }
}

impl Shared {
    fn known(&self) -> Option<Arc<Known>> {
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|known| known.since.elapsed() < OLDEST)
    }

    /// Asks for the keys, unless that was done a moment ago, or by somebody else since they were `seen`.
    async fn ask(&self, seen: Option<&Arc<Known>>) {
        let _asking = self.asking.lock().await;
        let is_newer = self.known().is_some_and(|known| seen.is_none_or(|seen| known.since > seen.since));
        let asked = self.asked();
        if is_newer || !asked.is_due() {
            return;
        }
        let asked = Asked { at: Some(Instant::now()), ..asked };
        self.note(asked);
        let fetched = self.fetch().await;
        self.note(Asked { failed: fetched.is_err(), ..asked });
        match fetched {
            Ok(keys) => {
                let known = Known { keys, since: Instant::now() };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
            }
            Err(error) => tracing::error!(error, "the keys of the identity provider could not be fetched"),
        }
    }

    fn asked(&self) -> Asked {
        *self.asked.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, asked: Asked) {
        *self.asked.write().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let mut place = self.issuer.clone();
        place.set_path(&format!("{}/.well-known/openid-configuration", self.issuer.path().trim_end_matches('/')));
        let configuration: Configuration = self.document(place).await?;
        if configuration.issuer.trim_end_matches('/') != self.issuer.as_str().trim_end_matches('/') {
            return Err(format!("its configuration is of another issuer: {}", configuration.issuer));
        }
        let set: Published = self.document(place_of_keys(&self.issuer, &configuration.jwks_uri)?).await?;
        // One of a kind that is not known here is no reason not to take the others (RFC 7517, section 5).
        let read = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(read.filter_map(|key| Key::of(&key)).collect())
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

/// Where the keys are, by the word of the provider.
fn place_of_keys(issuer: &Url, place: &str) -> Result<Url, String> {
    let place: Url = place.parse().map_err(|_| format!("its keys are at no address: {place}"))?;
    if issuer.scheme() == "https" && place.scheme() != "https" {
        return Err(format!("whoever is on the way could exchange its keys: {place}"));
    }
    Ok(place)
}

impl Known {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<(Arc<DecodingKey>, Edition)> {
        let mut suited = self.keys.iter().filter(|key| key.suits(algorithm));
        let key = match id {
            Some(id) => suited.find(|key| key.id.as_deref() == Some(id)),
            None => suited.next().filter(|_| suited.next().is_none()),
        };
        key.map(|key| (Arc::clone(&key.public), Edition(self.since)))
    }
}

impl Key {
    /// A key that signatures can be checked with; `None` for others, secrets among them.
    fn of(jwk: &Jwk) -> Option<Self> {
        use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
        let signs = signs && jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_a_way_as_safe_as_the_provider() {
        let [safe, open]: [Url; 2] =
            ["https://idp.example", "http://127.0.0.1:9"].map(|issuer| issuer.parse().unwrap());
        assert!(place_of_keys(&safe, "https://keys.example/jwks").is_ok());
        assert!(place_of_keys(&safe, "http://idp.example/jwks").is_err());
        assert!(place_of_keys(&open, "http://127.0.0.1:9/jwks").is_ok());
        assert!(place_of_keys(&open, "jwks").is_err());
    }
}
