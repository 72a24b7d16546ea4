//! What is logged, as it is now, and changed while the service runs.

use axum::{
    extract::{State, rejection::StringRejection},
    http::StatusCode,
};
use tracing_subscriber::{EnvFilter, Registry, reload::Handle};

use super::{
    problem::{Problem, ProblemCode},
    state::ApiState,
};

/// Changes what the process logs.
#[derive(Clone, Debug)]
pub struct LogFilter(Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Changes the filter behind `handle`.
    #[must_use]
    pub const fn new(handle: Handle<EnvFilter, Registry>) -> Self {
        Self(handle)
    }

    fn current(&self) -> Option<String> {
        self.0.with_current(ToString::to_string).ok()
    }

    fn change(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// What is logged?
#[utoipa::path(
    get, path = "/log-level", tag = "operations", operation_id = "logLevel",
    responses((status = 200, description = "The filter, as in `PULSE_LOG`", body = String, content_type = "text/plain")),
)]
pub(in crate::api) async fn get(State(state): State<ApiState>) -> Result<String, Problem> {
    let filter = state.log_filter.as_ref().and_then(LogFilter::current);
    filter.map(|filter| filter + "\n").ok_or_else(unknown)
}

/// Log something else from now on.
///
/// Until the process ends, or somebody changes it again.
#[utoipa::path(
    put, path = "/log-level", tag = "operations", operation_id = "changeLogLevel",
    request_body(content = String, content_type = "text/plain", description = "A filter, as in `PULSE_LOG`"),
    responses(
        (status = 204, description = "It is done"),
        (status = 400, description = "`invalid_parameters`: that is no filter", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(in crate::api) async fn put(
    State(state): State<ApiState>,
    body: Result<String, StringRejection>,
) -> Result<StatusCode, Problem> {
    let log_filter = state.log_filter.as_ref().ok_or_else(unknown)?;
    let body = body.map_err(|error| no_filter(&error.body_text()))?;
    let filter = body.trim();
    log_filter.change(filter).map_err(|error| no_filter(&error))?;
    tracing::info!(filter, "what is logged has been changed");
    Ok(StatusCode::NO_CONTENT)
}

fn no_filter(why: &str) -> Problem {
    Problem::new(ProblemCode::InvalidParameters, format!("the body is no filter such as info: {why}"))
}

fn unknown() -> Problem {
    Problem::new(ProblemCode::NotFound, "this process does not log")
}
