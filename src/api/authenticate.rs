//! The authentication layer: identifies the caller, checks the required scope, and applies the caller's rate limit.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    access_log::{AuthOutcome, CallerSlot},
    authorization::{self, RequiredScope, RoutePolicy},
    credentials::{bearer_token, is_sent_to_loopback},
    drop_in::{self, FeishuError},
    problem::{Problem, ProblemCode},
    rate_limit_headers::set_rate_limit_headers,
    state::ApiState,
};
use crate::access::Caller;

/// Passes a request on to its handler if its caller is known, has the required scope, and has not exceeded the rate limit.
/// The handler finds the caller in the request extensions.
pub async fn authenticate(
    State(state): State<ApiState>,
    slot: CallerSlot,
    mut request: Request,
    next: Next,
) -> Response {
    if state.authenticator.is_loopback_only() && !is_sent_to_loopback(&request) {
        slot.set(AuthOutcome::Refused(None));
        let detail = "the request was sent to a host name that does not belong to the loopback interface";
        return Problem::new(ProblemCode::HostNotServed, detail).into_response();
    }
    // Without a route, the fallback of the router responds.
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    let required = match authorization::route_policy(route.as_str(), request.method()) {
        RoutePolicy::Requires(RequiredScope::Public) => return next.run(request).await,
        RoutePolicy::Requires(required) => required,
        RoutePolicy::MethodNotAllowed(allowed) => return method_not_allowed(allowed.iter().map(|(method, _)| method)),
        RoutePolicy::Undeclared => {
            tracing::error!(
                route = route.as_str(),
                "the route has no authorization policy, so its requests are refused; add it to the table in authorization.rs"
            );
            return Problem::new(ProblemCode::Internal, "the route has no authorization policy").into_response();
        }
    };
    let caller = match identify_caller(&state, required, request.headers()).await {
        Ok(caller) => caller,
        Err(Refused { key_name, response }) => {
            slot.set(AuthOutcome::Refused(key_name));
            return response;
        }
    };
    slot.set(AuthOutcome::Caller(caller.clone()));
    let rate_limit = state.authenticator.check_rate_limit(&caller);
    let mut response = if let Some(wait) = rate_limit.and_then(|status| status.retry_after) {
        let detail = "the rate limit of this caller is exceeded";
        Problem::new(ProblemCode::TooManyRequests, detail).with_retry_after(wait).into_response()
    } else if let Err(scope) = required.check(&caller) {
        Problem::insufficient_scope(scope, format!("this request requires the scope {scope}")).into_response()
    } else {
        request.extensions_mut().insert(caller);
        next.run(request).await
    };
    // The default for responses that set no caching rules of their own.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    set_rate_limit_headers(rate_limit, response.headers_mut());
    if let (Some(status), RequiredScope::DropInToken(_)) = (rate_limit, required) {
        // Feishu's own field, for SDKs.
        response.headers_mut().insert(drop_in::RATE_LIMIT, HeaderValue::from(status.limit));
    }
    response
}

/// A request whose caller could not be identified, and the response to it.
struct Refused {
    /// The name of the key that the token was issued for, if known.
    key_name: Option<Arc<str>>,
    response: Response,
}

impl Refused {
    fn without_name(reason: impl IntoResponse) -> Self {
        Self { key_name: None, response: reason.into_response() }
    }
}

/// Identifies the caller by the credentials that the route requires.
async fn identify_caller(state: &ApiState, required: RequiredScope, headers: &HeaderMap) -> Result<Caller, Refused> {
    let token = bearer_token(headers);
    let now = state.now();
    if let RequiredScope::DropInToken(_) = required {
        let token = token.ok_or_else(|| Refused::without_name(FeishuError::missing_token()))?;
        let invalid_token = || Refused::without_name(FeishuError::invalid_token());
        let subject = state.access_tokens.verify(token, now).map_err(|_| invalid_token())?;
        // The token was issued here, so it names a key, even if that key has been removed since.
        let key_name = || subject.0.split_once('/').map(|(name, _)| name.into());
        let caller = state.authenticator.caller_of_subject(&subject.0);
        return caller.map_err(|_| Refused { key_name: key_name(), ..invalid_token() });
    }
    if !state.authenticator.is_controlled() {
        return Ok(Caller::anonymous());
    }
    let token = token.ok_or_else(|| Refused::without_name(Problem::missing_credentials()))?;
    let caller = state.authenticator.authenticate(token, now).await;
    caller.map_err(|error| Refused::without_name(Problem::from_auth_error(error)))
}

fn method_not_allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> Response {
    let with_head =
        |method: &'a Method| if *method == Method::GET { vec!["GET", "HEAD"] } else { vec![method.as_str()] };
    let allowed: Vec<&str> = methods.flat_map(with_head).collect();
    let detail = "the path exists, but not for this method";
    let mut response = Problem::new(ProblemCode::MethodNotAllowed, detail).into_response();
    let allowed = HeaderValue::from_str(&allowed.join(",")).ok();
    response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    response
}

/// Extracts the caller. Fails on a route that is public, because its callers are not identified.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(ProblemCode::Internal, "the caller of this request was not identified"))
    }
}
