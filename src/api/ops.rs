//! For probes, and for people who want a problem explained.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    params::Segment,
    problem::{Problem, ProblemCode},
    responses::CommonProblems,
    state::ApiState,
};
use crate::{meter::Exposition, store::archive};

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// In a word.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the process should get requests, and how its parts are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// In a word: `ready` or `draining`.
    #[schema(example = "ready")]
    status: &'static str,
    /// How the archive is; null where there is none. It does not decide readiness: without it, days come from Feishu.
    archive: Option<ArchiveHealth>,
    /// How the access keys are; null where there is no file of them. Where the file is faulty, the keys before it still
    /// count.
    access_keys: Option<AccessKeysHealth>,
}

/// How the access keys are.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessKeysHealth {
    /// In a word: `ok`, or `faulty`; the log says in which lines.
    #[schema(example = "ok")]
    status: &'static str,
    /// Keys that count now.
    #[schema(example = 3)]
    keys: usize,
}

/// How the archive is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArchiveHealth {
    /// In a word: `ok` or `failing`.
    #[schema(example = "ok")]
    status: &'static str,
    /// What is wrong, where it fails.
    #[schema(value_type = Option<String>)]
    fault: Option<Arc<str>>,
    /// Days that wait to be written.
    #[schema(example = 0)]
    unwritten: usize,
    /// Days given up unwritten since the start, because too many waited. They are archived when they are fetched again.
    #[schema(example = 0)]
    forgone: u64,
    /// Files found damaged since the start, and set aside.
    #[schema(example = 0)]
    damaged: u64,
}

/// A kind of problem, explained.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemPage {
    /// Its name for programs.
    code: ProblemCode,
    /// The status it is answered with.
    status: u16,
    /// Its name for people.
    title: &'static str,
    /// How it comes about.
    cause: &'static str,
    /// What to do about it.
    cure: &'static str,
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "livez",
    responses((status = 200, description = "It is", body = Health)),
)]
pub(in crate::api) async fn livez() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Should the process get requests?
///
/// Readiness depends neither on Feishu nor on the archive: what is held can be served while either is down.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses(
        (status = 200, description = "It should", body = Readiness),
        (status = 503, description = "It is about to end and gets no new requests", body = Readiness),
    ),
)]
pub(in crate::api) async fn readyz(State(state): State<ApiState>) -> Response {
    let archive = state.archive.as_ref().map(|archive| archive.health().into());
    let access_keys = state.gatekeeper.keys_file().map(|file| AccessKeysHealth {
        status: if file.is_faulty() { "faulty" } else { "ok" },
        keys: file.keys().len(),
    });
    let (code, status) =
        if state.is_draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "ready") };
    (code, Json(Readiness { status, archive, access_keys })).into_response()
}

impl From<archive::Health> for ArchiveHealth {
    fn from(health: archive::Health) -> Self {
        let archive::Health { fault, unwritten, forgone, damaged } = health;
        Self { status: if fault.is_some() { "failing" } else { "ok" }, fault, unwritten, forgone, damaged }
    }
}

/// How is the service doing?
///
/// Counters, gauges and latencies in Prometheus' text format; each is described on the page itself. Nothing about
/// people is on it. With `PULSE_ADMIN_LISTEN` it is served at that address alone.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, description = "All figures as they are now", body = String, content_type = "text/plain"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn metrics(State(state): State<ApiState>) -> Response {
    ([(header::CONTENT_TYPE, Exposition::MEDIA_TYPE)], state.meters.page()).into_response()
}

/// What does a problem mean?
///
/// The `type` of every problem points here.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "operations", operation_id = "explainProblem",
    params(("code" = String, Path, description = "The problem's `code`", example = "invalid_parameters")),
    responses(
        (status = 200, description = "Cause and cure", body = ProblemPage),
        (status = 404, description = "`not_found`: there is no such problem", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(in crate::api) async fn problem(Segment(name): Segment) -> Result<Json<ProblemPage>, Problem> {
    let code = ProblemCode::ALL.into_iter().find(|code| code.name() == name);
    let code = code.ok_or_else(|| Problem::new(ProblemCode::NotFound, "there is no such problem"))?;
    let explained = code.explain();
    Ok(Json(ProblemPage {
        code,
        status: explained.status.as_u16(),
        title: explained.title,
        cause: explained.cause,
        cure: explained.cure,
    }))
}
