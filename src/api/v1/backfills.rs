//! `/v1/backfills`: jobs that fill the archive.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::backfill_item::Backfill;
use crate::{
    access::{self, Caller},
    api::{
        params::{NoParams, Params, Segment, documented},
        problem::{Problem, ProblemCode, UNKNOWN_WAIT, whole_seconds},
        responses::CommonProblems,
        selection::{self, RangeParams},
        state::ApiState,
    },
    model::Scope,
    query::{Job, JobState, Order, TooManyJobs},
    source::Priority,
};

/// Events of one job come no faster than this.
const PACE: Duration = Duration::from_millis(250);

/// How often it is looked whether the process is about to end.
const LOOK_UP: Duration = Duration::from_secs(1);

/// One server-sent event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what is sent")]
struct BackfillEvent {
    /// `progress`.
    #[schema(example = "progress")]
    event: String,
    /// The job, as JSON.
    data: String,
}

/// All jobs.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackfillsAnswer {
    /// The latest first.
    data: Vec<Backfill>,
}

/// Fill the archive
///
/// Fetches the days of a range that are not archived yet, whenever nobody waits for an answer. The job goes on after a
/// restart. Ordering the same range again is harmless: what is held is not fetched again.
#[utoipa::path(
    post, path = "/v1/backfills", tag = "archive", operation_id = "startBackfill",
    params(RangeParams),
    responses(
        (status = 202, description = "The job that was started", body = Backfill,
            headers(("Location" = String, description = "Where the job can be followed"))),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn post(
    State(state): State<ApiState>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri, &documented::<RangeParams>());
    let query = selection::read_range(&mut params, &state.geos, None);
    params.finish()?;
    let range = query.span.days(&query.geos, state.now());
    let (geos, user_id_type) = (query.geos, query.user_id_type);
    let order = Order { range, geos, user_id_type, scope: Scope::Everyone, priority: Priority::Background };
    let job = state.backfills.start(order, None, Arc::clone(caller.name())).await?;
    Ok(accepted(&job, &caller, None))
}

/// All backfills
///
/// Those that run, and the last hundred that ended since the process began. With the scope `admin` those of all callers,
/// else the caller's own.
#[utoipa::path(
    get, path = "/v1/backfills", tag = "archive", operation_id = "listBackfills",
    responses((status = 200, description = "The latest first", body = BackfillsAnswer), CommonProblems),
)]
pub(in crate::api) async fn list(State(state): State<ApiState>, caller: Caller, _: NoParams) -> Json<BackfillsAnswer> {
    let jobs = state.backfills.list();
    let seen = jobs.iter().filter(|job| may_see(&caller, job));
    Json(BackfillsAnswer { data: seen.map(|job| Backfill::shown_to(&caller, job)).collect() })
}

/// How a backfill is
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
    Segment(id): Segment,
    _: NoParams,
) -> Result<Json<Backfill>, Problem> {
    let job = followed(&state, &caller, &id)?;
    let backfill = Backfill::shown_to(&caller, &job.borrow());
    Ok(Json(backfill))
}

/// Follow a backfill
///
/// Server-sent events named `progress`, each with the job as JSON. The stream ends with the job.
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
    Segment(id): Segment,
    _: NoParams,
) -> Result<impl IntoResponse, Problem> {
    let job = followed(&state, &caller, &id)?;
    Ok(Sse::new(progress(job, caller, state)).keep_alive(KeepAlive::default()))
}

/// Cancel a backfill
///
/// What was fetched is kept. A job that has ended stays as it ended.
#[utoipa::path(
    delete, path = "/v1/backfills/{id}", tag = "archive", operation_id = "cancelBackfill",
    params(("id" = String, Path, description = "The job's `id`", example = "20261122T040000Z-5f3a9c")),
    responses(
        (status = 200, description = "The job, as it ended", body = Backfill),
        (status = 404, description = "`not_found`: there is no such job", body = Problem,
            content_type = "application/problem+json"),
        CommonProblems,
    ),
)]
pub(in crate::api) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Segment(id): Segment,
    _: NoParams,
) -> Result<Json<Backfill>, Problem> {
    followed(&state, &caller, &id)?;
    let job = state.backfills.cancel(&id).await.ok_or_else(no_such_job)?;
    Ok(Json(Backfill::shown_to(&caller, &job)))
}

/// The job as it is now, then each change of it, until it has ended.
fn progress(
    job: watch::Receiver<Job>,
    caller: Caller,
    state: ApiState,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let told: Option<bool> = None;
    stream::unfold((job, caller, state, told), async |(mut job, caller, state, told)| {
        match told {
            None => {}
            Some(true) => return None,
            Some(false) => {
                // Whoever follows a job shall not keep the process from ending: another one will tell how it goes on.
                while !state.is_draining() {
                    if let Ok(changed) = tokio::time::timeout(LOOK_UP, job.changed()).await {
                        changed.ok()?;
                        break;
                    }
                }
                if state.is_draining() {
                    return None;
                }
                tokio::time::sleep(PACE).await;
            }
        }
        let (backfill, has_ended) = {
            let latest = job.borrow_and_update();
            (Backfill::shown_to(&caller, &latest), latest.state != JobState::Running)
        };
        let event = Event::default().event("progress").json_data(&backfill).unwrap_or_default();
        Some((Ok(event), (job, caller, state, Some(has_ended))))
    })
}

/// The answer that a job is under way, with when to look again, where that is known.
pub(in crate::api) fn accepted(job: &Job, caller: &Caller, retry_after: Option<Duration>) -> Response {
    let seconds = retry_after.map(whole_seconds);
    let mut backfill = Backfill::shown_to(caller, job);
    backfill.seconds_left = backfill.seconds_left.or(seconds.filter(|_| !caller.view().is_bound()));
    let mut response = (StatusCode::ACCEPTED, Json(&backfill)).into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(&format!("/v1/backfills/{}", job.id));
    headers.extend(location.ok().map(|location| (header::LOCATION, location)));
    headers.extend(seconds.map(|seconds| (header::RETRY_AFTER, seconds.into())));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A job that the caller may see; to all others there is none.
fn followed(state: &ApiState, caller: &Caller, id: &str) -> Result<watch::Receiver<Job>, Problem> {
    let job = state.backfills.follow(id).filter(|job| may_see(caller, &job.borrow()));
    job.ok_or_else(no_such_job)
}

fn may_see(caller: &Caller, job: &Job) -> bool {
    caller.may(access::Scope::Admin) || job.owner == *caller.name()
}

/// Jobs end when their days are there, which takes a while.
impl From<TooManyJobs> for Problem {
    fn from(error: TooManyJobs) -> Self {
        Self::new(ProblemCode::TooManyRequests, error.to_string()).retry_after(UNKNOWN_WAIT)
    }
}

fn no_such_job() -> Problem {
    Problem::new(ProblemCode::NotFound, "there is no such job")
}
