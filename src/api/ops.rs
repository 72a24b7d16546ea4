//! For probes, and for people who want a problem explained.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    problem::{Problem, ProblemCode},
    router::ApiState,
};

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// In a word.
    #[schema(example = "ok")]
    status: &'static str,
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
/// Readiness does not depend on Feishu: what is held can be served while Feishu is down.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses(
        (status = 200, description = "It should", body = Health),
        (status = 503, description = "It is about to end and gets no new requests", body = Health),
    ),
)]
pub(in crate::api) async fn readyz(State(state): State<ApiState>) -> Response {
    if state.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "draining" })).into_response();
    }
    Json(Health { status: "ready" }).into_response()
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
pub(in crate::api) async fn problem(name: Result<Path<String>, PathRejection>) -> Result<Json<ProblemPage>, Problem> {
    // A name that is not even text is no problem's name; axum would say so in plain text.
    let code = name.ok().and_then(|Path(name)| ProblemCode::ALL.into_iter().find(|code| code.name() == name));
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
