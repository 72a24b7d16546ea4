//! The facts about one request that inner layers find out and that other layers use.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::{HeaderValue, Request};
use opentelemetry::trace::TraceId;

use super::route_policy::RoutePolicy;
use crate::access::{AuthError, Caller, RateLimitStatus};

/// The facts about one request. The outermost layer adds them to the request extensions. They are shared, so they
/// survive if the response comes from an outer layer, for example after a timeout.
#[derive(Debug, Default)]
pub struct RequestFacts {
    request_id: Option<HeaderValue>,
    peer: Option<IpAddr>,
    authentication: OnceLock<Authentication>,
    rate_limit: OnceLock<RateLimitStatus>,
    route: OnceLock<Arc<str>>,
    policy: OnceLock<RoutePolicy>,
    is_audited: AtomicBool,
    reached_router: AtomicBool,
    trace_id: OnceLock<TraceId>,
}

/// The result of authentication.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// The caller is known. Without access control, it is [`Caller::anonymous`].
    Caller(Caller),
    /// The request has no credentials, although access control is configured.
    MissingCredentials,
    /// The credentials were not accepted.
    Refused {
        /// Why.
        error: AuthError,
        /// The name of the key that the credentials were issued for, if known.
        key_name: Option<Arc<str>>,
    },
}

impl RequestFacts {
    /// The facts of a request with this id from this address.
    #[must_use]
    pub fn new(request_id: HeaderValue, peer: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self { request_id: Some(request_id), peer, ..Self::default() })
    }

    /// The facts of this request; empty ones if the outermost layer is missing.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Arc<Self> {
        request.extensions().get::<Arc<Self>>().cloned().unwrap_or_default()
    }

    /// The id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// The id of the request as a header value.
    #[must_use]
    pub const fn request_id_header(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    /// The address that the request came from: that of the client or of a proxy.
    #[must_use]
    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Sets the result of authentication. A request is authenticated once.
    pub fn set_authentication(&self, authentication: Authentication) {
        let _ = self.authentication.set(authentication);
    }

    /// The result of authentication; `None` before it.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.authentication.get()
    }

    /// The caller, if authentication succeeded.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        match self.authentication() {
            Some(Authentication::Caller(caller)) => Some(caller),
            Some(Authentication::MissingCredentials | Authentication::Refused { .. }) | None => None,
        }
    }

    /// Sets the rate limit of the caller after this request.
    pub fn set_rate_limit(&self, status: RateLimitStatus) {
        let _ = self.rate_limit.set(status);
    }

    /// The rate limit of the caller after this request; `None` if no limit applies.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimitStatus> {
        self.rate_limit.get()
    }

    /// Sets the pattern of the route.
    pub fn set_route(&self, route: Arc<str>) {
        let _ = self.route.set(route);
    }

    /// The pattern of the route; `None` if no route matches, or an outer layer responded.
    #[must_use]
    pub fn route(&self) -> Option<&Arc<str>> {
        self.route.get()
    }

    /// Sets the policy of the route.
    pub fn set_policy(&self, policy: RoutePolicy) {
        let _ = self.policy.set(policy);
    }

    /// The policy of the route; `None` if the route has none.
    #[must_use]
    pub fn policy(&self) -> Option<RoutePolicy> {
        self.policy.get().copied()
    }

    /// Records that the router received the request: no outer layer and no cached response answered it.
    pub fn set_reached_router(&self) {
        self.reached_router.store(true, Ordering::Relaxed);
    }

    /// Whether the router received the request.
    #[must_use]
    pub fn reached_router(&self) -> bool {
        self.reached_router.load(Ordering::Relaxed)
    }

    /// Sets the id of the trace that the request belongs to.
    pub fn set_trace_id(&self, trace_id: TraceId) {
        let _ = self.trace_id.set(trace_id);
    }

    /// The id of the trace that the request belongs to; `None` if it is not traced.
    #[must_use]
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace_id.get().copied()
    }

    /// Requests an entry in the audit log. Requests to public routes have none.
    pub fn audit(&self) {
        self.is_audited.store(true, Ordering::Relaxed);
    }

    /// Whether the request gets an entry in the audit log.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.is_audited.load(Ordering::Relaxed)
    }
}
