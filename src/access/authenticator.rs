//! Authentication: which caller a request's credentials belong to.

use std::{
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    access_key,
    access_keys::AccessKeys,
    auth_error::AuthError,
    caller::Caller,
    keys_file::{KeysFile, KeysFileError},
    oidc::{OidcConfig, OidcVerifier},
    rate_limiter::{RateLimitStatus, RateLimiter},
};
use crate::{
    prometheus::{Collector, Exposition},
    table::pseudonymizer::Pseudonymizer,
};

/// Minimum length of the pseudonym key, in bytes: as long as the output of HMAC-SHA-256.
const MIN_PSEUDONYM_KEY_BYTES: usize = 32;

/// Wrong credentials of one peer per minute, also in one burst. Further ones are rejected as too many requests.
const MAX_FAILURES_PER_MINUTE: u32 = 60;

/// The bits of an IPv6 address that identify a network. A client can use all addresses of its network.
const IPV6_NETWORK_BITS: u32 = 64;

/// Settings of access control.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// Path of the keys file; `None`: there are no access keys.
    pub keys_file: Option<PathBuf>,
    /// The identity provider; `None`: its tokens are not accepted.
    pub oidc: Option<OidcConfig>,
    /// Key from which pseudonyms are derived; at least 32 bytes.
    pub pseudonym_key: Option<SecretString>,
    /// Whether a gateway without access control accepts requests to every host name. Otherwise it accepts only names
    /// of the loopback interface.
    pub allow_anonymous: bool,
    /// Requests per minute and caller; `None`: unlimited.
    pub requests_per_minute: Option<u32>,
}

/// Why the settings of access control are unusable.
#[derive(Debug, thiserror::Error)]
pub enum AccessConfigError {
    /// The keys file cannot be read or has faulty lines.
    #[error("the access keys cannot be used: {0}")]
    Keys(KeysFileError),
    /// The TLS client for the identity provider cannot be built.
    #[error("TLS to the identity provider cannot be set up: {0:?}")]
    Tls(#[from] reqwest::Error),
    /// The pseudonym key is too short.
    #[error("the pseudonym key is shorter than 32 bytes")]
    ShortPseudonymKey,
    /// Tokens can make callers pseudonymous, and there is no pseudonym key.
    #[error("tokens can make callers pseudonymous, and there is no pseudonym key")]
    MissingPseudonymKey,
    /// Anonymous access and access control are both configured.
    #[error("anonymous access and access control are both configured")]
    AnonymousConflict,
}

/// Authenticates callers and enforces their request limit.
#[derive(Debug)]
pub struct Authenticator {
    keys: Option<Arc<KeysFile>>,
    oidc: Option<OidcVerifier>,
    pseudonymizer: Option<Pseudonymizer>,
    rate_limiter: Option<RateLimiter<Arc<str>>>,
    failures: RateLimiter<IpAddr>,
    allow_anonymous: bool,
}

impl Authenticator {
    /// Builds access control from its settings; reads the keys file.
    ///
    /// # Errors
    /// [`AccessConfigError`], if a setting is invalid or the keys file is unusable.
    pub fn new(config: &AccessConfig) -> Result<Self, AccessConfigError> {
        let is_controlled = config.keys_file.is_some() || config.oidc.is_some();
        if is_controlled && config.allow_anonymous {
            return Err(AccessConfigError::AnonymousConflict);
        }
        let key = config.pseudonym_key.as_ref();
        if key.is_some_and(|key| key.expose_secret().len() < MIN_PSEUDONYM_KEY_BYTES) {
            return Err(AccessConfigError::ShortPseudonymKey);
        }
        if key.is_none() && config.oidc.as_ref().is_some_and(|oidc| oidc.pseudonymous_claim.is_some()) {
            return Err(AccessConfigError::MissingPseudonymKey);
        }
        let open = |path: &PathBuf| KeysFile::open(path, key.is_some()).map(Arc::new);
        Ok(Self {
            keys: config.keys_file.as_ref().map(open).transpose().map_err(AccessConfigError::Keys)?,
            oidc: config.oidc.clone().map(OidcVerifier::new).transpose()?,
            pseudonymizer: key.map(Pseudonymizer::new),
            rate_limiter: config.requests_per_minute.map(RateLimiter::new),
            failures: RateLimiter::new(MAX_FAILURES_PER_MINUTE),
            allow_anonymous: config.allow_anonymous,
        })
    }

    /// Whether access control is configured. Without it, every request is anonymous and may see everything.
    #[must_use]
    pub const fn is_controlled(&self) -> bool {
        self.keys.is_some() || self.oidc.is_some()
    }

    /// Whether only requests to a loopback host name are answered. Without access control, this protects against DNS
    /// rebinding: a web page that makes its own host name resolve to 127.0.0.1.
    #[must_use]
    pub const fn is_loopback_only(&self) -> bool {
        !self.is_controlled() && !self.allow_anonymous
    }

    /// Derives pseudonyms; `None` without a pseudonym key.
    #[must_use]
    pub const fn pseudonymizer(&self) -> Option<&Pseudonymizer> {
        self.pseudonymizer.as_ref()
    }

    /// The keys file; `None` if none is configured.
    #[must_use]
    pub const fn keys_file(&self) -> Option<&Arc<KeysFile>> {
        self.keys.as_ref()
    }

    /// The caller with these credentials: an access key, or a token of the identity provider. May fetch the provider's
    /// keys.
    ///
    /// # Errors
    /// [`AuthError`], if the credentials are invalid or cannot be verified now.
    pub async fn authenticate(&self, credentials: &str, now: Timestamp) -> Result<Caller, AuthError> {
        if let Some(keys) = self.keys_if_access_key(credentials) {
            return keys.caller_with_key(credentials).cloned().ok_or(AuthError::Invalid);
        }
        match &self.oidc {
            Some(oidc) => oidc.verify(credentials, now).await,
            None => Err(AuthError::Invalid),
        }
    }

    /// The caller with these credentials, if no I/O and no signature check is needed to find out: for access keys, and
    /// for tokens that were verified before.
    #[must_use]
    pub fn authenticate_locally(&self, credentials: &str, now: Timestamp) -> Option<Caller> {
        match self.keys_if_access_key(credentials) {
            Some(keys) => keys.caller_with_key(credentials).cloned(),
            None => self.oidc.as_ref()?.cached_caller(credentials, now),
        }
    }

    /// The endpoint that issues the tokens of the identity provider; `None` without a provider, or if it is not known. May fetch
    /// the provider's metadata, for at most a second.
    pub async fn token_endpoint(&self) -> Option<Url> {
        self.oidc.as_ref()?.token_endpoint().await
    }

    /// The access keys, if the credentials have the prefix of an access key; otherwise they are a token.
    fn keys_if_access_key(&self, credentials: &str) -> Option<Arc<AccessKeys>> {
        self.keys.as_ref().filter(|_| credentials.starts_with(access_key::KEY_PREFIX)).map(|file| file.keys())
    }

    /// The subject of a drop-in token for a caller who presents an access key and its name: `name/hash`. The hash makes
    /// the token invalid once the key is revoked or replaced. Without access control, all names and keys are accepted.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], if the key does not exist or has another name.
    pub fn token_subject(&self, name: &str, key: &str) -> Result<String, AuthError> {
        if !self.is_controlled() {
            // Names of keys contain no slash, so such a token becomes invalid if access control is configured later.
            return Ok(format!("/{name}"));
        }
        let keys = self.keys.as_ref().ok_or(AuthError::Invalid)?.keys();
        let caller = keys.caller_with_key(key).filter(|caller| **caller.name() == *name).ok_or(AuthError::Invalid)?;
        let entry = keys.entry_named(caller.name()).ok_or(AuthError::Invalid)?;
        Ok(format!("{name}/{}", entry.hash))
    }

    /// The caller that a drop-in token with this subject was issued to.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], if the access key was revoked or replaced after the token was issued.
    pub fn caller_of_subject(&self, subject: &str) -> Result<Caller, AuthError> {
        if !self.is_controlled() {
            return Ok(Caller::anonymous());
        }
        let (name, hash) = subject.split_once('/').ok_or(AuthError::Invalid)?;
        let keys = self.keys.as_ref().ok_or(AuthError::Invalid)?.keys();
        let entry = keys.entry_named(name).ok_or(AuthError::Invalid)?;
        if entry.hash.to_string() == hash { Ok(entry.caller.clone()) } else { Err(AuthError::Invalid) }
    }

    /// Whether callers have a rate limit.
    #[must_use]
    pub const fn has_rate_limit(&self) -> bool {
        self.rate_limiter.is_some()
    }

    /// Counts one request of the caller against the rate limit; `None` if no limit applies.
    #[must_use]
    pub fn check_rate_limit(&self, caller: &Caller) -> Option<RateLimitStatus> {
        // Anonymous callers cannot be distinguished, so they have no limit.
        caller.id().and(self.rate_limiter.as_ref()).map(|limiter| limiter.check(caller.name()))
    }

    /// Counts wrong credentials that `peer` has sent, and returns the error to respond with. Valid credentials of the peer
    /// stay valid, because a proxy sends the requests of many callers.
    #[must_use]
    pub fn record_failure(&self, peer: Option<IpAddr>) -> AuthError {
        let status = peer.map(|peer| self.failures.check(&network_of(peer)));
        let retry_after = status.and_then(|status| status.retry_after);
        retry_after.map_or(AuthError::Invalid, |retry_after| AuthError::TooManyFailures { retry_after })
    }

    /// Reloads the keys file whenever it changes; never returns.
    pub async fn watch(&self) {
        if let Some(keys) = &self.keys {
            keys.watch().await;
        }
    }
}

/// The network of a peer: an IPv4 address alone, or all addresses with the same IPv6 prefix.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS))).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Collector for Authenticator {
    fn collect(&self, page: &mut Exposition) {
        if let Some(keys) = &self.keys {
            keys.collect(page);
        }
    }
}
