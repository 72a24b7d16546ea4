//! Access tokens: issued again while they have half an hour left, replaced after that, valid until they expire.

use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

use crate::sim::{
    SimConfig, TokenStyle,
    chance::{draw, mix_text},
    shared::Shared,
};

/// With less than this left, a token is not given out again.
const WORTH_KEEPING: Duration = Duration::from_secs(30 * 60);

/// A token as the token path gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) token: String,
    /// Whole seconds that remain.
    pub(crate) expire: u64,
}

/// All tokens issued so far.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    seed: u64,
    ttl: Duration,
    style: TokenStyle,
    book: Shared<Book>,
}

#[derive(Debug, Default)]
struct Book {
    valid: Vec<Issued>,
    /// How many were ever issued.
    count: u64,
}

#[derive(Clone, Debug)]
struct Issued {
    token: String,
    expires: Instant,
}

impl AccessTokens {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let (seed, ttl, style) = (config.seed, config.token_ttl, config.token_style);
        Self { seed, ttl, style, book: Shared::default() }
    }

    /// The newest token if it is worth keeping, else a new one.
    pub(crate) fn grant(&self, now: Instant) -> Grant {
        let mut book = self.book.lock();
        book.valid.retain(|issued| issued.expires > now);
        let kept = book.valid.last().filter(|issued| issued.expires - now >= WORTH_KEEPING).cloned();
        let issued = kept.unwrap_or_else(|| {
            book.count += 1;
            let issued = Issued { token: self.make(book.count), expires: now + self.ttl };
            book.valid.push(issued.clone());
            issued
        });
        Grant { token: issued.token, expire: (issued.expires - now).as_secs() }
    }

    pub(crate) fn is_valid(&self, token: &str, now: Instant) -> bool {
        self.book.lock().valid.iter().any(|issued| issued.token == token && issued.expires > now)
    }

    /// From now on none of the tokens issued so far is valid.
    pub(crate) fn revoke_all(&self) {
        self.book.lock().valid.clear();
    }

    fn make(&self, number: u64) -> String {
        let mut rng = draw(&[self.seed, mix_text("access_token"), number]);
        let mut bytes = |count: usize| -> Vec<u8> { (0..count).map(|_| rng.u8(..)).collect() };
        match self.style {
            TokenStyle::Short => bytes(16).iter().fold("t-".to_owned(), |mut token, byte| {
                // Writing to a string cannot fail.
                let _ = write!(token, "{byte:02x}");
                token
            }),
            TokenStyle::Jwt => {
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

    fn tokens(ttl: u64, style: TokenStyle) -> AccessTokens {
        let token_ttl = Duration::from_secs(ttl);
        AccessTokens::new(&SimConfig { token_ttl, token_style: style, ..SimConfig::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_given_again_until_half_an_hour_is_left() {
        let tokens = tokens(7200, TokenStyle::Short);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);

        let first = tokens.grant(at(0));
        let kept = tokens.grant(at(5400));
        let second = tokens.grant(at(5401));

        assert_eq!((first.expire, kept.expire, second.expire), (7200, 1800, 7200));
        assert_eq!(first.token, kept.token);
        assert_ne!(first.token, second.token);
        assert!(tokens.is_valid(&first.token, at(7199)) && tokens.is_valid(&second.token, at(7199)));
        assert!(!tokens.is_valid(&first.token, at(7200)) && tokens.is_valid(&second.token, at(7200)));
    }

    #[tokio::test(start_paused = true)]
    async fn revoking_ends_all_tokens_and_the_next_is_another() {
        let tokens = tokens(7200, TokenStyle::Jwt);
        let now = Instant::now();
        let first = tokens.grant(now);

        tokens.revoke_all();
        let second = tokens.grant(now);

        assert!(!tokens.is_valid(&first.token, now) && tokens.is_valid(&second.token, now));
        assert!((3500..=4096).contains(&first.token.len()), "{}", first.token.len());
    }
}
