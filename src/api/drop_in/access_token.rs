//! Access tokens of our own: signed, so that nothing has to be remembered of them.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// How long a token is valid: as long as upstream's at most, since SDKs reckon with that.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// What upstream's own short tokens begin with.
const PREFIX: &str = "t-";

/// Keeps our key apart from any other use of the secret that it is made from.
const PURPOSE: &[u8] = b"feishu-pulse access tokens, version 1\0";

/// Bytes of the signature.
const PROOF: usize = 32;

/// Issues access tokens, and tells genuine ones from others.
///
/// A token says who holds it and until when, and is signed (HMAC-SHA-256) with a key made from the secret of the app:
/// so tokens outlive a restart and are good at every replica, and only who knows that secret, and could ask Feishu
/// directly, can forge one.
#[derive(Clone)]
pub struct AccessTokens {
    key: Arc<Hmac<Sha256>>,
}

/// Whom a token was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub Arc<str>);

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is none of this service, or has expired")]
pub struct InvalidToken;

impl AccessTokens {
    /// Tokens under a key that is made from the secret of the app.
    #[must_use]
    pub fn new(app_secret: &SecretString) -> Self {
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(app_secret.expose_secret()).finalize();
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..digest.len()].copy_from_slice(&digest);
        Self { key: Arc::new(Hmac::new(&key)) }
    }

    /// A token for `holder`, valid from `now` for [`LIFETIME`].
    #[must_use]
    pub fn issue(&self, holder: &Holder, now: Timestamp) -> String {
        let expires = now.as_second().saturating_add_unsigned(LIFETIME.as_secs());
        // Two tokens of one second still differ, so that logs can tell them apart.
        let claims = [&expires.to_be_bytes(), &fastrand::u64(..).to_be_bytes(), holder.0.as_bytes()].concat();
        let proof = self.sign(&claims).finalize().into_bytes();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&claims, proof.as_slice()].concat()))
    }

    /// Who holds the token.
    ///
    /// # Errors
    /// Where it was not issued here, or is not valid at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Holder, InvalidToken> {
        self.read(token, now).ok_or(InvalidToken)
    }

    fn read(&self, token: &str, now: Timestamp) -> Option<Holder> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (claims, proof) = bytes.split_last_chunk::<PROOF>()?;
        // Compares in constant time.
        self.sign(claims).verify_slice(proof).ok()?;
        let (expires, rest) = claims.split_first_chunk::<8>()?;
        let (_, holder) = rest.split_first_chunk::<8>()?;
        let holder = Holder(std::str::from_utf8(holder).ok()?.into());
        (now.as_second() < i64::from_be_bytes(*expires)).then_some(holder)
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
    fn a_token_names_its_holder_for_two_hours_after_a_restart_too() {
        let holder = Holder("etl".into());
        let token = tokens("secret").issue(&holder, after(0));

        let restarted = tokens("secret");

        assert_eq!(restarted.verify(&token, after(7199)), Ok(holder));
        assert_eq!(restarted.verify(&token, after(7200)), Err(InvalidToken));
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        let holder = Holder("etl".into());
        assert_ne!(tokens("secret").issue(&holder, after(0)), tokens("secret").issue(&holder, after(0)));
    }

    #[test]
    fn a_token_under_another_secret_is_not_accepted() {
        let token = tokens("another secret").issue(&Holder("etl".into()), after(0));
        assert_eq!(tokens("secret").verify(&token, after(1)), Err(InvalidToken));
    }

    proptest! {
        #[test]
        fn a_token_with_any_bit_changed_is_not_accepted(at in 0_usize..51, bit in 0_u8..8) {
            let token = tokens("secret").issue(&Holder("etl".into()), after(0));
            let mut bytes = URL_SAFE_NO_PAD.decode(&token[2..]).unwrap();
            bytes[at] ^= 1 << bit;
            let forged = format!("t-{}", URL_SAFE_NO_PAD.encode(bytes));
            prop_assert_eq!(tokens("secret").verify(&forged, after(1)), Err(InvalidToken));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
            let verified = tokens("secret").verify(&format!("t-{text}"), after(0));
            prop_assert_eq!(verified, Err(InvalidToken));
        }
    }
}
