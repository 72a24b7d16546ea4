//! The header fields of a caller's rate limit, after the IETF draft "`RateLimit` header fields for HTTP".

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::retry_after_seconds;
use crate::access::RateLimitStatus;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Sets the fields for a caller's rate limit.
pub fn set_rate_limit_headers(status: RateLimitStatus, headers: &mut HeaderMap) {
    let RateLimitStatus { limit, remaining, full_in, .. } = status;
    let window = RateLimitStatus::WINDOW.as_secs();
    let fields = [
        (RATE_LIMIT, format!("\"requests\";r={remaining};t={}", retry_after_seconds(full_in))),
        (RATE_LIMIT_POLICY, format!("\"requests\";q={limit};w={window}")),
    ];
    for (name, value) in fields {
        // The answer of another replica has these headers already.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}
