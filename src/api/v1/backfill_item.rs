//! The representation of a backfill job in the API.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::Caller,
    api::problem::retry_after_seconds,
    model::Day,
    query::{BackfillJob, BackfillJobState},
};

/// A job that fetches days into the archive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Backfill {
    /// Id of the job.
    #[schema(example = "20261122T040000Z-5f3a9c")]
    id: String,
    /// Whether the job is running, and how it ended.
    state: BackfillState,
    /// First day.
    #[schema(value_type = String, format = Date, example = "2026-08-01")]
    start_date: Day,
    /// Last day. Days that Feishu has not produced yet are not part of the job.
    #[schema(value_type = String, format = Date, example = "2026-10-31")]
    end_date: Day,
    /// The geos.
    #[schema(example = json!(["cn"]))]
    geos: Vec<&'static str>,
    /// Type of the user ids in the rows.
    #[schema(example = "open_id")]
    user_id_type: &'static str,
    /// When the job was created (RFC 3339).
    #[schema(format = DateTime, example = "2026-11-22T04:00:00Z")]
    created_at: String,
    /// Progress in days. Each day counts once per geo.
    days: BackfillDays,
    /// Calls to Feishu since the job began, including calls for other requests. Null for callers that are restricted to
    /// departments.
    #[schema(example = 512)]
    calls: Option<u64>,
    /// `calls` per second.
    #[schema(example = 47.5)]
    calls_per_second: Option<f64>,
    /// Estimated seconds until the job is done, from its progress so far. Null while there is no estimate, and for
    /// callers that are restricted to departments.
    #[schema(example = 90)]
    seconds_left: Option<u64>,
    /// Path and query of the request that started the job; repeat that request when the job is done. Null for a job
    /// that was started through `/v1/backfills`, and for administrators who view the job of another caller.
    #[serde(rename = "question")]
    #[schema(example = "/v1/reports/activity?period=90d")]
    query_target: Option<String>,
    /// Why the job failed.
    error: Option<String>,
}

/// Progress of a backfill job.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackfillDays {
    /// Days of the job.
    #[schema(example = 92)]
    total: usize,
    /// Days that are available by now.
    #[schema(example = 40)]
    done: usize,
    /// Days that had to be fetched from Feishu.
    #[schema(example = 10)]
    fetched: usize,
}

/// State of a backfill job.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// The job is running.
    Running,
    /// All days are available.
    Done,
    /// The job was cancelled. Days fetched until then stay available.
    Cancelled,
    /// The job failed although calls were retried. Days fetched until then stay available; start the job again to
    /// continue.
    Failed,
}

impl Backfill {
    /// The job as `caller` may see it. The `question` is visible to the job's owner only. Figures that reveal how many
    /// people the tenant has (calls, remaining time) are hidden from callers that are restricted to departments.
    #[must_use]
    pub fn for_caller(caller: &Caller, job: &BackfillJob) -> Self {
        let (state, error) = match &job.state {
            BackfillJobState::Running => (BackfillState::Running, None),
            BackfillJobState::Done => (BackfillState::Done, None),
            BackfillJobState::Cancelled => (BackfillState::Cancelled, None),
            BackfillJobState::Failed(error) => (BackfillState::Failed, Some(error.to_string())),
        };
        let (progress, sees_everyone) = (&job.progress, !caller.view().is_department_restricted());
        Self {
            id: job.id.to_string(),
            state,
            start_date: job.request.range.first(),
            end_date: job.request.range.last(),
            geos: job.request.geos.iter().map(|geo| geo.name()).collect(),
            user_id_type: job.request.user_id_type.name(),
            created_at: job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            days: BackfillDays { total: progress.days, done: progress.done, fetched: progress.fetched },
            calls: sees_everyone.then_some(progress.calls),
            calls_per_second: sees_everyone.then(|| progress.calls_per_second()),
            query_target: job.query_target.as_deref().filter(|_| job.owner == *caller.name()).map(str::to_owned),
            seconds_left: progress.remaining_time().filter(|_| sees_everyone).map(|remaining| remaining.as_secs()),
            error,
        }
    }
}

/// A `202` response for a running job. `estimate` is used while the job has none of its own.
pub(in crate::api) fn accepted_response(job: &BackfillJob, caller: &Caller, estimate: Option<Duration>) -> Response {
    let mut backfill = Backfill::for_caller(caller, job);
    backfill.seconds_left = backfill.seconds_left.or(estimate.map(retry_after_seconds));
    let mut response = (StatusCode::ACCEPTED, Json(&backfill)).into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::from_str(&format!("/v1/backfills/{}", job.id));
    headers.extend(location.ok().map(|location| (header::LOCATION, location)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
