//! A backfill, as callers see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::Caller,
    model::Day,
    query::{Job, JobState},
};

/// A job that fills the archive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Backfill {
    /// Its name.
    #[schema(example = "20261122T040000Z-5f3a9c")]
    id: String,
    /// Whether it runs, and how it ended.
    state: BackfillState,
    /// First day.
    #[schema(value_type = String, format = Date, example = "2026-08-01")]
    start_date: Day,
    /// Last day. Days that Feishu has not produced yet are left out.
    #[schema(value_type = String, format = Date, example = "2026-10-31")]
    end_date: Day,
    /// The geos.
    #[schema(example = json!(["cn"]))]
    geos: Vec<&'static str>,
    /// Which ids the rows carry.
    #[schema(example = "open_id")]
    user_id_type: &'static str,
    /// When it was ordered. RFC 3339.
    #[schema(format = DateTime, example = "2026-11-22T04:00:00Z")]
    created_at: String,
    /// How many days are wanted and how many are held by now; each of each geo counts.
    days: BackfillDays,
    /// Calls of Feishu since it began, those of other requests included. Null for callers who are bound to departments.
    #[schema(example = 512)]
    calls: Option<u64>,
    /// The same per second.
    #[schema(example = 47.5)]
    calls_per_second: Option<f64>,
    /// How long the rest takes, if it goes on as it went; null while that cannot be told, and for callers who are bound.
    #[schema(example = 90)]
    pub(super) seconds_left: Option<u64>,
    /// The path and query of the question that the days are fetched for: ask it again when the job is done. Null for a
    /// job that was ordered by itself, and for an administrator who looks at the job of another.
    #[schema(example = "/v1/reports/activity?period=90d")]
    question: Option<String>,
    /// Why it failed.
    error: Option<String>,
}

/// How far a backfill is.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackfillDays {
    /// Days that are wanted and produced.
    #[schema(example = 92)]
    total: usize,
    /// Those that are held.
    #[schema(example = 40)]
    done: usize,
    /// Those that had to be fetched.
    #[schema(example = 10)]
    fetched: usize,
}

/// Whether a backfill runs, and how it ended.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// It runs.
    Running,
    /// All days are held.
    Done,
    /// Somebody cancelled it. What was fetched is kept.
    Cancelled,
    /// It met a failure that trying again did not help. What was fetched is kept; order it again to go on.
    Failed,
}

impl Backfill {
    /// The job, without what does not concern the caller: the questions of others, and the calls and the time from which
    /// the number of people could be told that a bound caller does not see.
    #[must_use]
    pub fn shown_to(caller: &Caller, job: &Job) -> Self {
        let (state, error) = match &job.state {
            JobState::Running => (BackfillState::Running, None),
            JobState::Done => (BackfillState::Done, None),
            JobState::Cancelled => (BackfillState::Cancelled, None),
            JobState::Failed(error) => (BackfillState::Failed, Some(error.to_string())),
        };
        let (progress, sees_all) = (&job.progress, !caller.view().is_bound());
        Self {
            id: job.id.to_string(),
            state,
            start_date: job.order.range.first(),
            end_date: job.order.range.last(),
            geos: job.order.geos.iter().map(|geo| geo.name()).collect(),
            user_id_type: job.order.user_id_type.name(),
            created_at: job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            days: BackfillDays { total: progress.days, done: progress.done, fetched: progress.fetched },
            calls: sees_all.then_some(progress.calls),
            calls_per_second: sees_all.then(|| progress.calls_per_second()),
            question: job.question.as_deref().filter(|_| job.owner == *caller.name()).map(str::to_owned),
            seconds_left: progress.left().filter(|_| sees_all).map(|left| left.as_secs()),
            error,
        }
    }
}
