//! Problem documents (RFC 9457): the error responses of the native API.

mod chinese;
mod code;
mod language;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use self::chinese::{ChineseDoc, translate};
pub use self::code::{ProblemCode, ProblemDoc};
pub(super) use self::language::ProblemLanguage;
use super::{
    middleware::{Finish, Middleware, Served},
    request_facts::RequestFacts,
};
use crate::{
    access::{AuthError, Scope},
    query::{QueryError, TooManyJobs},
    source::{LoadError, UpstreamDetail},
    store::archive::StorageError,
};

/// `Retry-After` if there is no estimate of the wait.
pub(super) use crate::query::DEFAULT_RETRY_AFTER;

/// Codes of Feishu for a user id or department id that it does not know.
const UNKNOWN_ID_CODES: [i64; 2] = [99_992_351, 99_992_357];

/// The `WWW-Authenticate` challenge (RFC 6750).
const CHALLENGE: &str = "Bearer realm=\"feishu-pulse\"";

/// A problem document (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Path of the explanation of this problem, relative to the service.
    #[serde(rename = "type")]
    kind: String,
    /// Title of the problem, for people.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// Code of the problem, for programs.
    pub(super) code: ProblemCode,
    /// Details of this occurrence.
    pub(super) detail: String,
    /// Id of the request in the logs. The same as the header `x-request-id`.
    request_id: String,
    /// All faulty parameters of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ParameterFault>,
    /// Code of Feishu's error response, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) upstream_code: Option<i64>,
    /// Id of the failed call in Feishu's log search.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub(super) upstream_log_id: Option<Arc<str>>,
    /// Seconds to wait before a retry. The same as the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) retry_after: Option<u64>,
    /// Scope that the caller lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "users:read")]
    required_scope: Option<Scope>,
    /// Departments with a path similar to `department_path`, the most similar first. At most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["总部/研发"]))]
    suggestions: Vec<Arc<str>>,
    /// Value of the header `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<String>,
}

/// One faulty parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParameterFault {
    /// Name of the parameter.
    #[schema(example = "start_date")]
    pub parameter: String,
    /// What is wrong with the value.
    #[schema(example = "expected a calendar day written YYYY-MM-DD")]
    pub detail: String,
}

impl Problem {
    /// A problem with the status and title of `code`.
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let ProblemDoc { status, title, .. } = code.doc();
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
            suggestions: Vec::new(),
            challenge: None,
        }
    }

    /// The request has no credentials.
    #[must_use]
    pub fn missing_credentials() -> Self {
        let detail = "the header Authorization is missing; expected `Bearer` followed by an access key or token";
        Self { challenge: Some(CHALLENGE.to_owned()), ..Self::new(ProblemCode::Unauthenticated, detail) }
    }

    /// The credentials could not be verified.
    #[must_use]
    pub fn from_auth_error(error: AuthError) -> Self {
        match error {
            AuthError::Invalid => {
                let challenge = format!("{CHALLENGE}, error=\"invalid_token\"");
                let problem = Self::new(ProblemCode::Unauthenticated, error.to_string());
                Self { challenge: Some(challenge), ..problem }
            }
            AuthError::TooManyFailures { retry_after } => {
                Self::new(ProblemCode::TooManyRequests, error.to_string()).with_retry_after(retry_after)
            }
            AuthError::Unavailable => Self::new(ProblemCode::IdentityProviderUnavailable, error.to_string())
                .with_retry_after(Duration::from_secs(30)),
        }
    }

    /// The caller lacks a scope.
    #[must_use]
    pub fn insufficient_scope(scope: Scope, detail: impl Into<String>) -> Self {
        let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
        let problem = Self::new(ProblemCode::InsufficientScope, detail);
        Self { required_scope: Some(scope), challenge: Some(challenge), ..problem }
    }

    /// One or more parameters are faulty.
    #[must_use]
    pub fn invalid_parameters(errors: Vec<ParameterFault>) -> Self {
        let names: Vec<&str> = errors.iter().map(|fault| fault.parameter.as_str()).collect();
        let detail = format!("faulty parameters: {}", names.join(", "));
        Self { errors, ..Self::new(ProblemCode::InvalidParameters, detail) }
    }

    /// Takes the problem out of an error response that is not rendered yet.
    pub fn of_response(response: &mut Response) -> Option<Self> {
        // Most responses are successful, so this is checked first.
        if response.status().as_u16() < 400 {
            return None;
        }
        response.extensions_mut().remove::<Self>().or_else(|| Self::from_plain_response(response))
    }

    /// The problem for an error response of a library, which is plain text or empty (such as axum's own rejections).
    fn from_plain_response(response: &Response) -> Option<Self> {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_plain = content_type.is_none_or(|content_type| content_type.as_bytes().starts_with(b"text/plain"));
        let status = response.status();
        let has_status = |code: &ProblemCode| code.doc().status == status;
        let code = ProblemCode::ALL.iter().copied().find(has_status).filter(|_| is_plain)?;
        Some(Self::new(code, "the request cannot be processed; see /docs for the API"))
    }

    /// Adds departments with similar paths.
    #[must_use]
    pub fn with_suggestions(self, suggestions: Vec<Arc<str>>) -> Self {
        Self { suggestions, ..self }
    }

    /// The same problem as `not_found`, if Feishu has rejected the request because it does not know the id.
    #[must_use]
    pub fn with_unknown_id_as_not_found(self) -> Self {
        let is_unknown_id = self.upstream_code.is_some_and(|code| UNKNOWN_ID_CODES.contains(&code));
        if self.code != ProblemCode::UpstreamRejected || !is_unknown_id {
            return self;
        }
        let Self { upstream_code, upstream_log_id, detail, .. } = self;
        Self { upstream_code, upstream_log_id, ..Self::new(ProblemCode::NotFound, detail) }
    }

    /// Sets the time to wait before a retry.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(retry_after_seconds(wait)), ..self }
    }

    /// The problem with its texts in this language. A message without a Chinese text stays English; as the detail, it follows
    /// the Chinese explanation of the code.
    fn in_language(self, language: ProblemLanguage) -> Self {
        match language {
            ProblemLanguage::English => self,
            ProblemLanguage::Chinese => {
                let ChineseDoc { title, cause, cure } = self.code.chinese();
                let detail = translate(&self.detail).unwrap_or_else(|| format!("{cause}{cure}（{}）", self.detail));
                let translated = |ParameterFault { parameter, detail }| {
                    let detail = translate(&detail).unwrap_or(detail);
                    ParameterFault { parameter, detail }
                };
                Self { title, detail, errors: self.errors.into_iter().map(translated).collect(), ..self }
            }
        }
    }

    fn with_upstream_detail(self, upstream: &UpstreamDetail) -> Self {
        Self { upstream_code: upstream.code, upstream_log_id: upstream.log_id.clone(), ..self }
    }
}

impl Problem {
    /// The problem of a failed query.
    #[must_use]
    pub fn from_query_error(error: &QueryError, now: jiff::Timestamp) -> Self {
        match error {
            QueryError::Load(error) => Self::from_load_error(error, now),
            QueryError::DeadlineExceeded { remaining, fetch_continues } => {
                let progress = if *fetch_continues {
                    "the days are being fetched"
                } else {
                    "the fetch ends, because no request waits for it; wait longer, or set Prefer: respond-async"
                };
                let detail = remaining.map_or_else(
                    || format!("{progress}; the remaining time is unknown"),
                    |remaining| format!("{progress}; about {} s remain", remaining.as_secs().max(1)),
                );
                Self::new(ProblemCode::NotReadyInTime, detail)
                    .with_retry_after(remaining.unwrap_or(DEFAULT_RETRY_AFTER))
            }
            QueryError::Changing => {
                Self::new(ProblemCode::NotReadyInTime, error.to_string()).with_retry_after(DEFAULT_RETRY_AFTER)
            }
        }
    }

    /// The problem of a failed archive operation.
    #[must_use]
    pub fn archive_unavailable(error: &StorageError) -> Self {
        // The details contain addresses and paths; they are logged.
        let detail = format!("the archive cannot be used ({})", error.fault());
        Self::new(ProblemCode::ArchiveUnavailable, detail).with_retry_after(Duration::from_secs(60))
    }

    /// The problem of a request that only the leader of a fleet can serve, while no replica leads.
    #[must_use]
    pub fn no_leader() -> Self {
        Self::from_load_error(&LoadError::NotLeader, jiff::Timestamp::UNIX_EPOCH)
    }

    fn from_load_error(error: &LoadError, now: jiff::Timestamp) -> Self {
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
            LoadError::NotLeader => (ProblemCode::NoLeader, Some(Duration::from_secs(10))),
            LoadError::Abandoned => (ProblemCode::Internal, None),
        };
        let problem = Self::new(code, error.to_string())
            .with_upstream_detail(error.upstream().unwrap_or(&UpstreamDetail::default()));
        wait.into_iter().fold(problem, Self::with_retry_after)
    }
}

/// The limit frees up when a running job ends, which cannot be predicted.
impl From<TooManyJobs> for Problem {
    fn from(error: TooManyJobs) -> Self {
        Self::new(ProblemCode::TooManyRequests, error.to_string()).with_retry_after(DEFAULT_RETRY_AFTER)
    }
}

/// A wait as the value of `Retry-After`: whole seconds, rounded up, at least 1.
#[must_use]
pub fn retry_after_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Attaches the problem to an empty response as an extension. [`RenderProblems`] writes the body, because it has the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The layer that writes the body of problems from inner layers and handlers, with the request id.
#[derive(Clone, Copy, Debug)]
pub struct RenderProblems;

/// Renders the problem of a response, if it has one.
#[derive(Debug)]
pub struct RenderProblem {
    facts: Arc<RequestFacts>,
    language: ProblemLanguage,
}

impl Middleware for RenderProblems {
    type Finish = RenderProblem;

    fn before<B>(&self, request: &mut Request<B>) -> Result<RenderProblem, Response> {
        Ok(RenderProblem { facts: RequestFacts::of(request), language: ProblemLanguage::of(request.headers()) })
    }
}

impl Finish for RenderProblem {
    fn finish(self, Ok(mut response): Served) -> Response {
        let Some(problem) = Problem::of_response(&mut response) else { return response };
        let problem = Problem { request_id: self.facts.request_id().to_owned(), ..problem.in_language(self.language) };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_LANGUAGE, self.language.tag());
        headers.append(header::VARY, HeaderValue::from(header::ACCEPT_LANGUAGE));
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let challenge = problem.challenge.as_deref().and_then(|challenge| HeaderValue::from_str(challenge).ok());
        headers.extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        headers.remove(header::CONTENT_LENGTH);
        *response.body_mut() = serde_json::to_vec(&problem).unwrap_or_default().into();
        response
    }
}
