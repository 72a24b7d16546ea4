//! The drop-in API: Feishu's own endpoints, so that an official SDK works after a change of its base URL.
//!
//! A request is parsed as Feishu parses it, answered by the query engine, and the response has Feishu's format. Credentials,
//! access tokens and page tokens of callers are never sent to Feishu.

pub mod access_token;
pub mod admin_user_stat;
mod authenticate;
pub mod feishu_error;
pub mod page_token;
pub mod stats;
pub mod stats_query;
pub mod token;

use axum::middleware::from_fn;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use access_token::AccessTokens;
pub use feishu_error::{FeishuError, RenderFeishuErrors};

use super::{authorization::with_security, prefer, route_policy::RoutePolicy, state::ApiState};

/// Prefix of the paths of the drop-in API.
pub const PATH_PREFIX: &str = "/open-apis/";

/// Name of the security scheme in the OpenAPI document.
pub const TENANT_TOKEN_SCHEME: &str = "tenant_access_token";

/// The endpoints of the drop-in API. They authenticate their callers.
pub fn routes() -> OpenApiRouter<ApiState> {
    let (schemas, paths, stats) = with_security(authenticate::POLICY, TENANT_TOKEN_SCHEME, routes!(stats::get));
    OpenApiRouter::new()
        .routes((schemas, paths, stats.route_layer(from_fn(prefer::apply_preference))))
        .routes(with_security(RoutePolicy::Public, TENANT_TOKEN_SCHEME, routes!(token::post)))
}
