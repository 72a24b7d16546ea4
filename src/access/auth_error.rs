//! Why authentication failed.

use std::time::Duration;

/// Why a request could not be authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The credentials are unknown, expired or revoked.
    #[error("the credentials are invalid or have expired")]
    Invalid,
    /// The credentials are unknown, expired or revoked, like too many others that the same peer has sent.
    #[error("the credentials are invalid or have expired, like too many others from the same address")]
    TooManyFailures {
        /// Time until wrong credentials of the peer are answered with [`Self::Invalid`] again.
        retry_after: Duration,
    },
    /// The identity provider cannot be reached, so the token cannot be verified. A retry may succeed.
    #[error("the identity provider cannot be reached, so the token cannot be verified")]
    Unavailable,
}
