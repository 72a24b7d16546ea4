//! CORS: allows web pages of configured origins to read responses.

use std::time::Duration;

use axum::http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{allowed_origins::AllowedOrigins, missing_days::MISSING_DAYS};

/// How long a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// A CORS layer for these origins; `None` if there are none. Browsers are not allowed to add cookies or other stored
/// credentials; a page sends its key in `Authorization`.
#[must_use]
pub(super) fn cors_layer(origins: &AllowedOrigins) -> Option<CorsLayer> {
    let name = HeaderName::from_static;
    let allowed = origins.clone();
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| allowed.contains(origin)))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            name("prefer"),
            name("traceparent"),
            name("tracestate"),
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
            MISSING_DAYS,
            name("ratelimit"),
            name("ratelimit-policy"),
            name("x-request-id"),
        ])
        .max_age(PREFLIGHT_MAX_AGE);
    (!origins.is_empty()).then_some(layer)
}
