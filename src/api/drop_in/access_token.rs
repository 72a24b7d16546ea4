//! Access tokens of the drop-in API. They are signed, so the service stores no state for them.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Validity of a token: the maximum validity of Feishu's tokens, which SDKs expect.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Prefix of Feishu's short tenant access tokens.
const TOKEN_PREFIX: &str = "t-";

/// Domain separation: no other use of the app secret derives the same key.
const KEY_CONTEXT: &[u8] = b"feishu-pulse access tokens, version 1\0";

/// Length of the signature in bytes.
const SIGNATURE_BYTES: usize = 32;

/// Issues and verifies access tokens.
///
/// A token contains its subject and expiry, signed with HMAC-SHA-256. The key is derived from the secret of the app, so
/// tokens stay valid after a restart and at every replica. Only somebody who knows the app secret, and could call Feishu
/// directly, can forge a token.
#[derive(Clone)]
pub struct AccessTokens {
    key: Arc<Hmac<Sha256>>,
}

/// The caller that a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSubject(pub Arc<str>);

/// The token is not genuine, or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token was not issued by this service, or has expired")]
pub struct InvalidToken;

impl AccessTokens {
    /// Derives the signing key from the secret of the app.
    #[must_use]
    pub fn new(app_secret: &SecretString) -> Self {
        let digest = Sha256::new().chain_update(KEY_CONTEXT).chain_update(app_secret.expose_secret()).finalize();
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..digest.len()].copy_from_slice(&digest);
        Self { key: Arc::new(Hmac::new(&key)) }
    }

    /// A token for `subject` that is valid from `now` for [`TOKEN_LIFETIME`].
    #[must_use]
    pub fn issue(&self, subject: &TokenSubject, now: Timestamp) -> String {
        let expires = now.as_second().saturating_add_unsigned(TOKEN_LIFETIME.as_secs());
        // The random number makes two tokens of the same second differ.
        let claims = [&expires.to_be_bytes(), &fastrand::u64(..).to_be_bytes(), subject.0.as_bytes()].concat();
        let signature = self.sign(&claims).finalize().into_bytes();
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode([&claims, signature.as_slice()].concat()))
    }

    /// The subject of the token.
    ///
    /// # Errors
    /// If the token was not issued by this service, or has expired at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<TokenSubject, InvalidToken> {
        self.verified_subject(token, now).ok_or(InvalidToken)
    }

    fn verified_subject(&self, token: &str, now: Timestamp) -> Option<TokenSubject> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN_PREFIX)?).ok()?;
        let (claims, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>()?;
        // Compares in constant time.
        self.sign(claims).verify_slice(signature).ok()?;
        let (expires, rest) = claims.split_first_chunk::<8>()?;
        let (_, subject) = rest.split_first_chunk::<8>()?;
        let subject = TokenSubject(std::str::from_utf8(subject).ok()?.into());
        (now.as_second() < i64::from_be_bytes(*expires)).then_some(subject)
    }

    fn sign(&self, claims: &[u8]) -> Hmac<Sha256> {
        Hmac::clone(&self.key).chain_update(claims)
    }
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokens")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(secret: &str) -> AccessTokens {
        AccessTokens::new(&secret.into())
    }

    fn after(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_valid_for_two_hours_even_after_a_restart() {
        let subject = TokenSubject("etl".into());
        let token = tokens("secret").issue(&subject, after(0));

        let restarted = tokens("secret");

        assert_eq!(restarted.verify(&token, after(7199)), Ok(subject));
        assert_eq!(restarted.verify(&token, after(7200)), Err(InvalidToken));
    }

    #[test]
    fn two_tokens_are_never_equal() {
        let subject = TokenSubject("etl".into());
        assert_ne!(tokens("secret").issue(&subject, after(0)), tokens("secret").issue(&subject, after(0)));
    }

    #[test]
    fn a_token_signed_with_another_secret_is_rejected() {
        let token = tokens("another secret").issue(&TokenSubject("etl".into()), after(0));
        assert_eq!(tokens("secret").verify(&token, after(1)), Err(InvalidToken));
    }

    proptest! {
        #[test]
        fn a_token_with_a_changed_bit_is_rejected(at in 0_usize..51, bit in 0_u8..8) {
            let token = tokens("secret").issue(&TokenSubject("etl".into()), after(0));
            let mut bytes = URL_SAFE_NO_PAD.decode(&token[2..]).unwrap();
            bytes[at] ^= 1 << bit;
            let forged = format!("t-{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(tokens("secret").verify(&forged, after(1)), Err(InvalidToken));
        }

        #[test]
        fn verifying_any_text_does_not_panic(text in "\\PC{0,80}") {
            let verified = tokens("secret").verify(&format!("t-{text}"), after(0));
            prop_assert_eq!(verified, Err(InvalidToken));
        }
    }
}
