//! Authorization: the layer that checks the policy of a route. Each endpoint is registered together with its policy;
//! the security requirement in the OpenAPI document is made from it.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, Request, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use utoipa::openapi::{PathItem, path::Operation};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    middleware::{Finish, Middleware, MiddlewareLayer, Served},
    problem::{Problem, ProblemCode},
    request_facts::{Authentication, RequestFacts},
    route_policy::RoutePolicy,
};
use crate::access::Caller;

/// The name of the security scheme in the OpenAPI document.
pub const ACCESS_KEY_SCHEME: &str = "access_key";

/// Whether a request may use a route with this policy. The router checks it for each request, the response cache for each
/// hit. Returns the caller; `None` on public routes.
///
/// # Errors
/// The problem to respond with: 401 before 429 before 403.
pub fn authorize(facts: &RequestFacts, policy: RoutePolicy) -> Result<Option<&Caller>, Problem> {
    if policy == RoutePolicy::Public {
        return Ok(None);
    }
    facts.audit();
    let caller = match facts.authentication() {
        Some(Authentication::Caller(caller)) => caller,
        Some(Authentication::Refused { error, .. }) => return Err(Problem::from_auth_error(*error)),
        Some(Authentication::MissingCredentials) | None => return Err(Problem::missing_credentials()),
    };
    if let Some(wait) = facts.rate_limit().and_then(|status| status.retry_after) {
        let detail = "the rate limit of this caller is exceeded";
        return Err(Problem::new(ProblemCode::TooManyRequests, detail).with_retry_after(wait));
    }
    match policy.check_scope(caller) {
        Ok(()) => Ok(Some(caller)),
        Err(scope) => Err(Problem::insufficient_scope(scope, format!("this request requires the scope {scope}"))),
    }
}

/// Endpoints with their policy: the layer checks it, and the OpenAPI document contains it.
pub fn endpoints<S: Clone + Send + Sync + 'static>(
    policy: RoutePolicy,
    routes: UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    let (schemas, paths, handlers) = with_security(policy, ACCESS_KEY_SCHEME, routes);
    (schemas, paths, handlers.route_layer(MiddlewareLayer(Authorize(policy))))
}

/// Adds the policy to the OpenAPI document.
pub fn with_security<S>(
    policy: RoutePolicy,
    scheme: &str,
    (schemas, mut paths, handlers): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(policy.security(scheme));
    }
    (schemas, paths, handlers)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().filter_map(Option::as_mut)
}

/// The layer that checks the policy of a route. The handler finds the caller in the request extensions.
#[derive(Clone, Copy, Debug)]
struct Authorize(RoutePolicy);

/// Sets the default of `Cache-Control` for responses that set no caching rules of their own.
#[derive(Debug)]
struct DefaultNoStore(RoutePolicy);

impl Middleware for Authorize {
    type Finish = DefaultNoStore;

    fn before<B>(&self, request: &mut Request<B>) -> Result<DefaultNoStore, Response> {
        let facts = RequestFacts::of(request);
        facts.set_policy(self.0);
        let caller = authorize(&facts, self.0).map_err(Problem::into_response)?;
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller.clone());
        }
        Ok(DefaultNoStore(self.0))
    }
}

impl Finish for DefaultNoStore {
    fn finish(self, Ok(mut response): Served) -> Response {
        if self.0 != RoutePolicy::Public {
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        response
    }
}

/// Extracts the caller. Fails on a route that is public, because its callers are not authorized.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(ProblemCode::Internal, "the caller of this request was not authorized"))
    }
}
