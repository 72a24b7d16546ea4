//! The id of a request, by which its answer and its log lines find each other.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};

/// The header that carries it, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the caller's own where it is sound, else one of ours.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Gives the request its id, and the answer the same.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    id.mark(&mut response);
    response
}

impl RequestId {
    /// The id of the request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sound(id));
        Self(sent.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned))
    }

    /// Gives the answer the id of its request.
    pub fn mark(&self, response: &mut Response) {
        response.headers_mut().extend(HeaderValue::from_str(&self.0).ok().map(|id| (REQUEST_ID, id)));
    }
}

/// Short and plain, so that it can do no harm in a log.
fn is_sound(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(String::new())))
    }
}
