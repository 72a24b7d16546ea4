//! Tokens of the company's identity provider (OpenID Connect): signed JWTs, checked here without asking it.

mod claims;
mod provider;

use std::{ops::Range, sync::Arc, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use moka::sync::Cache;
use reqwest::Url;
use serde_json::{Map, Value};

use self::provider::{Edition, Provider, Unavailable};
use super::{caller::Caller, gatekeeper::Refusal, key::Fingerprint};

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

/// Tokens whose holder is remembered. Who holds one that was forgotten is found out again by its signature.
const REMEMBERED: u64 = 16_384;

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
    verified: Cache<Fingerprint, Arc<Verified>>,
}

/// A token whose signature was checked.
#[derive(Debug)]
struct Verified {
    holder: Caller,
    /// When it is valid, in seconds of Unix time.
    valid: Range<f64>,
    /// The keys that it was checked with: with others it is to be checked anew.
    edition: Edition,
}

impl Oidc {
    /// Tokens of a provider, which is asked for its keys when the first token comes.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(config: OidcConfig) -> Result<Self, reqwest::Error> {
        let verified = Cache::new(REMEMBERED);
        Ok(Self { provider: Provider::new(&config.issuer)?, config, verified })
    }

    /// Who holds the token at `now`, where its signature was checked before with the keys that count now.
    #[must_use]
    pub fn known(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let edition = self.provider.edition()?;
        let verified = self.verified.get(&Fingerprint::of(token))?;
        (verified.edition == edition && is_within(&verified.valid, now)).then(|| verified.holder.clone())
    }

    /// Who holds the token at `now`.
    ///
    /// # Errors
    /// [`Refusal`] says whether the token is no good, or whether that can't be told now.
    pub async fn holder(&self, token: &str, now: Timestamp) -> Result<Caller, Refusal> {
        if token.len() > LONGEST_TOKEN {
            return Err(Refusal::Invalid);
        }
        if let Some(holder) = self.known(token, now) {
            return Ok(holder);
        }
        let header = decode_header(token).map_err(|_| Refusal::Invalid)?;
        // What must be understood and is not here (RFC 7515, section 4.1.11) makes a token one of something else.
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(Refusal::Invalid);
        }
        let key = self.provider.key(header.kid.as_deref(), header.alg).await;
        let (key, edition) = key.map_err(|Unavailable| Refusal::Unavailable)?.ok_or(Refusal::Invalid)?;
        let claims = self.claims(token, &key, header.alg)?;
        let valid = validity(&claims).filter(|valid| is_within(valid, now)).ok_or(Refusal::Invalid)?;
        let holder = claims::caller(&claims, &self.config).ok_or(Refusal::Invalid)?;
        let verified = Verified { holder: holder.clone(), valid, edition };
        self.verified.insert(Fingerprint::of(token), Arc::new(verified));
        Ok(holder)
    }

    /// What the token claims, where its signature, issuer and audience are right.
    fn claims(&self, token: &str, key: &Arc<DecodingKey>, algorithm: Algorithm) -> Result<Map<String, Value>, Refusal> {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // With and without the slash that URLs end in: providers write it either way.
        let issuer = self.config.issuer.as_str();
        let without = issuer.strip_suffix('/').unwrap_or(issuer);
        validation.set_issuer(&[without, &format!("{without}/")]);
        validation.set_audience(&[&self.config.audience]);
        // By the clock of the gateway: see `validity`.
        validation.validate_exp = false;
        decode(token, key, &validation).map(|token| token.claims).map_err(|_| Refusal::Invalid)
    }
}

/// From `nbf`, where there is one, to `exp`, which there must be; `None` where they make no sense.
fn validity(claims: &Map<String, Value>) -> Option<Range<f64>> {
    let expires = claims.get("exp").and_then(Value::as_f64)?;
    let begins = claims.get("nbf").map_or(Some(f64::MIN), Value::as_f64)?;
    let leeway = LEEWAY.as_secs_f64();
    Some(begins - leeway..expires + leeway)
}

fn is_within(valid: &Range<f64>, now: Timestamp) -> bool {
    valid.contains(&(now.as_second() as f64))
}

#[cfg(test)]
mod tests;
