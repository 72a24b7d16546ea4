//! Floor 4: who asks, what they may see, and how much of the service is theirs.
//!
//! ```text
//! bearer   an access key of ours, or a token of the company's identity provider
//! caller   a name, scopes, and the view of the days that is shown to them
//! ```
//!
//! Nothing here knows of routes: which of them needs which scope is decided in one table of the API.

pub mod caller;
pub mod fair_use;
pub mod gatekeeper;
pub mod key;
pub mod keys;
pub mod keys_file;
pub mod oidc;

pub use caller::{Caller, Scope, Scopes};
pub use fair_use::{FairUse, Standing};
pub use gatekeeper::{AccessConfig, Gatekeeper, Refusal, UnusableAccess};
pub use key::{AccessKey, Fingerprint};
pub use keys::{KeyLine, Keys, LineFault};
pub use keys_file::KeysFile;
pub use oidc::{Oidc, OidcConfig};
