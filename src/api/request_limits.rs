//! Request limits: maximum sizes, a maximum number of concurrent requests, and a timeout. Requests beyond a limit are
//! rejected before any other work is done for them.
//!
//! A request is concurrent until its response body was handed to the connection or dropped, because an unread body takes
//! memory as well.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Request, header},
    response::{IntoResponse as _, Response},
};
use futures_util::future::Either;
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Timeout, error::Elapsed},
};
use tower::{Layer, Service};

use super::{
    body_budget::{BodyBudget, BodyPermit},
    middleware::{EarlyOr, Finish, Finishing, Served, early},
    problem::{Problem, ProblemCode},
    trace::PROBE_ROUTES,
};

/// Maximum length of path and query, in bytes. All parameters at their maximum lengths fit.
const MAX_URI_BYTES: usize = 8 << 10;

/// Maximum length of a request body, in bytes. Only token requests have a body.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// Time that a request may take in addition to waiting for days: for receiving its body and for computing the response.
const PROCESSING_TIME: Duration = Duration::from_secs(30);

/// `Retry-After` of requests beyond the limit of concurrent requests.
const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of all requests of a listener, and the layer that enforces them.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    permits: Arc<Semaphore>,
    body_budget: BodyBudget,
    timeout: Duration,
}

impl RequestLimits {
    /// Allows `requests` concurrent requests, each of which may wait for days for `wait`, and response bodies within
    /// `body_budget`.
    #[must_use]
    pub fn new(requests: usize, body_budget: BodyBudget, wait: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS)));
        Self { permits, body_budget, timeout: wait + PROCESSING_TIME }
    }

    /// Counts the body until it was read, unless it is counted since it was written. The length of a stream is not known;
    /// exports have limits of their own.
    fn count_body(&self, response: &mut Response) -> Result<Option<BodyPermit>, Problem> {
        match response.extensions_mut().remove() {
            Some(permit) => Ok(Some(permit)),
            None => self.body_budget.take(response.body().size_hint().exact().unwrap_or_default()),
        }
    }
}

/// The service of the layer [`RequestLimits`]. It passes a request on if it is within the limits.
#[derive(Clone, Debug)]
pub struct LimitedService<S> {
    limits: RequestLimits,
    inner: S,
}

/// Renders a timeout, and keeps the permit of the request until the end of the response.
#[derive(Debug)]
pub struct RenderTimeout {
    limits: RequestLimits,
    permit: OwnedSemaphorePermit,
}

/// A response body with the permit of its request.
struct PermitBody {
    inner: Body,
    _permit: OwnedSemaphorePermit,
    _body: Option<BodyPermit>,
}

impl<S> Layer<S> for RequestLimits {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> LimitedService<S> {
        LimitedService { limits: self.clone(), inner }
    }
}

impl<S, B> Service<Request<B>> for LimitedService<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = EarlyOr<Either<S::Future, Finishing<Timeout<S::Future>, RenderTimeout>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Err(problem) = check_size(&request) {
            return early(problem.into_response());
        }
        if PROBE_ROUTES.contains(&request.uri().path()) {
            return Either::Right(Either::Left(self.inner.call(request)));
        }
        let Ok(permit) = Arc::clone(&self.limits.permits).try_acquire_owned() else {
            let detail = "the maximum number of concurrent requests is reached";
            return early(
                Problem::new(ProblemCode::Overloaded, detail).with_retry_after(OVERLOAD_RETRY_AFTER).into_response(),
            );
        };
        let limit = self.limits.timeout;
        let timeout = RenderTimeout { limits: self.limits.clone(), permit };
        Either::Right(Either::Right(Finishing::new(tokio::time::timeout(limit, self.inner.call(request)), timeout)))
    }
}

impl Finish<Result<Served, Elapsed>> for RenderTimeout {
    fn finish(self, output: Result<Served, Elapsed>) -> Response {
        let Self { limits, permit } = self;
        let Ok(Ok(mut response)) = output else {
            let detail = format!("no response was ready within {} s", limits.timeout.as_secs());
            return Problem::new(ProblemCode::RequestTimeout, detail).into_response();
        };
        if response.body().is_end_stream() {
            return response;
        }
        match limits.count_body(&mut response) {
            Ok(body) => response.map(|inner| Body::new(PermitBody { inner, _permit: permit, _body: body })),
            Err(problem) => problem.into_response(),
        }
    }
}

impl HttpBody for PermitBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn check_size<B>(request: &Request<B>) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |path_and_query| path_and_query.as_str().len());
    if uri > MAX_URI_BYTES {
        let detail = format!("path and query have {uri} bytes; the maximum is {MAX_URI_BYTES}");
        return Err(Problem::new(ProblemCode::UriTooLong, detail));
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let body: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    match body {
        Some(body) if body > MAX_BODY_BYTES => {
            let detail = format!("the body has {body} bytes; the maximum is {MAX_BODY_BYTES}");
            Err(Problem::new(ProblemCode::PayloadTooLarge, detail))
        }
        _ => Ok(()),
    }
}
