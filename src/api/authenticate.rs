//! The gate: who asks, whether they may, and whether not too often. Every request passes it before its handler.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{self, HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    audit::{Asker, Found},
    compat::{self, Failure},
    needs::{self, Decision, Need},
    problem::{Problem, ProblemCode, whole_seconds},
    state::ApiState,
};
use crate::access::{Caller, FairUse, Gatekeeper, Standing};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who asks, where that can be told at once: with an access key, or with a token that was checked before, or anyone where
/// there is no access control.
#[must_use]
pub fn known<B>(gatekeeper: &Gatekeeper, request: &http::Request<B>, now: Timestamp) -> Option<Caller> {
    if gatekeeper.is_controlled() {
        return gatekeeper.known(bearer(request.headers())?, now);
    }
    let is_let_in = !gatekeeper.is_for_loopback_alone() || is_asked_of_loopback(request);
    is_let_in.then(Caller::anyone)
}

/// Whether the caller may read what that route tells.
#[must_use]
pub fn may_read(route: &str, caller: &Caller) -> bool {
    match needs::decision(route, &Method::GET) {
        Decision::Need(need @ Need::Scope(_)) => need.is_met_by(caller).is_ok(),
        Decision::Need(Need::Nothing | Need::Token(_)) | Decision::NoSuchMethod(_) | Decision::Undecided => false,
    }
}

/// Lets a request pass whose caller may ask it, and tells the handler who that is.
pub async fn guard(State(state): State<ApiState>, asker: Asker, mut request: Request, next: Next) -> Response {
    if state.gatekeeper.is_for_loopback_alone() && !is_asked_of_loopback(&request) {
        asker.note(Found::Refused(None));
        let detail = "the name that was asked is none of this machine";
        return Problem::new(ProblemCode::HostNotServed, detail).into_response();
    }
    // Where there is no route, the router says so.
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else { return next.run(request).await };
    let need = match needs::decision(route.as_str(), request.method()) {
        Decision::Need(Need::Nothing) => return next.run(request).await,
        Decision::Need(need) => need,
        Decision::NoSuchMethod(there_are) => return no_such_method(there_are.iter().map(|(method, _)| method)),
        Decision::Undecided => {
            tracing::error!(route = route.as_str(), "nobody has decided who may ask for this, so nobody may");
            return Problem::new(ProblemCode::Internal, "nobody may ask for this").into_response();
        }
    };
    let caller = match caller(&state, need, request.headers()).await {
        Ok(caller) => caller,
        Err(Refused { name, response }) => {
            asker.note(Found::Refused(name));
            return response;
        }
    };
    asker.note(Found::Caller(caller.clone()));
    let standing = state.gatekeeper.take(&caller);
    let mut response = if let Some(wait) = standing.and_then(|standing| standing.retry_after) {
        let detail = "the requests of this caller are used up for now";
        Problem::new(ProblemCode::TooManyRequests, detail).retry_after(wait).into_response()
    } else if let Err(scope) = need.is_met_by(&caller) {
        Problem::lacks(scope, format!("this takes the scope {scope}")).into_response()
    } else {
        request.extensions_mut().insert(caller);
        next.run(request).await
    };
    // Unless it says otherwise, an answer is for this caller and this moment.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    mark(standing, response.headers_mut());
    if let (Some(standing), Need::Token(_)) = (standing, need) {
        // As Feishu would say it.
        response.headers_mut().insert(compat::RATE_LIMIT, HeaderValue::from(standing.limit));
    }
    response
}

/// Says how the caller stands, as the IETF's draft on rate limit fields has it.
pub fn mark(standing: Option<Standing>, headers: &mut HeaderMap) {
    let Some(Standing { limit, left, full_in, .. }) = standing else { return };
    let window = FairUse::WINDOW.as_secs();
    let fields = [
        (RATE_LIMIT, format!("\"requests\";r={left};t={}", whole_seconds(full_in))),
        (RATE_LIMIT_POLICY, format!("\"requests\";q={limit};w={window}")),
    ];
    for (name, value) in fields {
        headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
    }
}

/// What somebody is told who is not let in.
struct Refused {
    /// The name of the key, where it is known whose it was.
    name: Option<Arc<str>>,
    response: Response,
}

impl Refused {
    fn nobody(why: impl IntoResponse) -> Self {
        Self { name: None, response: why.into_response() }
    }
}

/// Who asks.
async fn caller(state: &ApiState, need: Need, headers: &HeaderMap) -> Result<Caller, Refused> {
    let bearer = bearer(headers);
    let now = state.now();
    if let Need::Token(_) = need {
        let token = bearer.ok_or_else(|| Refused::nobody(Failure::without_token()))?;
        let refused = || Refused::nobody(Failure::invalid_token());
        let holder = state.access_tokens.verify(token, now).map_err(|_| refused())?;
        // The token is one of ours, so the name in it is that of a key, though it may be gone.
        let name = || holder.0.split_once('/').map(|(name, _)| name.into());
        return state.gatekeeper.bearer(&holder.0).map_err(|_| Refused { name: name(), ..refused() });
    }
    if !state.gatekeeper.is_controlled() {
        return Ok(Caller::anyone());
    }
    let credentials = bearer.ok_or_else(|| Refused::nobody(Problem::anonymous()))?;
    let admitted = state.gatekeeper.admit(credentials, now).await;
    admitted.map_err(|refusal| Refused::nobody(Problem::refused(refusal)))
}

/// The credentials of the header `Authorization`; those of another scheme are none that could be right.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or("invalid");
    match text.split_once(' ') {
        Some((scheme, credentials)) if scheme.eq_ignore_ascii_case("bearer") => {
            Some(credentials.trim()).filter(|credentials| !credentials.is_empty())
        }
        None if text.eq_ignore_ascii_case("bearer") => None,
        _ => Some("invalid"),
    }
}

/// Whether the request was sent to a name of this machine. A browser always says which name it asked.
fn is_asked_of_loopback<B>(request: &http::Request<B>) -> bool {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let asked = [request.uri().authority().map(http::uri::Authority::as_str), host];
    asked.into_iter().flatten().all(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    // As part of an address it is read like any other.
    let uri: Option<Uri> = format!("http://{authority}/").parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || host.ends_with(".localhost") || address.is_some_and(|address| address.is_loopback())
}

fn no_such_method<'a>(methods: impl Iterator<Item = &'a Method>) -> Response {
    let with_head =
        |method: &'a Method| if *method == Method::GET { vec!["GET", "HEAD"] } else { vec![method.as_str()] };
    let allowed: Vec<&str> = methods.flat_map(with_head).collect();
    let detail = "the path is there, but not for this method";
    let mut response = Problem::new(ProblemCode::MethodNotAllowed, detail).into_response();
    let allowed = HeaderValue::from_str(&allowed.join(",")).ok();
    response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    response
}

/// Handlers may ask who asks. Where the gate let somebody pass without knowing, the request ends here.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(ProblemCode::Internal, "it is not known who asks"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost", true)]
    #[case("LOCALHOST:8080", true)]
    #[case("pulse.localhost:80", true)]
    #[case("127.0.0.1:8080", true)]
    #[case("127.8.9.1", true)]
    #[case("[::1]:8080", true)]
    #[case("localhost.", true)]
    #[case("example.com", false)]
    #[case("127.0.0.1.example.com", false)]
    #[case("localhost.example.com:8080", false)]
    #[case("notlocalhost", false)]
    #[case("10.0.0.1", false)]
    #[case("[::2]", false)]
    #[case("user@127.0.0.1", true)]
    #[case("127.0.0.1@example.com", false)]
    #[case("", false)]
    #[case("a b", false)]
    fn only_names_of_this_machine_are_loopback(#[case] host: &str, #[case] is_one: bool) {
        assert_eq!(is_loopback(host), is_one);
    }

    #[rstest]
    #[case(Some("Bearer abc"), Some("abc"))]
    #[case(Some("bearer  abc "), Some("abc"))]
    #[case(Some("Bearer"), None)]
    #[case(Some("Bearer "), None)]
    #[case(Some("Basic abc"), Some("invalid"))]
    #[case(Some("abc"), Some("invalid"))]
    #[case(None, None)]
    fn credentials_are_what_follows_bearer(#[case] sent: Option<&str>, #[case] read: Option<&str>) {
        let headers = HeaderMap::from_iter(sent.map(|sent| (header::AUTHORIZATION, sent.parse().unwrap())));
        assert_eq!(bearer(&headers), read);
    }
}
