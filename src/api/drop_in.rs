//! The drop-in API: Feishu's own endpoints, so that an official SDK works after a change of its base URL.
//!
//! A request is parsed as Feishu parses it, answered by the query engine, and the response has Feishu's format. Credentials,
//! access tokens and page tokens of callers are never sent to Feishu.

pub mod access_token;
pub mod admin_user_stat;
pub mod feishu_error;
pub mod page_token;
pub mod stats;
pub mod stats_query;
pub mod token;

use axum::http::HeaderName;

pub use access_token::AccessTokens;
pub use feishu_error::{FeishuError, render};

/// Name of the security scheme in the OpenAPI document.
pub const TENANT_TOKEN_SCHEME: &str = "tenant_access_token";

/// Feishu's response header for the rate limit.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ogw-ratelimit-limit");
