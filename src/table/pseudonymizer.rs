//! Replaces user ids with keyed hashes, so that they can't be recomputed from user ids without the key.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// The prefix of every pseudonym, which no id of Feishu has.
const PSEUDONYM_PREFIX: &str = "ps_";

/// Domain separation: other uses of the same key give different hashes.
const HASH_DOMAIN: &[u8] = b"feishu-pulse pseudonyms, version 1\0";

/// The length of the hash in a pseudonym, in bytes. With a billion people, the probability of a collision is about
/// 1.5 × 10⁻²¹.
const PSEUDONYM_HASH_BYTES: usize = 16;

/// Derives pseudonyms from user ids by HMAC-SHA-256. With the same key, a user id always has the same pseudonym.
#[derive(Clone)]
pub struct Pseudonymizer {
    hmac: Arc<Hmac<Sha256>>,
}

impl Pseudonymizer {
    /// A pseudonymizer with this key, which should be long and random.
    #[must_use]
    pub fn new(key: &SecretString) -> Self {
        let digest = Sha256::new().chain_update(HASH_DOMAIN).chain_update(key.expose_secret()).finalize();
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..digest.len()].copy_from_slice(&digest);
        Self { hmac: Arc::new(Hmac::new(&key)) }
    }

    /// The pseudonym for a user id.
    #[must_use]
    pub fn pseudonym(&self, user_id: &str) -> String {
        let hash = Hmac::clone(&self.hmac).chain_update(user_id).finalize().into_bytes();
        format!("{PSEUDONYM_PREFIX}{}", URL_SAFE_NO_PAD.encode(&hash[..PSEUDONYM_HASH_BYTES]))
    }
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymizer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_depends_only_on_the_user_id_and_the_key() {
        let pseudonymizer = Pseudonymizer::new(&"one key".into());
        assert_eq!(pseudonymizer.pseudonym("ou_1"), Pseudonymizer::new(&"one key".into()).pseudonym("ou_1"));
        assert_ne!(pseudonymizer.pseudonym("ou_1"), pseudonymizer.pseudonym("ou_2"));
        assert_ne!(pseudonymizer.pseudonym("ou_1"), Pseudonymizer::new(&"another".into()).pseudonym("ou_1"));
    }

    #[test]
    fn a_pseudonym_has_a_prefix_that_feishu_does_not_use() {
        let pseudonym = Pseudonymizer::new(&"one key".into()).pseudonym("ou_1");
        assert!(pseudonym.starts_with("ps_") && pseudonym.len() == 25, "{pseudonym}");
    }
}
