//! Pseudonyms: ids of people that only who knows the key can lead back to them.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// What every pseudonym begins with, so that nobody takes one for an id of Feishu's.
const PREFIX: &str = "ps_";

/// Keeps these hashes apart from any other use of the key.
const PURPOSE: &[u8] = b"feishu-pulse pseudonyms, version 1\0";

/// Bytes of the hash that are shown: two of a billion people meet with a chance of 1 in 10^20.
const SHOWN: usize = 16;

/// Gives people pseudonyms: keyed hashes (HMAC-SHA-256) of their ids. The same id has the same pseudonym for as long as
/// the key stays the same.
#[derive(Clone)]
pub struct Pseudonyms {
    keyed: Arc<Hmac<Sha256>>,
}

impl Pseudonyms {
    /// Pseudonyms under a key, which should be long and random.
    #[must_use]
    pub fn new(key: &SecretString) -> Self {
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(key.expose_secret()).finalize();
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..digest.len()].copy_from_slice(&digest);
        Self { keyed: Arc::new(Hmac::new(&key)) }
    }

    /// The pseudonym of the person with that id.
    #[must_use]
    pub fn of(&self, user_id: &str) -> String {
        let hash = Hmac::clone(&self.keyed).chain_update(user_id).finalize().into_bytes();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&hash[..SHOWN]))
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_keeps_the_pseudonym_for_as_long_as_the_key_is_the_same() {
        let one = Pseudonyms::new(&"one key".into());
        assert_eq!(one.of("ou_1"), Pseudonyms::new(&"one key".into()).of("ou_1"));
        assert_ne!(one.of("ou_1"), one.of("ou_2"));
        assert_ne!(one.of("ou_1"), Pseudonyms::new(&"another".into()).of("ou_1"));
    }

    #[test]
    fn a_pseudonym_looks_like_none_of_feishus_ids() {
        let pseudonym = Pseudonyms::new(&"one key".into()).of("ou_1");
        assert!(pseudonym.starts_with("ps_") && pseudonym.len() == 25, "{pseudonym}");
    }
}
