//! Request ids, by which a response is matched to its log lines.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, HeaderName, HeaderValue, Request},
    response::Response,
};

use super::{
    middleware::{Finish, Middleware, Served},
    request_facts::RequestFacts,
};

/// The header with the id, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer that assigns an id to each request and sets it on the response. It creates the [`RequestFacts`].
#[derive(Clone, Copy, Debug)]
pub struct AssignRequestId;

/// Sets the id on the response.
#[derive(Debug)]
pub struct SetRequestId(Arc<RequestFacts>);

impl Middleware for AssignRequestId {
    type Finish = SetRequestId;

    fn before<B>(&self, request: &mut Request<B>) -> Result<SetRequestId, Response> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let facts = RequestFacts::new(request_id(request.headers()), peer);
        request.extensions_mut().insert(Arc::clone(&facts));
        Ok(SetRequestId(facts))
    }
}

impl Finish for SetRequestId {
    fn finish(self, Ok(mut response): Served) -> Response {
        // The answer of another replica has an id already.
        if let Some(id) = self.0.request_id_header() {
            response.headers_mut().insert(X_REQUEST_ID, id.clone());
        }
        response
    }
}

/// The id of a request: the client's own if it is valid, otherwise a random one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sent = headers.get(X_REQUEST_ID).filter(|id| is_valid(id.as_bytes()));
    let random = || HeaderValue::try_from(format!("{:016x}", fastrand::u64(..)));
    sent.cloned().map_or_else(random, Ok).unwrap_or(HeaderValue::from_static("none"))
}

/// At most 64 safe characters, because the id is written to the log.
fn is_valid(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}
