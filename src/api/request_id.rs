//! Request ids, by which a response is matched to its log lines.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};

/// The header with the id, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: the client's own if it is valid, otherwise a random one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Assigns an id to the request and sets it on the response.
pub async fn assign(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    id.set_header(&mut response);
    response
}

impl RequestId {
    /// The id of a request with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_valid(id));
        Self(sent.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned))
    }

    /// Sets the header of the response.
    pub fn set_header(&self, response: &mut Response) {
        response.headers_mut().extend(HeaderValue::from_str(&self.0).ok().map(|id| (X_REQUEST_ID, id)));
    }
}

/// At most 64 safe characters, because the id is written to the log.
fn is_valid(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(String::new())))
    }
}
