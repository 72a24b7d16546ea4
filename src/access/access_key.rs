//! Access keys: 256 random bits, shown once. Only a hash is stored.

use std::{fmt, io};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The prefix of every key, by which secret scanners find a key that was committed to a repository.
pub const KEY_PREFIX: &str = "fpk_";

/// Random bytes in a key.
const RANDOM_BYTES: usize = 32;

/// An access key.
#[derive(Debug)]
pub struct AccessKey(SecretString);

/// SHA-256 of a secret with high entropy: an access key or a token. It cannot be guessed, so the hash needs no salt and
/// no stretching.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl AccessKey {
    /// Generates a key with the operating system's random generator.
    ///
    /// # Errors
    /// Fails if the generator does.
    pub fn random() -> io::Result<Self> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)).into()))
    }

    /// The key in plain text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// The hash of the key, which may be stored.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.reveal())
    }
}

impl KeyHash {
    /// Hashes a text.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Parses 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |index: usize| char::from(*text.as_bytes().get(index)?).to_digit(16);
        let byte = |index: usize| u8::try_from(digit(2 * index)? * 16 + digit(2 * index + 1)?).ok();
        let mut bytes = [0; 32];
        for (index, target) in bytes.iter_mut().enumerate() {
            *target = byte(index)?;
        }
        (text.len() == 64).then_some(Self(bytes))
    }
}

/// Takes the same time for all inputs, so timing does not reveal a common prefix.
impl ConstantTimeEq for KeyHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_unique_prefixed_and_hidden_in_debug_output() {
        let (one, other) = (AccessKey::random().unwrap(), AccessKey::random().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert!(one.reveal().starts_with("fpk_") && one.reveal().len() == 47);
        assert!(!format!("{one:?}").contains(&one.reveal()[4..]));
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_key() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_string(), known);
        assert_eq!(KeyHash::parse(known), Some(KeyHash::of("abc")));
    }

    proptest! {
        #[test]
        fn only_64_hexadecimal_digits_parse_as_a_hash(text in "\\PC{0,70}|[0-9a-fA-F]{60,68}") {
            let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            prop_assert_eq!(KeyHash::parse(&text).is_some(), is_one);
        }
    }
}
