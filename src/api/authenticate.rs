//! The layers that identify the caller: authentication, and the rate limit of the caller. Neither of them needs the route.
//! They only record what they find; the policy of the route decides.

use std::{
    convert::Infallible,
    future::Future,
    mem,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{http::Request, response::Response};
use futures_util::future::Either;
use tower::{Layer, Service};

use super::{
    credentials::bearer_token,
    middleware::{Finish, HttpService, Middleware, Served},
    rate_limit_headers::set_rate_limit_headers,
    request_facts::{Authentication, RequestFacts},
    state::AccessState,
};
use crate::access::{AuthError, Caller, RateLimitStatus};

/// The layer that identifies the caller by an access key or a token of the identity provider. It never refuses a request,
/// because public routes need no caller.
#[derive(Clone)]
pub struct Authenticate(pub Arc<AccessState>);

/// The service of [`Authenticate`].
#[derive(Clone)]
pub struct AuthenticatedService<S> {
    access: Arc<AccessState>,
    inner: S,
}

impl<S> Layer<S> for Authenticate {
    type Service = AuthenticatedService<S>;

    fn layer(&self, inner: S) -> AuthenticatedService<S> {
        AuthenticatedService { access: Arc::clone(&self.0), inner }
    }
}

impl<S: HttpService<B>, B: Send + 'static> Service<Request<B>> for AuthenticatedService<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Served> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let facts = RequestFacts::of(&request);
        let token = bearer_token(request.headers());
        if let Some(authentication) = self.access.authenticate_locally(token) {
            facts.set_authentication(authentication);
            return Either::Left(self.inner.call(request));
        }
        let token = token.unwrap_or_default().to_owned();
        // The clone takes the place of the service that is ready.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let access = Arc::clone(&self.access);
        Either::Right(Box::pin(async move {
            facts.set_authentication(access.authenticate(&token, facts.peer()).await);
            inner.call(request).await
        }))
    }
}

impl AccessState {
    /// The result of authentication, if no I/O and no signature check is needed for it: without credentials, for access
    /// keys, and for tokens that were verified before.
    fn authenticate_locally(&self, token: Option<&str>) -> Option<Authentication> {
        if !self.authenticator.is_controlled() {
            return Some(Authentication::Caller(Caller::anonymous()));
        }
        let Some(token) = token else { return Some(Authentication::MissingCredentials) };
        self.authenticator.authenticate_locally(token, self.clock.now()).map(Authentication::Caller)
    }

    async fn authenticate(&self, token: &str, peer: Option<IpAddr>) -> Authentication {
        match self.authenticator.authenticate(token, self.clock.now()).await {
            Ok(caller) => Authentication::Caller(caller),
            Err(AuthError::Invalid) => {
                Authentication::Refused { error: self.authenticator.record_failure(peer), key_name: None }
            }
            Err(error) => Authentication::Refused { error, key_name: None },
        }
    }
}

/// The layer that counts the request against the rate limit of its caller.
#[derive(Clone)]
pub struct CountRequest(pub Arc<AccessState>);

impl Middleware for CountRequest {
    type Finish = Option<RateLimitStatus>;

    fn before<B>(&self, request: &mut Request<B>) -> Result<Option<RateLimitStatus>, Response> {
        let Self(access) = self;
        if !access.authenticator.has_rate_limit() {
            return Ok(None);
        }
        let facts = RequestFacts::of(request);
        let status = facts.caller().and_then(|caller| access.authenticator.check_rate_limit(caller));
        if let Some(status) = status {
            facts.set_rate_limit(status);
        }
        Ok(status)
    }
}

/// Sets the header fields of the rate limit.
impl Finish for Option<RateLimitStatus> {
    fn finish(self, Ok(mut response): Served) -> Response {
        if let Some(status) = self {
            set_rate_limit_headers(status, response.headers_mut());
        }
        response
    }
}
