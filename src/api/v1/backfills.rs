//! `/v1/backfills`: jobs that fetch days into the archive.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{OriginalUri, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::backfill_item::{Backfill, accepted_response};
use crate::{
    access::{self, Caller},
    api::{
        params::{NoParams, Params, PathSegment},
        problem::{Problem, ProblemCode},
        responses::CommonProblems,
        shared_params::{self, RangeParams},
        state::ApiState,
    },
    model::DataScope,
    query::{BackfillJob, BackfillJobState, BackfillRequest},
    source::Priority,
};

/// Minimum time between two events of one job.
const MIN_EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// Produces the events of one job for one caller.
struct JobFollower {
    job: watch::Receiver<BackfillJob>,
    caller: Caller,
    state: ApiState,
    last_event: Option<LastEvent>,
}

/// State of the job in the last event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastEvent {
    Running,
    Ended,
}

/// One server-sent event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the events of `events`")]
struct BackfillEvent {
    /// Always `progress`.
    #[schema(example = "progress")]
    event: String,
    /// The job, as JSON.
    data: String,
}

/// The backfill jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackfillList)]
pub struct BackfillsResponse {
    /// The jobs, newest first.
    data: Vec<Backfill>,
}

/// Start a backfill
///
/// Fetches the days of a range that are not archived yet, at a lower priority than other requests. The job resumes after
/// a restart. Starting a job for the same range again is safe: archived days are not fetched again.
#[utoipa::path(
    post, path = "/v1/backfills", tag = "archive", operation_id = "startBackfill",
    params(RangeParams),
    responses(
        (status = 202, description = "The job that was started", body = Backfill,
            headers(("Location" = String, description = "Path of the job"))),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn post(
    State(state): State<ApiState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let mut params = Params::parse(&uri);
    let query = shared_params::read_range(&mut params, &state.data.geos, None);
    params.finish()?;
    let range = query.dates.resolve(&query.geos, state.now());
    let (geos, user_id_type) = (query.geos, query.user_id_type);
    let request =
        BackfillRequest { range, geos, user_id_type, scope: DataScope::Everyone, priority: Priority::Background };
    let job = state.data.backfills.start(request, None, Arc::clone(caller.name())).await?;
    Ok(accepted_response(&job, &caller, None))
}

/// List backfills
///
/// Running jobs, and the last 100 jobs that ended since the process started. Callers with the scope `admin` see the jobs
/// of all callers, others their own.
#[utoipa::path(
    get, path = "/v1/backfills", tag = "archive", operation_id = "listBackfills",
    responses((status = 200, description = "The jobs, newest first", body = BackfillsResponse), CommonProblems),
)]
pub(in crate::api) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    _: NoParams,
) -> Json<BackfillsResponse> {
    let jobs = state.data.backfills.list();
    let visible = jobs.iter().filter(|job| may_see(&caller, job));
    Json(BackfillsResponse { data: visible.map(|job| Backfill::for_caller(&caller, job)).collect() })
}

/// Get a backfill
#[utoipa::path(
    get, path = "/v1/backfills/{id}", tag = "archive", operation_id = "getBackfill",
    params(("id" = String, Path, description = "The job's `id`", example = "20261122T040000Z-5f3a9c")),
    responses(
        (status = 200, description = "The job", body = Backfill),
        (status = 404, description = "`not_found`: there is no such job", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    PathSegment(id): PathSegment,
    _: NoParams,
) -> Result<Json<Backfill>, Problem> {
    let job = visible_job(&state, &caller, &id)?;
    let backfill = Backfill::for_caller(&caller, &job.borrow());
    Ok(Json(backfill))
}

/// Follow a backfill
///
/// Server-sent events named `progress`, each with the job as JSON. The stream ends when the job ends.
#[utoipa::path(
    get, path = "/v1/backfills/{id}/events", tag = "archive", operation_id = "followBackfill",
    params(("id" = String, Path, description = "The job's `id`", example = "20261122T040000Z-5f3a9c")),
    responses(
        (status = 200, description = "The events", body = BackfillEvent, content_type = "text/event-stream"),
        (status = 404, description = "`not_found`: there is no such job", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn events(
    State(state): State<ApiState>,
    caller: Caller,
    PathSegment(id): PathSegment,
    _: NoParams,
) -> Result<impl IntoResponse, Problem> {
    let job = visible_job(&state, &caller, &id)?;
    Ok(Sse::new(progress(job, caller, state)).keep_alive(KeepAlive::default()))
}

/// Cancel a backfill
///
/// Days fetched until then stay available. A job that has already ended does not change.
#[utoipa::path(
    delete, path = "/v1/backfills/{id}", tag = "archive", operation_id = "cancelBackfill",
    params(("id" = String, Path, description = "The job's `id`", example = "20261122T040000Z-5f3a9c")),
    responses(
        (status = 200, description = "The job in its final state", body = Backfill),
        (status = 404, description = "`not_found`: there is no such job", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    PathSegment(id): PathSegment,
    _: NoParams,
) -> Result<Json<Backfill>, Problem> {
    visible_job(&state, &caller, &id)?;
    let job = state.data.backfills.cancel(&id).await.ok_or_else(no_such_job)?;
    Ok(Json(Backfill::for_caller(&caller, &job)))
}

/// The current state of the job, then each change, until the job has ended or the process is shutting down.
fn progress(
    job: watch::Receiver<BackfillJob>,
    caller: Caller,
    state: ApiState,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let follower = JobFollower { job, caller, state, last_event: None };
    stream::unfold(follower, async |mut follower| {
        let event = follower.next_event().await?;
        Some((Ok(event), follower))
    })
}

impl JobFollower {
    /// The next event. `None` after the event of the job's end, or if the process is shutting down.
    async fn next_event(&mut self) -> Option<Event> {
        match self.last_event {
            None => {}
            Some(LastEvent::Ended) => return None,
            Some(LastEvent::Running) => self.job_changed().await?,
        }
        let (backfill, is_running) = {
            let latest = self.job.borrow_and_update();
            (Backfill::for_caller(&self.caller, &latest), latest.state == BackfillJobState::Running)
        };
        self.last_event = Some(if is_running { LastEvent::Running } else { LastEvent::Ended });
        Some(Event::default().event("progress").json_data(&backfill).unwrap_or_default())
    }

    /// Waits for a change of the job, at least [`MIN_EVENT_INTERVAL`]. `None` if the process is shutting down: an open
    /// event stream must not delay the shutdown, and the client reconnects to another process.
    async fn job_changed(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            () = self.state.operations.draining.begun() => return None,
            changed = self.job.changed() => changed.ok()?,
        }
        tokio::time::sleep(MIN_EVENT_INTERVAL).await;
        Some(())
    }
}

/// The job, if the caller may see it. Jobs of other callers are reported as not found.
fn visible_job(state: &ApiState, caller: &Caller, id: &str) -> Result<watch::Receiver<BackfillJob>, Problem> {
    let job = state.data.backfills.follow(id).filter(|job| may_see(caller, &job.borrow()));
    job.ok_or_else(no_such_job)
}

fn may_see(caller: &Caller, job: &BackfillJob) -> bool {
    caller.has_scope(access::Scope::Admin) || job.owner == *caller.name()
}

fn no_such_job() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no such job")
}
