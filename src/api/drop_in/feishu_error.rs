//! Errors in Feishu's format: a code, the HTTP status of that code, and a log id.
//!
//! All error responses below `/open-apis/` have this format, because the SDKs expect it. Problems of other layers are
//! converted.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{
    middleware::{Finish, Middleware, Served},
    problem::{Problem, ProblemCode},
    rate_limit_headers::set_rate_limit_headers,
    request_facts::RequestFacts,
};

const LOG_ID: HeaderName = HeaderName::from_static("x-tt-logid");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ogw-ratelimit-limit");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ogw-ratelimit-reset");

/// An error in Feishu's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeishuError {
    code: FeishuCode,
    /// Details of this occurrence.
    detail: Option<String>,
    /// The invalid parameter.
    field: Option<&'static str>,
    /// Log id of the failed call to Feishu, if there is one.
    log_id: Option<Arc<str>>,
    /// Seconds to wait before a retry.
    retry_after: Option<u64>,
    /// The status, if it is not that of the code: the request violates HTTP, and no code of Feishu means this.
    status: Option<StatusCode>,
}

/// A code, with the status and message that Feishu sends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FeishuCode {
    number: i64,
    status: StatusCode,
    message: &'static str,
}

/// The body of an error response.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeishuErrorBody {
    /// Error code, for programs. Never 0.
    #[schema(example = 1_051_001)]
    code: i64,
    /// Error message, for people.
    #[schema(example = "request contain invalid param: page_size is not a whole number from 1 to 60")]
    msg: String,
    error: FeishuErrorDetail,
}

/// Details of an error.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeishuErrorDetail {
    /// If a call to Feishu failed: id of the call in Feishu's log search. Otherwise: id of the request in the log of this
    /// service.
    #[schema(example = "1f6c9b0d3a5e7f21")]
    log_id: String,
    /// The invalid parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    field_violations: Vec<FieldViolation>,
}

/// An invalid parameter.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldViolation {
    /// Name of the parameter.
    #[schema(example = "page_size")]
    field: &'static str,
    /// What is wrong with the value.
    #[schema(example = "is not a whole number from 1 to 60")]
    description: String,
}

impl FeishuCode {
    /// The code with its status and message. Messages are those that Feishu sends (observed).
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
            // Feishu's code for an app that lacks a scope.
            99_991_672 => (StatusCode::BAD_REQUEST, "Access denied. A scope is required"),
            99_991_663 => (StatusCode::BAD_REQUEST, "Invalid access token for authorization"),
            // Feishu sends all other errors with status 400.
            _ => (StatusCode::BAD_REQUEST, "request rejected"),
        };
        Self { number, status, message }
    }
}

impl FeishuError {
    /// A parameter is invalid.
    #[must_use]
    pub fn invalid_parameter(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), detail: Some(detail.into()), ..Self::of(1_051_001) }
    }

    /// The token request is malformed or names no app.
    #[must_use]
    pub fn invalid_token_request(detail: &str) -> Self {
        Self { detail: Some(detail.to_owned()), ..Self::of(10_003) }
    }

    /// The secret of the app is wrong.
    #[must_use]
    pub fn wrong_secret() -> Self {
        Self::of(10_014)
    }

    /// The request has no access token.
    #[must_use]
    pub fn missing_token() -> Self {
        Self::of(99_991_661)
    }

    /// The access token of the request is invalid or has expired.
    #[must_use]
    pub fn invalid_token() -> Self {
        let detail = "request a token from the token endpoint of this service; Feishu's tokens are not accepted";
        Self { detail: Some(detail.to_owned()), ..Self::of(99_991_663) }
    }

    /// The caller is not allowed to select a department by id.
    #[must_use]
    pub fn department_id_not_allowed() -> Self {
        let detail = "is not available to access keys that are restricted to departments: Feishu resolves the id, \
            possibly to people of other departments";
        Self { field: Some("department_id"), detail: Some(detail.to_owned()), ..Self::of(1_051_002) }
    }

    /// This instance does not serve the geo.
    #[must_use]
    pub fn geo_not_served() -> Self {
        Self {
            field: Some("target_geo"),
            detail: Some("is not served by this instance".to_owned()),
            ..Self::of(1_051_002)
        }
    }

    fn of(code: i64) -> Self {
        Self { code: FeishuCode::of(code), detail: None, field: None, log_id: None, retry_after: None, status: None }
    }

    fn message(&self) -> String {
        let FeishuCode { message, .. } = self.code;
        match (&self.detail, self.field) {
            (None, _) => message.to_owned(),
            (Some(detail), None) => format!("{message}: {detail}"),
            (Some(detail), Some(field)) => format!("{message}: {field} {detail}"),
        }
    }

    fn body(&self, log_id: String) -> FeishuErrorBody {
        let description = self.detail.clone().unwrap_or_default();
        let field_violations = self.field.map(|field| FieldViolation { field, description }).into_iter().collect();
        FeishuErrorBody {
            code: self.code.number,
            msg: self.message(),
            error: FeishuErrorDetail { log_id, field_violations },
        }
    }

    fn write_to(&self, log_id: String, response: &mut Response) {
        *response.status_mut() = self.status.unwrap_or(self.code.status);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            let is_limit = self.code.status == StatusCode::TOO_MANY_REQUESTS;
            headers.extend(is_limit.then(|| (RATE_LIMIT_RESET, HeaderValue::from(seconds))));
        }
        *response.body_mut() = serde_json::to_vec(&self.body(log_id)).unwrap_or_default().into();
    }
}

/// Converts problems to Feishu's codes. A code that Feishu sent is passed on, unless it concerns the credentials of this
/// service instead of the caller's request.
impl From<Problem> for FeishuError {
    fn from(problem: Problem) -> Self {
        let is_http_fault = matches!(problem.code, ProblemCode::InvalidHost | ProblemCode::RequestTimeout);
        let upstream_code_or = |default: i64| problem.upstream_code.unwrap_or(default);
        let code = match problem.code {
            ProblemCode::NotFound => 404,
            ProblemCode::MethodNotAllowed => 405,
            ProblemCode::InvalidParameters
            | ProblemCode::NotAcceptable
            | ProblemCode::StaleCursor
            | ProblemCode::InvalidHost
            | ProblemCode::PayloadTooLarge
            | ProblemCode::PreconditionFailed
            | ProblemCode::RangeNotSatisfiable
            | ProblemCode::UriTooLong => 1_051_001,
            ProblemCode::UpstreamRejected => upstream_code_or(1_051_001),
            ProblemCode::UpstreamForbidden => upstream_code_or(1_051_002),
            // Failures of this service and its dependencies, which the caller cannot fix.
            ProblemCode::UpstreamUnauthorized
            | ProblemCode::UpstreamUnavailable
            | ProblemCode::ArchiveUnavailable
            | ProblemCode::IdentityProviderUnavailable
            | ProblemCode::RequestTimeout
            | ProblemCode::Internal => 2200,
            ProblemCode::UpstreamThrottled
            | ProblemCode::NoLeader
            | ProblemCode::NotReadyInTime
            | ProblemCode::TooManyRequests
            | ProblemCode::Overloaded => 99_991_400,
            ProblemCode::Unauthenticated => 99_991_663,
            ProblemCode::DepartmentNotAllowed | ProblemCode::InsufficientScope => 99_991_672,
            ProblemCode::HostNotServed | ProblemCode::CrossSiteRequest => 1_051_002,
            ProblemCode::UpstreamQuotaExhausted => 99_991_403,
        };
        Self {
            detail: Some(problem.detail),
            log_id: problem.upstream_log_id,
            retry_after: problem.retry_after,
            status: is_http_fault.then_some(problem.code.doc().status),
            ..Self::of(code)
        }
    }
}

/// Attaches the error to an empty response as an extension. [`RenderFeishuErrors`] writes the body, because it has the request id.
impl IntoResponse for FeishuError {
    fn into_response(self) -> Response {
        let mut response = self.status.unwrap_or(self.code.status).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The layer that writes the errors and problems of inner layers in Feishu's format, and adds the headers that all responses
/// have: the log id, and the rate limit of the caller.
#[derive(Clone, Copy, Debug)]
pub struct RenderFeishuErrors;

/// Completes a response.
#[derive(Debug)]
pub struct RenderFeishuError(Arc<RequestFacts>);

impl Middleware for RenderFeishuErrors {
    type Finish = RenderFeishuError;

    fn before<B>(&self, request: &mut Request<B>) -> Result<RenderFeishuError, Response> {
        Ok(RenderFeishuError(RequestFacts::of(request)))
    }
}

impl Finish for RenderFeishuError {
    fn finish(self, Ok(mut response): Served) -> Response {
        let error = response.extensions_mut().remove::<FeishuError>();
        let error = error.or_else(|| Problem::of_response(&mut response).map(FeishuError::from));
        let upstream_log_id = error.as_ref().and_then(|error| error.log_id.as_deref());
        let log_id = upstream_log_id.unwrap_or(self.0.request_id()).to_owned();
        let headers = response.headers_mut();
        set_log_id(&log_id, headers);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Some(status) = self.0.rate_limit() {
            set_rate_limit_headers(*status, headers);
            headers.insert(RATE_LIMIT, HeaderValue::from(status.limit));
        }
        if let Some(error) = error {
            error.write_to(log_id, &mut response);
        }
        response
    }
}

fn set_log_id(log_id: &str, headers: &mut HeaderMap) {
    headers.extend(HeaderValue::from_str(log_id).ok().map(|log_id| (LOG_ID, log_id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_feishu_code() {
        for code in ProblemCode::ALL {
            let error = FeishuError::from(Problem::new(*code, "what happened"));
            assert_ne!(error.code.number, 0);
            assert!(error.code.status.is_client_error() || error.code.status.is_server_error(), "{code:?}");
            assert!(error.message().ends_with(": what happened"));
        }
    }

    #[test]
    fn an_error_names_the_invalid_parameter() {
        let body = FeishuError::invalid_parameter("page_size", "is odd").body("2026".to_owned());
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
