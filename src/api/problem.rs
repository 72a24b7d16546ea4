//! The one table of everything that can go wrong, and how it is told: RFC 9457 problem documents.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::request_id::RequestId;
use crate::{
    query::NotAnswered,
    source::{LoadError, Upstream},
};

/// When to come back where nobody knows how long it takes.
pub(super) const UNKNOWN_WAIT: Duration = Duration::from_secs(10);

/// Every kind of problem there is. Callers may rely on the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is explained by `ProblemCode::explain`, which is served to callers too")]
pub enum ProblemCode {
    InvalidParameters,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    StaleCursor,
    UpstreamRejected,
    UpstreamUnauthorized,
    UpstreamForbidden,
    UpstreamUnavailable,
    UpstreamThrottled,
    UpstreamQuotaExhausted,
    NotReadyInTime,
    ArchiveUnavailable,
    Internal,
}

/// What a kind of problem means.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The status it is answered with.
    pub status: StatusCode,
    /// Its name for people.
    pub title: &'static str,
    /// How it comes about.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

/// A problem as it is answered (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Where this kind of problem is explained, relative to the service.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid_parameters")]
    kind: String,
    /// The kind of problem, for people.
    #[schema(example = "The request has invalid parameters")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// The kind of problem, for programs.
    pub(super) code: ProblemCode,
    /// What happened this time.
    pub(super) detail: String,
    /// Finds the request in the logs. The same as the header `x-request-id`.
    request_id: String,
    /// Every faulty parameter of the request, not only the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// The code that Feishu answered with, where Feishu is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upstream_code: Option<i64>,
    /// Finds the call in Feishu's own log search.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(super) upstream_log_id: Option<Arc<str>>,
    /// Seconds after which asking again makes sense. The same as the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<u64>,
}

/// One faulty parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// The parameter's name.
    #[schema(example = "start_date")]
    pub parameter: String,
    /// What is wrong with it.
    #[schema(example = "expected a calendar day written YYYY-MM-DD")]
    pub detail: String,
}

impl ProblemCode {
    /// Every kind of problem.
    pub const ALL: [Self; 14] = [
        Self::InvalidParameters,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::StaleCursor,
        Self::UpstreamRejected,
        Self::UpstreamUnauthorized,
        Self::UpstreamForbidden,
        Self::UpstreamUnavailable,
        Self::UpstreamThrottled,
        Self::UpstreamQuotaExhausted,
        Self::NotReadyInTime,
        Self::ArchiveUnavailable,
        Self::Internal,
    ];

    /// The name that programs see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidParameters => "invalid_parameters",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::StaleCursor => "stale_cursor",
            Self::UpstreamRejected => "upstream_rejected",
            Self::UpstreamUnauthorized => "upstream_unauthorized",
            Self::UpstreamForbidden => "upstream_forbidden",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamThrottled => "upstream_throttled",
            Self::UpstreamQuotaExhausted => "upstream_quota_exhausted",
            Self::NotReadyInTime => "not_ready_in_time",
            Self::ArchiveUnavailable => "archive_unavailable",
            Self::Internal => "internal",
        }
    }

    /// The row of the table.
    #[must_use]
    pub const fn explain(self) -> Explanation {
        let (status, title, cause, cure) = match self {
            Self::InvalidParameters => (
                StatusCode::BAD_REQUEST,
                "The request has invalid parameters",
                "A parameter is unknown, missing, malformed, given twice, or does not go with another.",
                "Mend every parameter that `errors` names. Nothing was asked of Feishu.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The path is none of this service, or names something that is not there.",
                "See /docs for the paths there are.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed here",
                "The path exists, for other methods.",
                "Use a method that the header `Allow` names.",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "There is no answer in an acceptable format",
                "The header `Accept` allows none of the formats that this endpoint has.",
                "Accept one of the media types that `detail` names, or use `format=`.",
            ),
            Self::StaleCursor => (
                StatusCode::CONFLICT,
                "The cursor is of older data",
                "A day that was still provisional has changed since the page before was read.",
                "Begin again without a cursor.",
            ),
            Self::UpstreamRejected => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Feishu does not accept the request",
                "Feishu does not know the user or department id, or it belongs to another app.",
                "Check the id and its type (`user_id_type`, `department_id_type`).",
            ),
            Self::UpstreamUnauthorized => (
                StatusCode::BAD_GATEWAY,
                "Feishu rejects the app's credentials",
                "FEISHU_APP_ID or FEISHU_APP_SECRET is wrong, or the app is disabled.",
                "The operator checks the credentials in Feishu's developer console. They are tried again every 30 s.",
            ),
            Self::UpstreamForbidden => (
                StatusCode::BAD_GATEWAY,
                "Feishu denies the app access",
                "The app lacks a scope, its data range does not cover what was asked, a geo is not enabled, or this \
                 machine's address is not allowed.",
                "An administrator grants the app what `detail` names, in Feishu's developer console.",
            ),
            Self::UpstreamUnavailable => (
                StatusCode::BAD_GATEWAY,
                "Feishu could not be reached, or failed",
                "Feishu answered with errors, with what is no answer, or not at all, through several tries.",
                "Ask again later. What was fetched meanwhile is kept.",
            ),
            Self::UpstreamThrottled => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Feishu keeps refusing calls for its rate limit",
                "Others use up the rate limit of the same app.",
                "Ask again after `retry_after` seconds; see whether other programs use the same app.",
            ),
            Self::UpstreamQuotaExhausted => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The month's calls of Feishu are spent",
                "The tenant's monthly quota of API calls, which all its apps share, is used up.",
                "Days that are held are served as before. For others, wait for the first of the month (UTC+8) or buy quota.",
            ),
            Self::NotReadyInTime => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The days could not be fetched in time",
                "The days are not held yet, and fetching them takes longer than the request may.",
                "Ask again after `retry_after` seconds: the fetch goes on, and what was fetched is kept. Or ask for \
                 fewer days, or with `allow_partial=true`.",
            ),
            Self::ArchiveUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The archive does not do what it was asked for",
                "The folder or bucket of PULSE_ARCHIVE is full, read-only, or cannot be reached.",
                "The operator looks at `/readyz` and the log, which name the fault; then ask again.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something is wrong inside this service",
                "A defect of this service.",
                "Report it with the `request_id`.",
            ),
        };
        Explanation { status, title, cause, cure }
    }
}

impl Problem {
    /// A problem of that kind, with what happened this time.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let Explanation { status, title, .. } = code.explain();
        Self {
            kind: format!("/problems/{}", code.name()),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            request_id: String::new(),
            errors: Vec::new(),
            upstream_code: None,
            upstream_log_id: None,
            retry_after: None,
        }
    }

    /// Faulty parameters; at least one.
    #[must_use]
    pub fn faults(errors: Vec<Fault>) -> Self {
        let names: Vec<&str> = errors.iter().map(|fault| fault.parameter.as_str()).collect();
        let detail = format!("faulty parameters: {}", names.join(", "));
        Self { errors, ..Self::new(ProblemCode::InvalidParameters, detail) }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(whole_seconds(wait)), ..self }
    }

    fn upstream(self, upstream: &Upstream) -> Self {
        Self { upstream_code: upstream.code, upstream_log_id: upstream.log_id.clone(), ..self }
    }
}

impl Problem {
    /// The problem of a question that was not answered, told at `now`.
    #[must_use]
    pub fn not_answered(error: &NotAnswered, now: jiff::Timestamp) -> Self {
        match error {
            NotAnswered::Load(error) => Self::load_error(error, now),
            NotAnswered::NotInTime { left } => {
                let detail = left.map_or_else(
                    || "the days are being fetched; how long it takes cannot be told yet".to_owned(),
                    |left| format!("the days are being fetched; it takes about {} s more", left.as_secs().max(1)),
                );
                Self::new(ProblemCode::NotReadyInTime, detail).retry_after(left.unwrap_or(UNKNOWN_WAIT))
            }
        }
    }

    /// The problem of an archive that did not do what it was asked for.
    #[must_use]
    pub fn archive(error: &impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::ArchiveUnavailable, error.to_string()).retry_after(Duration::from_secs(60))
    }

    fn load_error(error: &LoadError, now: jiff::Timestamp) -> Self {
        let (code, wait) = match error {
            LoadError::Unauthorized { retry_after, .. } => (ProblemCode::UpstreamUnauthorized, Some(*retry_after)),
            LoadError::Forbidden { .. } => (ProblemCode::UpstreamForbidden, None),
            LoadError::Rejected { .. } => (ProblemCode::UpstreamRejected, None),
            LoadError::QuotaExhausted { until, .. } => {
                let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                (ProblemCode::UpstreamQuotaExhausted, Some(wait))
            }
            LoadError::Throttled { retry_after, .. } => (ProblemCode::UpstreamThrottled, Some(*retry_after)),
            LoadError::Unavailable { .. } => (ProblemCode::UpstreamUnavailable, Some(Duration::from_secs(30))),
            LoadError::Abandoned => (ProblemCode::Internal, None),
        };
        let problem = Self::new(code, error.to_string()).upstream(error.upstream().unwrap_or(&Upstream::default()));
        wait.into_iter().fold(problem, Self::retry_after)
    }
}

/// A wait as `Retry-After` tells it: rounded up, and at least a second.
#[must_use]
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// A problem travels as an extension of an empty response; [`render`] writes it, since only there the id is known.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problems of all layers and handlers below, each with the id of its request.
pub async fn render(RequestId(request_id): RequestId, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let problem = Problem { request_id, ..problem };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = serde_json::to_vec(&problem).unwrap_or_default().into();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_problem_is_its_name_in_json() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
