//! Endpoints for operators: probes, metrics and the explanations of problems.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    params::PathSegment,
    problem::{Problem, ProblemCode, ProblemLanguage},
    responses::CommonProblems,
    state::ApiState,
};
use crate::{prometheus::Exposition, store::archive};

/// Liveness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Readiness of the process, and the state of its components.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `draining`.
    #[schema(example = "ready")]
    status: &'static str,
    /// State of the archive; null if there is none. It does not affect readiness: without the archive, days are fetched
    /// from Feishu.
    archive: Option<ArchiveHealth>,
    /// State of the access keys; null if there is no keys file. If the file is faulty, the previous keys stay in force.
    access_keys: Option<AccessKeysHealth>,
}

/// State of the access keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessKeysHealth {
    /// `ok`, or `faulty`: the log names the faulty lines of the file.
    #[schema(example = "ok")]
    status: &'static str,
    /// Number of keys in force.
    #[schema(example = 3)]
    keys: usize,
}

/// State of the archive.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArchiveHealth {
    /// `ok` or `failing`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The kind of the latest failure, if the archive is failing: `unreachable`, `timeout`, `denied`, `not_found`, `full`,
    /// `read_only`, `incomplete`, `other_owner`, `newer_format` or `failed`. The log has the details.
    #[schema(example = "unreachable")]
    fault: Option<&'static str>,
    /// Days in the write queue.
    #[schema(example = 0)]
    unwritten: usize,
    /// Days dropped from the full write queue since the process started. They are archived when they are fetched again.
    #[serde(rename = "forgone")]
    #[schema(example = 0)]
    dropped: u64,
    /// Damaged files that were quarantined since the process started.
    #[schema(example = 0)]
    damaged: u64,
}

/// The explanation of a problem code.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemPage {
    /// Code, for programs.
    code: ProblemCode,
    /// HTTP status.
    status: u16,
    /// Title, for people.
    title: &'static str,
    /// Cause of the problem.
    cause: &'static str,
    /// What to do about the problem.
    cure: &'static str,
}

/// Liveness probe
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "livez",
    responses((status = 200, description = "The process is alive", body = Health)),
)]
pub(in crate::api) async fn livez() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Readiness probe
///
/// Readiness does not depend on Feishu or the archive: available days are served while either is down.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses(
        (status = 200, description = "The process accepts requests", body = Readiness),
        (status = 503, description = "The process is shutting down", body = Readiness),
    ),
)]
pub(in crate::api) async fn readyz(State(state): State<ApiState>) -> Response {
    let archive = state.data.archive.as_ref().map(|archive| archive.health().into());
    let access_keys = state.access.authenticator.keys_file().map(|file| AccessKeysHealth {
        status: if file.is_faulty() { "faulty" } else { "ok" },
        keys: file.keys().len(),
    });
    let (code, status) =
        if state.is_draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "ready") };
    (code, Json(Readiness { status, archive, access_keys })).into_response()
}

impl From<archive::ArchiveStatus> for ArchiveHealth {
    fn from(status: archive::ArchiveStatus) -> Self {
        let archive::ArchiveStatus { fault, unwritten, dropped, damaged } = status;
        Self {
            status: if fault.is_some() { "failing" } else { "ok" },
            fault: fault.map(Into::into),
            unwritten,
            dropped,
            damaged,
        }
    }
}

/// Metrics
///
/// Counters, gauges and histograms in Prometheus' text format, each with a help text. No metric is about a person. With
/// `PULSE_ADMIN_LISTEN`, metrics are served at that address only.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, description = "The current values of all metrics", body = String, content_type = "text/plain"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn metrics(State(state): State<ApiState>) -> Response {
    ([(header::CONTENT_TYPE, Exposition::MEDIA_TYPE)], state.operations.collectors.render()).into_response()
}

/// Explain a problem
///
/// The `type` of each problem document is a path of this endpoint. The texts are Chinese for clients that prefer it.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations", operation_id = "explainProblem",
    params(("code" = String, Path, description = "The problem's `code`", example = "invalid_parameters")),
    responses(
        (status = 200, description = "The cause of the problem, and what to do about it", body = ProblemPage),
        (status = 404, description = "`not_found`: the code does not exist", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(in crate::api) async fn problem(
    PathSegment(name): PathSegment,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let code = ProblemCode::ALL.iter().copied().find(|code| code.name() == name);
    let code = code.ok_or_else(|| Problem::new(ProblemCode::NotFound, "this problem code does not exist"))?;
    let language = ProblemLanguage::of(&headers);
    let (doc, chinese) = (code.doc(), code.chinese());
    let (title, cause, cure) = match language {
        ProblemLanguage::English => (doc.title, doc.cause, doc.cure),
        ProblemLanguage::Chinese => (chinese.title, chinese.cause, chinese.cure),
    };
    let page = ProblemPage { code, status: doc.status.as_u16(), title, cause, cure };
    let vary = HeaderValue::from(header::ACCEPT_LANGUAGE);
    Ok(([(header::CONTENT_LANGUAGE, language.tag()), (header::VARY, vary)], Json(page)))
}
