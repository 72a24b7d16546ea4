//! [`FleetKey`], which signs the requests between the replicas of a fleet.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use moka::{policy::EvictionPolicy, sync::Cache};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::record::{LeaderAddress, random_id};

/// Domain separation: no other use of the app secret derives the same key.
const KEY_CONTEXT: &[u8] = b"feishu-pulse requests between replicas, version 1\0";

/// Domain separation: a signature of a request is not the proof of an address. A request has an id before its first line end.
const PROOF_CONTEXT: &[u8] = b"\naddress of a replica\n";

/// The header of the signature. `Authorization` has the credentials of the caller in a request that is passed on.
pub const SIGNATURE_HEADER: &str = "pulse-fleet-signature";

/// The header with the id of the replica that sends a request.
pub const SENDER_HEADER: &str = "pulse-fleet-replica";

/// The header of an answer to a request whose signature is refused: the time of the receiver in seconds since the Unix
/// epoch. The sender can sign again with it, so that the clocks of the replicas need not agree.
pub const TIME_HEADER: &str = "pulse-fleet-time";

/// A request is accepted if its time differs by less from the receiver's clock.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);

/// Number of nonces that are remembered, so that a request is accepted once: 100 requests a second.
const MAX_NONCES: u64 = 60_000;

/// The key of a fleet, derived from the secret of the app, which all replicas have.
#[derive(Clone)]
pub struct FleetKey {
    key: Arc<Hmac<Sha256>>,
}

/// Checks the signatures of received requests. A request is accepted once.
#[derive(Clone, Debug)]
pub struct SignatureVerifier {
    key: FleetKey,
    nonces: Cache<String, ()>,
}

/// The parts of a request that are signed.
#[derive(Clone, Copy, Debug)]
pub struct SignedParts<'a> {
    /// The id of the replica that sends the request, which is in [`SENDER_HEADER`].
    pub sender: &'a str,
    /// The id of the replica that receives the request, so that no other replica accepts a copy.
    pub receiver: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path and the query.
    pub path: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Why a request is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is missing, or was not made with this key over this request.
    #[error("the signature is missing or wrong: do all replicas have the same app secret?")]
    Wrong,
    /// The clocks of the two replicas differ too much, or the request is old.
    #[error("the request was signed at another time: the clocks of two replicas differ by more than 5 min")]
    OtherTime,
    /// The same request was received before.
    #[error("the request was received before")]
    Repeated,
}

impl FleetKey {
    /// Derives the key from the secret of the app.
    #[must_use]
    pub fn new(app_secret: &SecretString) -> Self {
        let digest = Sha256::new().chain_update(KEY_CONTEXT).chain_update(app_secret.expose_secret()).finalize();
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        key[..digest.len()].copy_from_slice(&digest);
        Self { key: Arc::new(Hmac::new(&key)) }
    }

    /// The value of [`SIGNATURE_HEADER`] for a request that is sent at `now`.
    #[must_use]
    pub fn sign(&self, request: SignedParts<'_>, now: Timestamp) -> String {
        let (seconds, nonce) = (now.as_second().to_string(), random_id());
        let signature = self.mac(request, &seconds, &nonce).finalize().into_bytes();
        format!("{seconds}.{nonce}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn mac(&self, request: SignedParts<'_>, seconds: &str, nonce: &str) -> Hmac<Sha256> {
        let SignedParts { sender, receiver, method, path, body } = request;
        let body = Sha256::digest(body);
        let lines =
            [sender, receiver, method, path, seconds, nonce].into_iter().flat_map(|line| [line.as_bytes(), b"\n"]);
        lines.chain([body.as_slice()]).fold(Hmac::clone(&self.key), Hmac::chain_update)
    }

    /// The proof that the replica with this id and address has the key.
    #[must_use]
    pub fn proof(&self, id: &str, address: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.proof_mac(id, address).finalize().into_bytes())
    }

    /// Whether the replica with this id and address has the key.
    #[must_use]
    pub fn is_proven(&self, LeaderAddress { id, address, proof }: &LeaderAddress) -> bool {
        let proof = URL_SAFE_NO_PAD.decode(proof).unwrap_or_default();
        self.proof_mac(id, address).verify_slice(&proof).is_ok()
    }

    fn proof_mac(&self, id: &str, address: &str) -> Hmac<Sha256> {
        let parts = [PROOF_CONTEXT, id.as_bytes(), b"\n", address.as_bytes()];
        parts.into_iter().fold(Hmac::clone(&self.key), Hmac::chain_update)
    }
}

impl SignatureVerifier {
    /// Accepts requests that were signed with `key`.
    #[must_use]
    pub fn new(key: FleetKey) -> Self {
        // A request is accepted from 5 min before to 5 min after its time, which is in whole seconds.
        let lifetime = 2 * MAX_CLOCK_DIFFERENCE + Duration::from_secs(1);
        // The default policy can refuse a new nonce when the cache is full.
        let nonces = Cache::builder().max_capacity(MAX_NONCES).eviction_policy(EvictionPolicy::lru());
        Self { key, nonces: nonces.time_to_live(lifetime).build() }
    }

    /// Checks the value of [`SIGNATURE_HEADER`] of a request that is received at `now`.
    ///
    /// # Errors
    /// [`SignatureError`] if the request is not accepted.
    pub fn verify(&self, request: SignedParts<'_>, header: &str, now: Timestamp) -> Result<(), SignatureError> {
        let mut fields = header.splitn(3, '.');
        let (Some(seconds), Some(nonce), Some(signature)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(SignatureError::Wrong);
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| SignatureError::Wrong)?;
        // Compares in constant time.
        self.key.mac(request, seconds, nonce).verify_slice(&signature).map_err(|_| SignatureError::Wrong)?;
        let seconds: i64 = seconds.parse().map_err(|_| SignatureError::Wrong)?;
        if seconds.abs_diff(now.as_second()) > MAX_CLOCK_DIFFERENCE.as_secs() {
            return Err(SignatureError::OtherTime);
        }
        if self.nonces.entry(nonce.to_owned()).or_insert(()).is_fresh() {
            Ok(())
        } else {
            Err(SignatureError::Repeated)
        }
    }
}

impl std::fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FleetKey")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: SignedParts<'_> =
        SignedParts { sender: "a", receiver: "b", method: "POST", path: "/fleet/v1/day", body: b"{}" };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn verifier(secret: &str) -> SignatureVerifier {
        SignatureVerifier::new(FleetKey::new(&secret.into()))
    }

    #[test]
    fn a_request_is_accepted_once_within_five_minutes() {
        let header = FleetKey::new(&"secret".into()).sign(REQUEST, at(0));
        for difference in [-300, 0, 300] {
            let verifier = verifier("secret");
            assert_eq!(verifier.verify(REQUEST, &header, at(difference)), Ok(()));
            assert_eq!(verifier.verify(REQUEST, &header, at(difference)), Err(SignatureError::Repeated));
        }
        for difference in [-301, 301] {
            assert_eq!(verifier("secret").verify(REQUEST, &header, at(difference)), Err(SignatureError::OtherTime));
        }
    }

    #[test]
    fn another_request_or_another_secret_is_refused() {
        let header = FleetKey::new(&"secret".into()).sign(REQUEST, at(0));
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(verifier("other").verify(REQUEST, &header, at(0)), wrong);
        assert_eq!(verifier("secret").verify(SignedParts { path: "/fleet/v1/x", ..REQUEST }, &header, at(0)), wrong);
        assert_eq!(verifier("secret").verify(SignedParts { body: b"{ }", ..REQUEST }, &header, at(0)), wrong);
        assert_eq!(verifier("secret").verify(SignedParts { receiver: "c", ..REQUEST }, &header, at(0)), wrong);
        assert_eq!(verifier("secret").verify(SignedParts { sender: "c", ..REQUEST }, &header, at(0)), wrong);
    }

    #[test]
    fn an_address_is_proven_by_the_secret() {
        let key = FleetKey::new(&"secret".into());
        let leader = |id: &str, address: &str, proof: String| LeaderAddress {
            id: id.to_owned(),
            address: address.to_owned(),
            proof,
        };
        let proof = || key.proof("a", "10.0.0.1:9091");
        assert!(key.is_proven(&leader("a", "10.0.0.1:9091", proof())));
        assert!(!key.is_proven(&leader("a", "10.0.0.2:9091", proof())));
        assert!(!key.is_proven(&leader("b", "10.0.0.1:9091", proof())));
        assert!(!key.is_proven(&leader("a", "10.0.0.1:9091", String::new())));
        assert!(!FleetKey::new(&"other".into()).is_proven(&leader("a", "10.0.0.1:9091", proof())));
    }

    proptest! {
        #[test]
        fn a_changed_or_invented_header_is_refused(text in "\\PC*", position in 6..100_usize, byte in any::<u8>()) {
            let verifier = verifier("secret");
            prop_assert_eq!(verifier.verify(REQUEST, &text, at(0)), Err(SignatureError::Wrong));
            let header = FleetKey::new(&"secret".into()).sign(REQUEST, at(0));
            let mut changed = header.clone().into_bytes();
            let position = position % changed.len();
            changed[position] = byte;
            let changed = String::from_utf8_lossy(&changed).into_owned();
            prop_assert_eq!(verifier.verify(REQUEST, &changed, at(0)).is_ok(), changed == header);
        }
    }
}
