//! Which web pages of other origins may read answers. None, unless the operator names them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

/// How long a browser may remember that it asked.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// Lets pages of these origins read answers; `None` where there are none. Credentials are sent by the page itself, in the
/// header `Authorization`; a browser adds none of its own.
#[must_use]
pub fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let name = HeaderName::from_static;
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            name("prefer"),
            name("x-request-id"),
            name("x-pulse-extended"),
        ])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            header::CONTENT_DISPOSITION,
            header::WWW_AUTHENTICATE,
            name("cache-status"),
            name("preference-applied"),
            name("ratelimit"),
            name("ratelimit-policy"),
            name("x-request-id"),
        ])
        .max_age(REMEMBERED);
    (!origins.is_empty()).then_some(layer)
}
