//! The identity provider's signing keys: fetched, cached and refreshed.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse},
};
use parking_lot::RwLock;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use crate::proxy;

/// Age at which keys are refreshed in the background, because the provider may have withdrawn one. Tokens with a known
/// key do not wait for the refresh.
const REFRESH_AFTER: Duration = Duration::from_secs(60 * 60);

/// Age from which keys are used only if an attempt to refresh them has failed.
const REFRESH_REQUIRED_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// Age at which keys are discarded, even if the provider cannot be reached.
const DISCARD_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Minimum time between two fetches. Tokens with unknown key ids cannot cause more requests to the provider.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(30);

/// Timeout of one HTTP request to the provider.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request that needs the provider's metadata waits for it. The fetch itself goes on.
const METADATA_WAIT: Duration = Duration::from_secs(1);

/// Maximum length of a document of the provider, in bytes.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// The provider cannot be reached, and no keys of it are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity provider cannot be reached")]
pub(super) struct ProviderUnavailable;

/// A client of the identity provider. Clones share the cached keys.
#[derive(Clone, Debug)]
pub(super) struct IdentityProvider {
    state: Arc<ProviderState>,
}

#[derive(Debug)]
struct ProviderState {
    issuer: Url,
    http: Client,
    keys: RwLock<Option<Arc<KeySet>>>,
    last_fetch: RwLock<LastFetch>,
    /// Held during a fetch, so that concurrent callers cause a single one.
    fetch_lock: Mutex<()>,
}

/// When the last fetch began, and whether the last completed fetch failed.
#[derive(Clone, Copy, Debug, Default)]
struct LastFetch {
    began_at: Option<Instant>,
    failed: bool,
}

/// The keys of one fetch, and the endpoint of the provider's metadata.
#[derive(Debug)]
struct KeySet {
    keys: Vec<VerificationKey>,
    token_endpoint: Option<Url>,
    fetched_at: Instant,
}

/// Identifies a key set by the time of its fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeySetId(Instant);

/// A key that was selected for a token, and the key set that it is from.
#[derive(Debug)]
pub(super) struct SelectedKey {
    pub(super) key: Arc<DecodingKey>,
    pub(super) key_set: KeySetId,
}

#[derive(Debug)]
struct VerificationKey {
    id: Option<String>,
    /// The only algorithm that the key is for; `None`: any of its family.
    algorithm: Option<String>,
    decoding_key: Arc<DecodingKey>,
}

/// The fields of the OpenID provider configuration that are used.
#[derive(Debug, Deserialize)]
struct ProviderMetadata {
    issuer: String,
    jwks_uri: String,
    token_endpoint: Option<String>,
}

/// A JSON Web Key Set (RFC 7517). Keys are parsed one by one, so that a key of an unknown type does not invalidate the
/// set.
#[derive(Debug, Deserialize)]
struct PublishedKeySet {
    keys: Vec<Value>,
}

impl IdentityProvider {
    pub(super) fn new(issuer: &Url) -> Result<Self, reqwest::Error> {
        // Redirects are not followed: their target could be controlled by somebody else.
        let http = proxy::client_builder(issuer).timeout(REQUEST_TIMEOUT).redirect(redirect::Policy::none()).build()?;
        let (keys, last_fetch, fetch_lock) = (RwLock::default(), RwLock::default(), Mutex::default());
        Ok(Self { state: Arc::new(ProviderState { issuer: issuer.clone(), http, keys, last_fetch, fetch_lock }) })
    }

    /// The current key set; `None` if the keys must be fetched or refreshed.
    pub(super) fn current_key_set(&self) -> Option<KeySetId> {
        let keys = self.state.cached_keys().filter(|keys| keys.fetched_at.elapsed() < REFRESH_AFTER);
        keys.map(|keys| KeySetId(keys.fetched_at))
    }

    /// The key with this id; without an id, the only key for the algorithm. `None` if the provider has no such key.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<SelectedKey>, ProviderUnavailable> {
        let cached = self.state.cached_keys();
        if let Some(keys) = &cached
            && let Some(key) = keys.select(id, algorithm)
            && self.is_usable(keys)
        {
            return Ok(Some(key));
        }
        self.state.refresh(cached.as_ref()).await;
        Ok(self.state.cached_keys().ok_or(ProviderUnavailable)?.select(id, algorithm))
    }

    /// The token endpoint of the provider's metadata. `None` if the metadata names none, or is not available soon.
    pub(super) async fn token_endpoint(&self) -> Option<Url> {
        if self.state.cached_keys().is_none() {
            let state = Arc::clone(&self.state);
            // A task of its own, because a fetch that is dropped is not repeated for a while.
            let fetch = tokio::spawn(async move { state.refresh(None).await });
            _ = tokio::time::timeout(METADATA_WAIT, fetch).await;
        }
        self.state.cached_keys()?.token_endpoint.clone()
    }

    /// Whether the keys can be used without waiting for a refresh. Starts a refresh in the background if one is due.
    fn is_usable(&self, keys: &Arc<KeySet>) -> bool {
        let age = keys.fetched_at.elapsed();
        if age < REFRESH_AFTER {
            return true;
        }
        let last_fetch = self.state.last_fetch();
        // While the provider is down, its last keys stay in use.
        let is_usable = age < REFRESH_REQUIRED_AFTER || last_fetch.failed;
        if is_usable && last_fetch.is_next_due() {
            let (state, keys) = (Arc::clone(&self.state), Arc::clone(keys));
            tokio::spawn(async move { state.refresh(Some(&keys)).await });
        }
        is_usable
    }
}

impl LastFetch {
    fn is_next_due(self) -> bool {
        self.began_at.is_none_or(|began_at| began_at.elapsed() >= MIN_FETCH_INTERVAL)
    }
}

impl ProviderState {
    fn cached_keys(&self) -> Option<Arc<KeySet>> {
        let keys = self.keys.read().clone();
        keys.filter(|keys| keys.fetched_at.elapsed() < DISCARD_AFTER)
    }

    /// Fetches the keys, unless the last fetch was less than [`MIN_FETCH_INTERVAL`] ago or another task has replaced
    /// the `seen` keys in the meantime.
    async fn refresh(&self, seen: Option<&Arc<KeySet>>) {
        let _guard = self.fetch_lock.lock().await;
        let is_replaced =
            self.cached_keys().is_some_and(|keys| seen.is_none_or(|seen| keys.fetched_at > seen.fetched_at));
        let last_fetch = self.last_fetch();
        if is_replaced || !last_fetch.is_next_due() {
            return;
        }
        let this_fetch = LastFetch { began_at: Some(Instant::now()), ..last_fetch };
        self.set_last_fetch(this_fetch);
        let fetched = self.fetch().await;
        self.set_last_fetch(LastFetch { failed: fetched.is_err(), ..this_fetch });
        match fetched {
            Ok(keys) => {
                *self.keys.write() = Some(Arc::new(keys));
            }
            Err(error) => tracing::error!(
                error,
                "could not fetch the keys of the identity provider; tokens with an unknown key cannot be verified until a retry succeeds"
            ),
        }
    }

    fn last_fetch(&self) -> LastFetch {
        *self.last_fetch.read()
    }

    fn set_last_fetch(&self, fetch: LastFetch) {
        *self.last_fetch.write() = fetch;
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let mut url = self.issuer.clone();
        url.set_path(&format!("{}/.well-known/openid-configuration", self.issuer.path().trim_end_matches('/')));
        let metadata: ProviderMetadata = self.fetch_document(url).await?;
        if metadata.issuer.trim_end_matches('/') != self.issuer.as_str().trim_end_matches('/') {
            return Err(format!("the OpenID configuration names another issuer: {}", metadata.issuer));
        }
        let set: PublishedKeySet = self.fetch_document(jwks_url(&self.issuer, &metadata.jwks_uri)?).await?;
        // RFC 7517, section 5: keys of an unknown type are ignored.
        let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(KeySet {
            keys: jwks.filter_map(|jwk| VerificationKey::from_jwk(&jwk)).collect(),
            token_endpoint: metadata.token_endpoint.and_then(|url| url.parse().ok()),
            fetched_at: Instant::now(),
        })
    }

    async fn fetch_document<T: for<'de> Deserialize<'de>>(&self, url: Url) -> Result<T, String> {
        let describe = |error: reqwest::Error| format!("{url}: {}", error.without_url());
        let response = self.http.get(url.clone()).send().await.map_err(describe)?;
        let mut response = response.error_for_status().map_err(describe)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            body.extend(chunk);
            if body.len() > MAX_DOCUMENT_BYTES {
                return Err(format!("{url}: the document is longer than {MAX_DOCUMENT_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}

/// The URL of the key set. A provider with an https issuer must publish its keys over https too.
fn jwks_url(issuer: &Url, jwks_uri: &str) -> Result<Url, String> {
    let url: Url = jwks_uri.parse().map_err(|_| format!("jwks_uri is not a URL: {jwks_uri}"))?;
    if issuer.scheme() == "https" && url.scheme() != "https" {
        return Err(format!("jwks_uri is not an https URL, so the keys could be replaced in transit: {url}"));
    }
    Ok(url)
}

impl KeySet {
    fn select(&self, id: Option<&str>, algorithm: Algorithm) -> Option<SelectedKey> {
        let mut candidates = self.keys.iter().filter(|key| key.supports(algorithm));
        let key = match id {
            Some(id) => candidates.find(|key| key.id.as_deref() == Some(id)),
            None => candidates.next().filter(|_| candidates.next().is_none()),
        };
        key.map(|key| SelectedKey { key: Arc::clone(&key.decoding_key), key_set: KeySetId(self.fetched_at) })
    }
}

impl VerificationKey {
    /// A key for verifying signatures; `None` for encryption keys and for symmetric keys.
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        use AlgorithmParameters::{EllipticCurve, OctetKeyPair, RSA};
        let verifies = jwk.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
        let verifies =
            verifies && jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        let is_public = matches!(jwk.algorithm, RSA(_) | EllipticCurve(_) | OctetKeyPair(_));
        let key = (verifies && is_public).then(|| DecodingKey::from_jwk(jwk).ok()).flatten()?;
        let algorithm = jwk.common.key_algorithm.as_ref().map(ToString::to_string);
        Some(Self { id: jwk.common.key_id.clone(), algorithm, decoding_key: Arc::new(key) })
    }

    fn supports(&self, algorithm: Algorithm) -> bool {
        let is_allowed = self.algorithm.as_ref().is_none_or(|only| *only == format!("{algorithm:?}"));
        is_allowed && self.decoding_key.family() == algorithm.family()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_provider_must_publish_its_keys_over_https() {
        let [https, http]: [Url; 2] =
            ["https://idp.example", "http://127.0.0.1:9"].map(|issuer| issuer.parse().unwrap());
        assert!(jwks_url(&https, "https://keys.example/jwks").is_ok());
        assert!(jwks_url(&https, "http://idp.example/jwks").is_err());
        assert!(jwks_url(&http, "http://127.0.0.1:9/jwks").is_ok());
        assert!(jwks_url(&http, "jwks").is_err());
    }
}
