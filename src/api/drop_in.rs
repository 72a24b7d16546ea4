//! Drop-in: upstream's own contract in front of our engine, so that an official SDK works by changing one base URL.
//!
//! Nothing here goes to upstream: not the caller's credentials, not its tokens, not its page tokens. A call is read as
//! upstream would read it, answered by the engine like any other, and written as upstream would write it.

pub mod access_token;
pub mod failure;
pub mod item;
pub mod page_token;
pub mod query;
pub mod stats;
pub mod token;

use axum::http::HeaderName;

pub use access_token::AccessTokens;
pub use failure::{Failure, render};

/// The name of the security scheme in the OpenAPI document.
pub const BEARER: &str = "tenant_access_token";

/// The header in which upstream tells its limit.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ogw-ratelimit-limit");
