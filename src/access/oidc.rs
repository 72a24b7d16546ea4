//! Tokens of the company's identity provider (OpenID Connect): signed JWTs, checked here without asking it.

mod claims;
mod provider;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::Url;
use serde_json::{Map, Value};

use self::provider::{Provider, Unavailable};
use super::{caller::Caller, gatekeeper::Refusal};

/// Signatures that are taken: only those that nobody can make who can merely check them. `none` and the `HS…` family,
/// by which a public key could be passed off as a secret, are not among them.
const ALGORITHMS: [Algorithm; 9] = [
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

/// How far the clocks of the provider and of this machine may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// A longer token is not looked at, in bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// Which tokens are taken, and how they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcConfig {
    /// The provider: `iss` of its tokens, and where its configuration is found.
    pub issuer: Url,
    /// What `aud` must name.
    pub audience: String,
    /// The claim that holds scopes: a list, or words with spaces; a path with dots where claims are nested.
    pub scopes_claim: String,
    /// The claim that holds department paths. Where it is set, every token must have it; `*` stands for all.
    pub departments_claim: Option<String>,
}

/// Checks tokens of one provider.
#[derive(Debug)]
pub struct Oidc {
    config: OidcConfig,
    provider: Provider,
}

impl Oidc {
    /// Tokens of a provider, which is asked for its keys when the first token comes.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(config: OidcConfig) -> Result<Self, reqwest::Error> {
        Ok(Self { provider: Provider::new(&config.issuer)?, config })
    }

    /// Who holds the token at `now`.
    ///
    /// # Errors
    /// [`Refusal`] says whether the token is no good, or whether that can't be told now.
    pub async fn holder(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        if token.len() > LONGEST_TOKEN {
            return Err(Refusal::Invalid);
        }
        let header = decode_header(token).map_err(|_| Refusal::Invalid)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refusal::Invalid);
        }
        let key =
            self.provider.key(header.kid.as_deref(), header.alg).await.map_err(|Unavailable| Refusal::Unavailable)?;
        let claims = self.claims(token, &key.ok_or(Refusal::Invalid)?, header.alg)?;
        if !is_current(&claims, now) {
            return Err(Refusal::Invalid);
        }
        claims::caller(&claims, &self.config).ok_or(Refusal::Invalid)
    }

    /// What the token claims, where its signature, issuer and audience are right.
    fn claims(&self, token: &str, key: &Arc<DecodingKey>, algorithm: Algorithm) -> Result<Map<String, Value>, Refusal> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // With and without the slash that URLs end in: providers write it either way.
        let issuer = self.config.issuer.as_str();
        validation.set_issuer(&[issuer, issuer.trim_end_matches('/')]);
        validation.set_audience(&[&self.config.audience]);
        // By the clock of the gateway: see `is_current`.
        validation.validate_exp = false;
        decode(token, key, &validation).map(|token| token.claims).map_err(|_| Refusal::Invalid)
    }
}

/// Whether `now` lies between `nbf`, where there is one, and `exp`, which there must be.
fn is_current(claims: &Map<String, Value>, now: Timestamp) -> bool {
    let (now, leeway) = (now.as_second() as f64, LEEWAY.as_secs_f64());
    let expires = claims.get("exp").and_then(Value::as_f64);
    let begins = claims.get("nbf").map_or(Some(f64::MIN), Value::as_f64);
    expires.is_some_and(|expires| now < expires + leeway) && begins.is_some_and(|begins| begins - leeway <= now)
}

#[cfg(test)]
mod tests;
