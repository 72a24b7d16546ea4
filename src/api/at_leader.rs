//! Routes that only the leader of a fleet serves: another replica passes their requests on to it.

use std::error::Error;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderName, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use http_body_util::LengthLimitError;
use tokio::time::Instant;
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    draining::Draining,
    problem::{Problem, ProblemCode},
    request_facts::RequestFacts,
    request_id::X_REQUEST_ID,
    request_limits::MAX_BODY_BYTES,
};
use crate::fleet::FleetLink;

/// Headers of a response that belong to the connection with the leader.
const DROPPED_RESPONSE_HEADERS: [HeaderName; 2] = [header::CONNECTION, header::TRANSFER_ENCODING];

/// The media type of server-sent events.
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// Marks a request that another replica has passed on, which is not passed on again.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassedOn;

/// What a request that only the leader serves needs at another replica. It is in the extensions of requests in a fleet.
#[derive(Clone)]
pub(super) struct AtLeader {
    /// Reaches the leader.
    pub(super) fleet: FleetLink,
    /// Ends streams of events when this replica shuts down.
    pub(super) draining: Draining,
}

/// Routes that only the leader serves. Without a fleet nothing changes.
pub(super) fn at_leader<S: Clone + Send + Sync + 'static>(
    (schemas, paths, handlers): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    (schemas, paths, handlers.route_layer(from_fn(serve_at_leader)))
}

/// Serves a request here if this replica leads or there is no fleet. Otherwise passes it on to the leader, and waits for one
/// if there is none. Finds [`AtLeader`] in the extensions of the request.
pub(super) async fn serve_at_leader(request: Request, next: Next) -> Response {
    let Some(AtLeader { fleet, draining }) = request.extensions().get::<AtLeader>().cloned() else {
        return next.run(request).await;
    };
    if fleet.leadership.leads() {
        return next.run(request).await;
    }
    if request.extensions().get::<PassedOn>().is_some() {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    // The leader logs and answers with the id that this replica has assigned.
    let request_id = RequestFacts::of(&request).request_id_header().cloned();
    let (mut parts, body) = request.into_parts();
    if let Some(id) = request_id {
        parts.headers.insert(X_REQUEST_ID, id);
    }
    let body = match to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(error) => return unreadable_body(&error).into_response(),
    };
    let give_up = Instant::now() + fleet.patience;
    let mut changes = fleet.status.clone();
    loop {
        let status = changes.borrow_and_update().clone();
        if fleet.leadership.leads() {
            return next.run(Request::from_parts(parts, Body::from(body))).await;
        }
        if let Some(leader) = status.other_leader() {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let (method, headers) = (parts.method.clone(), parts.headers.clone());
            match fleet.client.pass_on(leader, method, path, headers, body.clone()).await {
                Ok(answer) => return passed_back(answer, draining),
                Err(error) => fleet.report(&error, status.term),
            }
        }
        if !fleet.wait_for_change(&mut changes, give_up).await {
            return Problem::no_leader().into_response();
        }
    }
}

fn unreadable_body(error: &axum::Error) -> Problem {
    if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) {
        return Problem::new(ProblemCode::PayloadTooLarge, format!("the body has more than {MAX_BODY_BYTES} bytes"));
    }
    Problem::new(ProblemCode::RequestTimeout, "the connection failed before the complete body was received")
}

/// The answer of the leader as the response of this replica.
fn passed_back(answer: reqwest::Response, draining: Draining) -> Response {
    let mut response = axum::http::Response::from(answer).map(Body::new);
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|name| name.as_bytes().starts_with(EVENT_STREAM)) {
        // The stream ends with the job, which can be long after this replica should have ended. The client connects again.
        let events = |body: Body| body.into_data_stream().take_until(async move { draining.begun().await });
        response = response.map(|body| Body::from_stream(events(body)));
    }
    for name in DROPPED_RESPONSE_HEADERS {
        response.headers_mut().remove(name);
    }
    response
}
