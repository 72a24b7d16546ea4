//! What went wrong, as it is told: RFC 9457 problem documents.

mod code;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

pub use self::code::{Explanation, ProblemCode};
use super::request_id::RequestId;
use crate::{
    access::{Refusal, Scope},
    query::NotAnswered,
    source::{LoadError, Upstream},
};

/// When to come back where nobody knows how long it takes.
pub(super) const UNKNOWN_WAIT: Duration = Duration::from_secs(10);

/// How callers are asked who they are (RFC 6750).
const CHALLENGE: &str = "Bearer realm=\"feishu-pulse\"";

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
    /// The scope that the caller lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "users:read")]
    required_scope: Option<Scope>,
    /// What is sent as `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<String>,
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
            required_scope: None,
            challenge: None,
        }
    }

    /// Nobody says who asks.
    #[must_use]
    pub fn anonymous() -> Self {
        let detail = "the header Authorization is missing; expected `Bearer` and an access key or token";
        Self { challenge: Some(CHALLENGE.to_owned()), ..Self::new(ProblemCode::Unauthenticated, detail) }
    }

    /// Who asks is not let in.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid => {
                let challenge = format!("{CHALLENGE}, error=\"invalid_token\"");
                let problem = Self::new(ProblemCode::Unauthenticated, refusal.to_string());
                Self { challenge: Some(challenge), ..problem }
            }
            Refusal::Unavailable => Self::new(ProblemCode::IdentityProviderUnavailable, refusal.to_string())
                .retry_after(Duration::from_secs(30)),
        }
    }

    /// Who asks lacks a scope.
    #[must_use]
    pub fn lacks(scope: Scope, detail: impl Into<String>) -> Self {
        let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
        let problem = Self::new(ProblemCode::InsufficientScope, detail);
        Self { required_scope: Some(scope), challenge: Some(challenge), ..problem }
    }

    /// Faulty parameters; at least one.
    #[must_use]
    pub fn faults(errors: Vec<Fault>) -> Self {
        let names: Vec<&str> = errors.iter().map(|fault| fault.parameter.as_str()).collect();
        let detail = format!("faulty parameters: {}", names.join(", "));
        Self { errors, ..Self::new(ProblemCode::InvalidParameters, detail) }
    }

    /// The problem of a failure that a library answered by itself, with a sentence or nothing, such as a path that is no
    /// text.
    fn of_plain(response: &Response) -> Option<Self> {
        let said = response.headers().get(header::CONTENT_TYPE);
        let is_plain = said.is_none_or(|said| said.as_bytes().starts_with(b"text/plain"));
        let status = response.status();
        let of_status = |code: &ProblemCode| code.explain().status == status && status.as_u16() >= 400;
        let code = ProblemCode::ALL.into_iter().find(of_status).filter(|_| is_plain)?;
        Some(Self::new(code, "there is nothing that such a request could mean; see /docs"))
    }

    /// With the time after which asking again makes sense.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
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
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| Problem::of_plain(&response));
    let Some(problem) = problem else { return response };
    let problem = Problem { request_id, ..problem };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    let challenge = problem.challenge.as_deref().and_then(|challenge| HeaderValue::from_str(challenge).ok());
    headers.extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = serde_json::to_vec(&problem).unwrap_or_default().into();
    response
}
