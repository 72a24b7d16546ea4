//! What can go wrong, as upstream tells it: a code, the HTTP status that it comes with, and a log id.
//!
//! The one table of upstream's codes, beside the one of problems: below `/open-apis/` every failure leaves in this
//! shape, whoever made it, since the SDKs understand no other.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{
    problem::{Problem, ProblemCode},
    request_id::RequestId,
};

/// The paths that are upstream's.
const UPSTREAMS: &str = "/open-apis/";

const LOG_ID: HeaderName = HeaderName::from_static("x-tt-logid");
const RESET: HeaderName = HeaderName::from_static("x-ogw-ratelimit-reset");

/// A failure in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: Code,
    /// What happened this time.
    detail: Option<String>,
    /// The parameter at fault.
    field: Option<&'static str>,
    /// Finds upstream's own call, where one is behind it.
    log_id: Option<Arc<str>>,
    /// Seconds after which asking again makes sense.
    reset: Option<u64>,
}

/// A code with the status and message that upstream sends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code {
    number: i64,
    status: StatusCode,
    message: &'static str,
}

/// A failure as upstream writes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FailureBody {
    /// What went wrong, for programs. Never 0.
    #[schema(example = 1_051_001)]
    code: i64,
    /// What went wrong, for people.
    #[schema(example = "request contain invalid param: page_size is not a whole number from 1 to 60")]
    msg: String,
    error: FailureDetail,
}

/// More about a failure.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FailureDetail {
    /// Finds the call in Feishu's own log search where a call of Feishu failed; else the request in our log.
    #[schema(example = "1f6c9b0d3a5e7f21")]
    log_id: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    field_violations: Vec<FieldViolation>,
}

/// A parameter at fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldViolation {
    /// Its name.
    #[schema(example = "page_size")]
    field: &'static str,
    /// What is wrong with it.
    #[schema(example = "is not a whole number from 1 to 60")]
    description: String,
}

impl Code {
    /// The message that upstream sends with a code, and the status.
    const fn of(number: i64) -> Self {
        let (status, message) = match number {
            404 => (StatusCode::NOT_FOUND, "not found"),
            405 => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            2200 => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Error"),
            10_003 => (StatusCode::BAD_REQUEST, "invalid param"),
            10_014 => (StatusCode::OK, "app secret invalid"),
            1_051_001 => (StatusCode::INTERNAL_SERVER_ERROR, "request contain invalid param"),
            1_051_002 => (StatusCode::BAD_REQUEST, "request to exceed authority"),
            99_991_400 => (StatusCode::TOO_MANY_REQUESTS, "request trigger frequency limit"),
            99_991_403 => (StatusCode::TOO_MANY_REQUESTS, "This month's API call quota has been exceeded"),
            99_991_661 => (StatusCode::BAD_REQUEST, "Missing access token for authorization"),
            // Upstream's own code for an app that lacks a scope.
            99_991_672 => (StatusCode::BAD_REQUEST, "Access denied. A scope is required"),
            99_991_663 => (StatusCode::BAD_REQUEST, "Invalid access token for authorization"),
            // Whatever else upstream refuses, it refuses with a 400.
            _ => (StatusCode::BAD_REQUEST, "request refused"),
        };
        Self { number, status, message }
    }
}

impl Failure {
    /// A parameter that is no good.
    #[must_use]
    pub fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), detail: Some(detail.into()), ..Self::of(1_051_001) }
    }

    /// The token request names no app, or makes no sense at all.
    #[must_use]
    pub fn unknown_app(detail: &str) -> Self {
        Self { detail: Some(detail.to_owned()), ..Self::of(10_003) }
    }

    /// The secret is not the one of the app.
    #[must_use]
    pub fn wrong_secret() -> Self {
        Self::of(10_014)
    }

    /// The call carries no access token.
    #[must_use]
    pub fn without_token() -> Self {
        Self::of(99_991_661)
    }

    /// The call carries an access token that is not (or no longer) valid here.
    #[must_use]
    pub fn invalid_token() -> Self {
        let cure = "get one from the token path of this service; Feishu's own are not accepted here";
        Self { detail: Some(cure.to_owned()), ..Self::of(99_991_663) }
    }

    /// The department is named by an id, which this caller may not do.
    #[must_use]
    pub fn department_not_known() -> Self {
        let detail = "does not go with an access key that is bound to departments: only Feishu knows whom it means";
        Self { field: Some("department_id"), detail: Some(detail.to_owned()), ..Self::of(1_051_002) }
    }

    /// The geo is not served.
    #[must_use]
    pub fn geo_not_served() -> Self {
        Self { field: Some("target_geo"), detail: Some("is not served here".to_owned()), ..Self::of(1_051_002) }
    }

    fn of(code: i64) -> Self {
        Self { code: Code::of(code), detail: None, field: None, log_id: None, reset: None }
    }

    fn message(&self) -> String {
        let Code { message, .. } = self.code;
        match (&self.detail, self.field) {
            (None, _) => message.to_owned(),
            (Some(detail), None) => format!("{message}: {detail}"),
            (Some(detail), Some(field)) => format!("{message}: {field} {detail}"),
        }
    }

    fn body(&self, log_id: String) -> FailureBody {
        let description = self.detail.clone().unwrap_or_default();
        let field_violations = self.field.map(|field| FieldViolation { field, description }).into_iter().collect();
        FailureBody { code: self.code.number, msg: self.message(), error: FailureDetail { log_id, field_violations } }
    }

    fn write(&self, log_id: String, response: &mut Response) {
        *response.status_mut() = self.code.status;
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.reset {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            let is_limit = self.code.status == StatusCode::TOO_MANY_REQUESTS;
            headers.extend(is_limit.then(|| (RESET, HeaderValue::from(seconds))));
        }
        *response.body_mut() = serde_json::to_vec(&self.body(log_id)).unwrap_or_default().into();
    }
}

/// Our problems in upstream's codes. What upstream said itself is passed on, but for codes that would blame the caller
/// for what happened between upstream and us.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let told = |or: i64| problem.upstream_code.unwrap_or(or);
        let code = match problem.code {
            ProblemCode::NotFound => 404,
            ProblemCode::MethodNotAllowed => 405,
            ProblemCode::InvalidParameters
            | ProblemCode::NotAcceptable
            | ProblemCode::StaleCursor
            | ProblemCode::PayloadTooLarge
            | ProblemCode::UriTooLong => 1_051_001,
            ProblemCode::UpstreamRejected => told(1_051_001),
            ProblemCode::UpstreamForbidden => told(1_051_002),
            // Not the caller's credentials: those of this service. Nothing that the caller can mend.
            ProblemCode::UpstreamUnauthorized
            | ProblemCode::UpstreamUnavailable
            | ProblemCode::ArchiveUnavailable
            | ProblemCode::IdentityProviderUnavailable
            | ProblemCode::RequestTimeout
            | ProblemCode::Internal => 2200,
            ProblemCode::UpstreamThrottled
            | ProblemCode::NotReadyInTime
            | ProblemCode::TooManyRequests
            | ProblemCode::Overloaded => 99_991_400,
            ProblemCode::Unauthenticated => 99_991_663,
            ProblemCode::InsufficientScope => 99_991_672,
            ProblemCode::HostNotServed => 1_051_002,
            ProblemCode::UpstreamQuotaExhausted => 99_991_403,
        };
        Self {
            detail: Some(problem.detail),
            log_id: problem.upstream_log_id,
            reset: problem.retry_after,
            ..Self::of(code)
        }
    }
}

/// A failure travels as an extension of an empty response; [`render`] writes it, since only there the id is known.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.code.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// On upstream's paths, writes failures and problems of all layers below in upstream's shape, and adds the log id.
pub async fn render(RequestId(request_id): RequestId, request: Request, next: Next) -> Response {
    let is_upstreams = request.uri().path().starts_with(UPSTREAMS);
    let mut response = next.run(request).await;
    if !is_upstreams {
        return response;
    }
    let extensions = response.extensions_mut();
    let failure = extensions.remove::<Failure>().or_else(|| extensions.remove::<Problem>().map(Failure::from));
    let upstreams = failure.as_ref().and_then(|failure| failure.log_id.as_deref());
    let log_id = upstreams.unwrap_or(&request_id).to_owned();
    name(&log_id, response.headers_mut());
    if let Some(failure) = failure {
        failure.write(log_id, &mut response);
    }
    response
}

fn name(log_id: &str, headers: &mut HeaderMap) {
    headers.extend(HeaderValue::from_str(log_id).ok().map(|log_id| (LOG_ID, log_id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_code_of_upstream() {
        for code in ProblemCode::ALL {
            let failure = Failure::from(Problem::new(code, "what happened"));
            assert_ne!(failure.code.number, 0);
            assert!(failure.code.status.is_client_error() || failure.code.status.is_server_error(), "{code:?}");
            assert!(failure.message().ends_with(": what happened"));
        }
    }

    #[test]
    fn a_parameter_at_fault_is_named() {
        let body = Failure::invalid("page_size", "is odd").body("2026".to_owned());
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            serde_json::json!({
                "code": 1_051_001, "msg": "request contain invalid param: page_size is odd",
                "error": {
                    "log_id": "2026", "field_violations": [{ "field": "page_size", "description": "is odd" }],
                },
            })
        );
    }
}
