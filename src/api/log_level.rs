//! `/log-level`: reads and changes the log filter of the running process.

use axum::{
    extract::{State, rejection::StringRejection},
    http::StatusCode,
};

use super::{
    log_filter::LogFilter,
    problem::{Problem, ProblemCode},
    state::ApiState,
};

/// Get the log filter
#[utoipa::path(
    get, path = "/log-level", tag = "operations", operation_id = "logLevel",
    responses((status = 200, description = "The filter, as in `PULSE_LOG`", body = String, content_type = "text/plain")),
)]
pub(in crate::api) async fn get(State(state): State<ApiState>) -> Result<String, Problem> {
    let filter = state.operations.log_filter.as_ref().and_then(LogFilter::current);
    filter.map(|filter| filter + "\n").ok_or_else(logging_disabled)
}

/// Change the log filter
///
/// The change lasts until the process ends or the filter is changed again.
#[utoipa::path(
    put, path = "/log-level", tag = "operations", operation_id = "changeLogLevel",
    request_body(content = String, content_type = "text/plain", description = "A filter, as in `PULSE_LOG`"),
    responses(
        (status = 204, description = "The filter is changed"),
        (status = 400, description = "`invalid_parameters`: the body is not a log filter", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(in crate::api) async fn put(
    State(state): State<ApiState>,
    body: Result<String, StringRejection>,
) -> Result<StatusCode, Problem> {
    let log_filter = state.operations.log_filter.as_ref().ok_or_else(logging_disabled)?;
    let body = body.map_err(|error| invalid_filter(&error.body_text()))?;
    let filter = body.trim();
    log_filter.replace(filter).map_err(|error| invalid_filter(&error))?;
    tracing::info!(filter, "the log filter was changed on request");
    Ok(StatusCode::NO_CONTENT)
}

fn invalid_filter(reason: &str) -> Problem {
    Problem::new(ProblemCode::InvalidParameters, format!("the body is not a log filter such as info: {reason}"))
}

fn logging_disabled() -> Problem {
    Problem::new(ProblemCode::NotFound, "logging is disabled in this process")
}
