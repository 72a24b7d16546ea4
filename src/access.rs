//! Access control: who the caller is, what they may see, and how many requests they may make.
//!
//! ```text
//! credentials  an access key (keys file), or a token of the company's identity provider (OpenID Connect)
//! caller       a name, scopes, and the part of the data that the caller may see
//! ```
//!
//! This module does not depend on routes: `api::authorization` maps each route to its required scope.

pub mod access_key;
pub mod access_keys;
pub mod auth_error;
pub mod authenticator;
pub mod caller;
pub mod keys_file;
pub mod oidc;
pub mod rate_limiter;

pub use access_key::{AccessKey, KeyHash};
pub use access_keys::{AccessKeys, KeyEntry, KeyLine, LineFault};
pub use auth_error::AuthError;
pub use authenticator::{AccessConfig, AccessConfigError, Authenticator};
pub use caller::{Caller, Scope, Scopes};
pub use keys_file::KeysFile;
pub use oidc::{OidcConfig, OidcVerifier};
pub use rate_limiter::RateLimitStatus;
