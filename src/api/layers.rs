//! The pipeline: the layers that every request passes, in one list, with the reason for the position of each.
//!
//! ```text
//! public path → request id → metrics → access log → CORS
//!   → native:   problems → panic guard → host → cross-site → limits → authenticate → rate limit → response cache → router
//!   → drop-in:  errors   → panic guard → host → cross-site → limits → router of the drop-in
//! ```
//!
//! The layers of the pipeline stand around the whole router. A request that the response cache answers passes all of them
//! and never reaches the router. What concerns only requests to the router stands inside it, see `around_router`.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Bytes, HttpBody},
    extract::{DefaultBodyLimit, MatchedPath},
    http::Request,
    response::Response,
};
use futures_util::future::Either;
use tower::{Service, ServiceBuilder, util::option_layer};
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::{
    access_log::LogAccess,
    allowed_origins::AllowedOrigins,
    authenticate::{Authenticate, CountRequest},
    caching::response_cache::CacheResponses,
    cross_site::RefuseCrossSite,
    drop_in::{self, RenderFeishuErrors},
    host_check::{CheckHost, ServedHosts},
    http_metrics::RecordMetrics,
    middleware::{HttpService, Middleware, MiddlewareLayer},
    panic_guard::PanicGuardLayer,
    problem::RenderProblems,
    public_path::PublicPath,
    request_facts::RequestFacts,
    request_id::AssignRequestId,
    request_limits::{self, RequestLimits},
    state::ApiState,
    trace,
};

/// The body of a request.
pub trait RequestBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static> RequestBody for B {}

/// The pipeline of the main listener.
pub(super) fn main_pipeline<B: RequestBody>(
    state: &ApiState,
    native: Router,
    drop_in: Router,
    limits: RequestLimits,
) -> impl HttpService<B> + use<B> {
    let is_loopback_only = state.access.authenticator.is_loopback_only();
    let hosts = if is_loopback_only { ServedHosts::Loopback } else { ServedHosts::All };
    let allowed_origins = state.access.allowed_origins.clone();
    let guards = ServiceBuilder::new()
        // Inside the rendering, because it makes a problem of a panic; outside everything that can panic.
        .layer(PanicGuardLayer)
        // Before any work is done for a web page that uses DNS rebinding.
        .layer(MiddlewareLayer(CheckHost(hosts)))
        // After the check of the host, which the origin of the page is compared with.
        .layer(MiddlewareLayer(RefuseCrossSite { allowed_origins, refuses_reads: is_loopback_only }))
        // Before the identity provider or Feishu is called for the request.
        .layer(limits);
    let native = ServiceBuilder::new()
        // Outside all layers that respond with a problem.
        .layer(MiddlewareLayer(RenderProblems))
        .layer(guards.clone())
        // Before the cache, which serves a caller only what the caller may see.
        .layer(Authenticate(Arc::clone(&state.access)))
        // Before the cache, because cached responses count as well; after authentication, which finds the caller.
        .layer(MiddlewareLayer(CountRequest(Arc::clone(&state.access))))
        // Innermost, so that a cached response passes the same layers as others.
        .layer(MiddlewareLayer(CacheResponses(Arc::clone(&state.data.response_cache))))
        .service(native);
    let drop_in = ServiceBuilder::new().layer(MiddlewareLayer(RenderFeishuErrors)).layer(guards).service(drop_in);
    let public_path = PublicPath::of(state.operations.public_url.as_ref());
    // Outside everything that reads the path.
    ServiceBuilder::new().layer(MiddlewareLayer(public_path)).service(outer_layers(state, ByPrefix { native, drop_in }))
}

/// The pipeline of the operations listener.
pub(super) fn operations_pipeline<B: RequestBody>(
    state: &ApiState,
    router: Router,
    limits: RequestLimits,
) -> impl HttpService<B> + use<B> {
    let hosts = ServedHosts::AddressesAnd(Arc::clone(&state.operations.admin_hosts));
    let layers = ServiceBuilder::new()
        .layer(MiddlewareLayer(RenderProblems))
        .layer(PanicGuardLayer)
        .layer(MiddlewareLayer(CheckHost(hosts)))
        // Operators change the log filter with other clients than browsers.
        .layer(MiddlewareLayer(RefuseCrossSite { allowed_origins: AllowedOrigins::default(), refuses_reads: false }))
        .layer(limits);
    outer_layers(state, layers.service(router))
}

/// The layers around all routers.
fn outer_layers<B, S: HttpService<B>>(state: &ApiState, inner: S) -> impl HttpService<B> + use<B, S> {
    ServiceBuilder::new()
        // Outermost, so that all layers can use the id and the other facts about the request.
        .layer(MiddlewareLayer(AssignRequestId))
        // Outside all layers that can change the status, so that it counts what the client receives.
        .layer(MiddlewareLayer(RecordMetrics(Arc::clone(&state.operations.http_metrics))))
        // Outside the problem rendering, so that it logs the final status.
        .layer(MiddlewareLayer(LogAccess::default()))
        // Outside authentication, because preflight requests have no credentials, and outside problem rendering, so that
        // pages can read problems.
        .layer(option_layer(state.access.cors.clone()))
        .service(inner)
}

/// The layers inside the pipeline, around the routes: requests that an outer layer answers do not pass them.
pub(super) fn around_router(routes: Router) -> Router {
    routes
        // Limits bodies whose length is not declared.
        .layer(DefaultBodyLimit::max(request_limits::MAX_BODY_BYTES))
        // Cached responses have no span. Failures are logged where they are handled, and responses by the access log.
        .layer(
            TraceLayer::new_for_http().make_span_with(trace::request_span).on_request(()).on_failure(()).on_response(
                |response: &Response, _: Duration, span: &Span| {
                    span.record("http.response.status_code", response.status().as_u16());
                },
            ),
        )
        // Only the router knows the route, which metrics and access log name.
        .layer(MiddlewareLayer(RecordRoute))
}

/// The layer that records the pattern of the route.
#[derive(Clone, Copy, Debug)]
struct RecordRoute;

impl Middleware for RecordRoute {
    type Finish = ();

    fn before<B>(&self, request: &mut Request<B>) -> Result<(), Response> {
        let facts = RequestFacts::of(request);
        facts.set_reached_router();
        if let Some(route) = request.extensions().get::<MatchedPath>() {
            facts.set_route(route.as_str().into());
        }
        Ok(())
    }
}

/// Passes a request to the drop-in if its path has the prefix of Feishu's API.
#[derive(Clone)]
struct ByPrefix<N, D> {
    native: N,
    drop_in: D,
}

impl<N: HttpService<B>, D: HttpService<B>, B> Service<Request<B>> for ByPrefix<N, D> {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<N::Future, D::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let is_ready = self.native.poll_ready(context)?.is_ready() & self.drop_in.poll_ready(context)?.is_ready();
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.uri().path().starts_with(drop_in::PATH_PREFIX) {
            Either::Right(self.drop_in.call(request))
        } else {
            Either::Left(self.native.call(request))
        }
    }
}
