//! Access tokens. Feishu returns the same token while it is valid for at least 30 minutes, then issues a new one.
//! Documented.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    AccessTokenStyle, SimulatorConfig,
    seeded_rng::{hash_text, rng_for},
};

/// A token with a shorter remaining lifetime is replaced by a new one.
const MIN_REUSE_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// A token and its remaining lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuedToken {
    pub(crate) token: String,
    /// Remaining lifetime in whole seconds.
    pub(crate) expire: u64,
}

/// Issues access tokens and validates them.
#[derive(Debug)]
pub(crate) struct AccessTokenIssuer {
    seed: u64,
    ttl: Duration,
    style: AccessTokenStyle,
    store: Mutex<TokenStore>,
}

#[derive(Debug, Default)]
struct TokenStore {
    valid: Vec<ValidToken>,
    /// The number of tokens issued so far, including expired and revoked ones.
    count: u64,
}

#[derive(Clone, Debug)]
struct ValidToken {
    token: String,
    expires: Instant,
}

impl AccessTokenIssuer {
    pub(crate) fn new(config: &SimulatorConfig) -> Self {
        let (seed, ttl, style) = (config.seed, config.token_ttl, config.access_token_style);
        Self { seed, ttl, style, store: Mutex::default() }
    }

    /// Returns the newest token if it is still valid for [`MIN_REUSE_LIFETIME`], else a new one.
    pub(crate) fn issue(&self, now: Instant) -> IssuedToken {
        let mut store = self.store.lock();
        store.valid.retain(|issued| issued.expires > now);
        let reusable = store.valid.last().filter(|issued| issued.expires - now >= MIN_REUSE_LIFETIME).cloned();
        let issued = reusable.unwrap_or_else(|| {
            store.count += 1;
            let issued = ValidToken { token: self.generate(store.count), expires: now + self.ttl };
            store.valid.push(issued.clone());
            issued
        });
        IssuedToken { token: issued.token, expire: (issued.expires - now).as_secs() }
    }

    pub(crate) fn is_valid(&self, token: &str, now: Instant) -> bool {
        self.store.lock().valid.iter().any(|issued| issued.token == token && issued.expires > now)
    }

    /// Revokes all tokens issued so far.
    pub(crate) fn revoke_all(&self) {
        self.store.lock().valid.clear();
    }

    fn generate(&self, number: u64) -> String {
        let mut rng = rng_for(&[self.seed, hash_text("access_token"), number]);
        let mut bytes = |count: usize| -> Vec<u8> { (0..count).map(|_| rng.u8(..)).collect() };
        match self.style {
            AccessTokenStyle::Short => bytes(16).iter().fold("t-".to_owned(), |mut token, byte| {
                // Writing to a string cannot fail.
                let _ = write!(token, "{byte:02x}");
                token
            }),
            AccessTokenStyle::Jwt => {
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"JWT"}"#);
                let [claims, signature] = [2900, 64].map(|count| URL_SAFE_NO_PAD.encode(bytes(count)));
                format!("{header}.{claims}.{signature}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ttl: u64, style: AccessTokenStyle) -> AccessTokenIssuer {
        let token_ttl = Duration::from_secs(ttl);
        AccessTokenIssuer::new(&SimulatorConfig { token_ttl, access_token_style: style, ..SimulatorConfig::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_issued_again_until_half_an_hour_is_left() {
        let tokens = tokens(7200, AccessTokenStyle::Short);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);

        let first = tokens.issue(at(0));
        let reusable = tokens.issue(at(5400));
        let second = tokens.issue(at(5401));

        assert_eq!((first.expire, reusable.expire, second.expire), (7200, 1800, 7200));
        assert_eq!(first.token, reusable.token);
        assert_ne!(first.token, second.token);
        assert!(tokens.is_valid(&first.token, at(7199)) && tokens.is_valid(&second.token, at(7199)));
        assert!(!tokens.is_valid(&first.token, at(7200)) && tokens.is_valid(&second.token, at(7200)));
    }

    #[tokio::test(start_paused = true)]
    async fn revoked_tokens_are_invalid_and_the_next_token_is_new() {
        let tokens = tokens(7200, AccessTokenStyle::Jwt);
        let now = Instant::now();
        let first = tokens.issue(now);

        tokens.revoke_all();
        let second = tokens.issue(now);

        assert!(!tokens.is_valid(&first.token, now) && tokens.is_valid(&second.token, now));
        assert!((3500..=4096).contains(&first.token.len()), "{}", first.token.len());
    }
}
