//! Why authentication failed.

/// Why a request could not be authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The credentials are unknown, expired or revoked.
    #[error("the credentials are invalid or have expired")]
    Invalid,
    /// The identity provider cannot be reached, so the token cannot be verified. A retry may succeed.
    #[error("the identity provider cannot be reached, so the token cannot be verified")]
    Unavailable,
}
