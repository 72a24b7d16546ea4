//! Tokens of the company's identity provider (OpenID Connect): JWTs, verified here with the provider's published keys.

mod claims;
mod config;
mod identity_provider;

use std::{ops::Range, sync::Arc, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use moka::sync::Cache;
use reqwest::Url;
use serde_json::{Map, Value};

pub use self::config::OidcConfig;
use self::identity_provider::{IdentityProvider, KeySetId, ProviderUnavailable, SelectedKey};
use super::{access_key::KeyHash, auth_error::AuthError, caller::Caller};

/// Accepted signature algorithms. All are asymmetric: `none` and the `HS…` family, which would allow a public key to be
/// used as a shared secret, are excluded.
const ACCEPTED_ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Maximum difference between the clocks of the provider and of this machine.
const CLOCK_LEEWAY: Duration = Duration::from_secs(30);

/// Maximum length of a token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Maximum number of verified tokens in the cache. An evicted token is verified again when it is next used.
const MAX_CACHED_TOKENS: u64 = 16_384;

/// Verifies the tokens of one identity provider and caches the result.
#[derive(Debug)]
pub struct OidcVerifier {
    config: OidcConfig,
    provider: IdentityProvider,
    verified: Cache<KeyHash, Arc<VerifiedToken>>,
}

/// The result of a successful verification.
#[derive(Debug)]
struct VerifiedToken {
    caller: Caller,
    /// When the token is valid, in seconds of Unix time.
    validity: Range<f64>,
    /// The key set that the signature was verified with; with another key set, the token is verified again.
    key_set: KeySetId,
}

impl OidcVerifier {
    /// A verifier of the provider's tokens. The keys are fetched when the first token arrives.
    ///
    /// # Errors
    /// Fails if TLS cannot be set up.
    pub fn new(config: OidcConfig) -> Result<Self, reqwest::Error> {
        let verified = Cache::new(MAX_CACHED_TOKENS);
        Ok(Self { provider: IdentityProvider::new(&config.issuer)?, config, verified })
    }

    /// The caller with this token, if it was verified before with the current key set and is valid at `now`.
    #[must_use]
    pub fn cached_caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let key_set = self.provider.current_key_set()?;
        let verified = self.verified.get(&KeyHash::of(token))?;
        (verified.key_set == key_set && is_within(&verified.validity, now)).then(|| verified.caller.clone())
    }

    /// Verifies the token at `now` and returns its caller. May fetch the provider's keys.
    ///
    /// # Errors
    /// [`AuthError`], if the token is invalid or the provider's keys are not available.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Invalid);
        }
        if let Some(caller) = self.cached_caller(token, now) {
            return Ok(caller);
        }
        let header = decode_header(token).map_err(|_| AuthError::Invalid)?;
        // RFC 7515, section 4.1.11: a token with a critical extension that is not supported is invalid. None is
        // supported.
        if !ACCEPTED_ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(AuthError::Invalid);
        }
        let key = self.provider.key(header.kid.as_deref(), header.alg).await;
        let SelectedKey { key, key_set } =
            key.map_err(|ProviderUnavailable| AuthError::Unavailable)?.ok_or(AuthError::Invalid)?;
        let claims = self.claims(token, &key, header.alg)?;
        let validity = validity(&claims).filter(|validity| is_within(validity, now)).ok_or(AuthError::Invalid)?;
        let caller = claims::caller_from_claims(&claims, &self.config).ok_or(AuthError::Invalid)?;
        let verified = VerifiedToken { caller: caller.clone(), validity, key_set };
        self.verified.insert(KeyHash::of(token), Arc::new(verified));
        Ok(caller)
    }

    /// The endpoint that issues the provider's tokens; `None` if it is not known. May fetch the provider's metadata.
    pub async fn token_endpoint(&self) -> Option<Url> {
        self.provider.token_endpoint().await
    }

    /// The claims of the token, if its signature, issuer and audience are correct.
    fn claims(
        &self,
        token: &str,
        key: &Arc<DecodingKey>,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, AuthError> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Providers write the issuer with or without a slash at its end.
        let issuer = self.config.issuer.as_str();
        let trimmed = issuer.strip_suffix('/').unwrap_or(issuer);
        validation.set_issuer(&[trimmed, &format!("{trimmed}/")]);
        validation.set_audience(&[&self.config.audience]);
        // `validity` checks the times against the gateway's clock instead.
        validation.validate_exp = false;
        decode(token, key, &validation).map(|token| token.claims).map_err(|_| AuthError::Invalid)
    }
}

/// The interval from `nbf` (optional) to `exp` (required), with leeway; `None` if one of them is invalid.
fn validity(claims: &Map<String, Value>) -> Option<Range<f64>> {
    let expires_at = claims.get("exp").and_then(Value::as_f64)?;
    let begins_at = claims.get("nbf").map_or(Some(f64::MIN), Value::as_f64)?;
    let leeway = CLOCK_LEEWAY.as_secs_f64();
    Some(begins_at - leeway..expires_at + leeway)
}

fn is_within(validity: &Range<f64>, now: Timestamp) -> bool {
    validity.contains(&(now.as_second() as f64))
}

#[cfg(test)]
mod tests;
