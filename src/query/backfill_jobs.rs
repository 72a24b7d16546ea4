//! Backfill jobs: backfills that callers start, follow and cancel, and that resume after a restart.
//!
//! The archive stores a record of each running job without its progress: fetched days are archived, so a resumed job
//! skips them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backfill::{BackfillProgress, BackfillRequest, Backfiller};
use crate::{
    model::{DataScope, Day, DayRange, Geo},
    prometheus::{Collector, CounterVec, Exposition, MetricLabel},
    source::{CallerId, LoadError, Priority},
};

/// The folder of the job records in the archive.
const RECORD_FOLDER: &str = "backfills";

/// Ended jobs that stay in the list.
const MAX_ENDED_JOBS: usize = 100;

/// Jobs of one owner that may run at the same time. Each uses memory and a record in the archive, and every caller who
/// may read a report may start one.
const MAX_RUNNING_JOBS_PER_OWNER: usize = 64;

/// The present state of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillJob {
    /// The id: the creation time and random hexadecimal digits.
    pub id: Arc<str>,
    /// The days to backfill.
    pub request: BackfillRequest,
    /// The path and query of the request that the job was started for, if any.
    pub query_target: Option<Arc<str>>,
    /// The name of the caller that started the job.
    pub owner: Arc<str>,
    /// When the job was started.
    pub created_at: Timestamp,
    /// Whether the job runs, or how it ended.
    pub state: BackfillJobState,
    /// The progress of the job.
    pub progress: BackfillProgress,
}

/// Whether a job runs, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackfillJobState {
    /// The job runs.
    Running,
    /// All days are stored.
    Done,
    /// A caller cancelled the job. Fetched days stay stored.
    Cancelled,
    /// The job stopped at a failure that retries did not resolve. Fetched days stay stored.
    Failed(LoadError),
}

/// All backfill jobs of this process. Clones share them.
#[derive(Clone)]
pub struct BackfillJobs {
    registry: Arc<JobRegistry>,
}

struct JobRegistry {
    backfiller: Backfiller,
    jobs: Mutex<BTreeMap<Arc<str>, JobEntry>>,
    ended_jobs: CounterVec<JobOutcome>,
}

/// The outcome of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum JobOutcome {
    Done,
    Cancelled,
    Failed,
}

#[derive(Clone)]
struct JobEntry {
    job: watch::Sender<BackfillJob>,
    /// Ends the job, which is not resumed.
    cancellation: CancellationToken,
    /// Stops the job, which can be resumed from its record.
    suspension: CancellationToken,
}

/// The result of inserting a job into the list.
enum Insertion {
    New(JobEntry),
    Existing(JobEntry),
    LimitReached,
}

/// The owner already runs the maximum number of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_RUNNING_JOBS_PER_OWNER} jobs of this caller are running, which is the limit")]
pub struct TooManyJobs;

/// A job as it is stored in the archive.
#[derive(Debug, Serialize, Deserialize)]
struct JobRecord {
    id: String,
    start_date: Day,
    end_date: Day,
    geos: Vec<String>,
    user_id_type: String,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<Arc<str>>,
    #[serde(default = "unknown_owner")]
    owner: Arc<str>,
}

/// The owner of jobs that were stored before jobs had owners.
fn unknown_owner() -> Arc<str> {
    "nobody".into()
}

impl BackfillJobs {
    /// An empty list of jobs.
    #[must_use]
    pub fn new(backfiller: Backfiller) -> Self {
        Self {
            registry: Arc::new(JobRegistry { backfiller, jobs: Mutex::default(), ended_jobs: CounterVec::default() }),
        }
    }

    /// Starts a job for `owner`, or returns the owner's running job for the same request and query.
    ///
    /// # Errors
    /// If the owner already runs the maximum number of jobs.
    pub async fn start(
        &self,
        request: BackfillRequest,
        query_target: Option<Arc<str>>,
        owner: Arc<str>,
    ) -> Result<BackfillJob, TooManyJobs> {
        let created_at = self.registry.backfiller.engine().now();
        let stamp = created_at.strftime("%Y%m%dT%H%M%SZ");
        let id: Arc<str> = format!("{stamp}-{:06x}", fastrand::u32(..1 << 24)).into();
        let (state, progress) = (BackfillJobState::Running, BackfillProgress::default());
        let job = BackfillJob { id, request, query_target, owner, created_at, state, progress };
        match self.registry.insert(job) {
            Insertion::New(entry) => {
                let job = entry.job.borrow().clone();
                self.save_record(&job).await;
                self.spawn(job.clone(), entry);
                Ok(job)
            }
            Insertion::Existing(entry) => Ok(entry.job.borrow().clone()),
            Insertion::LimitReached => Err(TooManyJobs),
        }
    }

    /// Resumes the stored jobs that this process has not run: those of its previous run, or of the previous leader.
    pub async fn resume(&self) {
        let Some(archive) = self.registry.backfiller.archive() else { return };
        let records = match archive.control_records(RECORD_FOLDER).await {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%error, "the records of running backfills could not be read");
                return;
            }
        };
        for job in records.iter().filter_map(|record| serde_json::from_slice::<JobRecord>(record).ok()?.into_job()) {
            if let Insertion::New(entry) = self.registry.insert(job.clone()) {
                tracing::info!(job = %job.id, range = %job.request.range, "a backfill resumes");
                self.spawn(job, entry);
            }
        }
    }

    /// Stops all running jobs and removes them from the list. Their records stay, so [`resume`](Self::resume) continues those
    /// of the whole company, here or in another replica.
    pub fn suspend(&self) {
        let is_running = |entry: &JobEntry| entry.job.borrow().state == BackfillJobState::Running;
        self.registry.lock_jobs().retain(|_, entry| {
            let is_running = is_running(entry);
            if is_running {
                entry.suspension.cancel();
            }
            !is_running
        });
    }

    /// All jobs, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<BackfillJob> {
        self.registry.lock_jobs().values().rev().map(|entry| entry.job.borrow().clone()).collect()
    }

    /// Follows the state of a job; `None` if there is no such job.
    #[must_use]
    pub fn follow(&self, id: &str) -> Option<watch::Receiver<BackfillJob>> {
        self.registry.lock_jobs().get(id).map(|entry| entry.job.subscribe())
    }

    /// Cancels a job and returns its final state; `None` if there is no such job. An ended job is not changed.
    pub async fn cancel(&self, id: &str) -> Option<BackfillJob> {
        let mut job = {
            let jobs = self.registry.lock_jobs();
            let entry = jobs.get(id)?;
            entry.cancellation.cancel();
            entry.job.subscribe()
        };
        let ended = job.wait_for(|job| job.state != BackfillJobState::Running).await;
        ended.ok().map(|job| job.clone())
    }

    fn spawn(&self, job: BackfillJob, JobEntry { job: sender, cancellation, suspension }: JobEntry) {
        let backfills = self.clone();
        tokio::spawn(async move {
            let state = tokio::select! {
                state = backfills.run_to_end(&job, &sender, &cancellation) => state,
                // A job that was cancelled at the same time has ended.
                () = suspension.cancelled() => {
                    if !cancellation.is_cancelled() {
                        return;
                    }
                    BackfillJobState::Cancelled
                }
            };
            backfills.remove_record(&job.id).await;
            backfills.registry.record_end(&state);
            tracing::info!(job = %job.id, range = %job.request.range, ?state, "a backfill has ended");
            sender.send_modify(|job| job.state = state);
        });
    }

    async fn run_to_end(
        &self,
        initial: &BackfillJob,
        job: &watch::Sender<BackfillJob>,
        cancellation: &CancellationToken,
    ) -> BackfillJobState {
        // All jobs of an owner have one caller id, so together they get one fair share of the upstream rate.
        let (request, owner) = (&initial.request, CallerId::from_name(&initial.owner));
        let progress = watch::Sender::new(BackfillProgress::default());
        let mut changes = progress.subscribe();
        let following = async {
            while changes.changed().await.is_ok() {
                let latest = *changes.borrow_and_update();
                job.send_modify(|job| job.progress = latest);
            }
        };
        let outcome = tokio::select! {
            outcome = self.registry.backfiller.run(request, owner, &progress) => outcome,
            () = cancellation.cancelled() => return BackfillJobState::Cancelled,
            () = following => unreachable!("the progress sender lives until the end of this function"),
        };
        job.send_modify(|job| job.progress = *progress.borrow());
        outcome.map_or_else(BackfillJobState::Failed, |()| BackfillJobState::Done)
    }

    async fn save_record(&self, job: &BackfillJob) {
        // Days of one person or department are not archived, so such a job is not resumed; the caller requests it
        // again.
        let archive = self.registry.backfiller.archive().filter(|_| job.request.scope == DataScope::Everyone);
        let Some(archive) = archive else { return };
        let text = serde_json::to_vec(&JobRecord::of(job)).unwrap_or_default();
        if let Err(error) = archive.put_control_record(RECORD_FOLDER, &job.id, text).await {
            tracing::warn!(job = %job.id, %error, "a backfill record was not stored; the job will not resume");
        }
    }

    async fn remove_record(&self, id: &str) {
        let Some(archive) = self.registry.backfiller.archive() else { return };
        if let Err(error) = archive.remove_control_record(RECORD_FOLDER, id).await {
            tracing::warn!(job = id, %error, "a backfill record was not removed; the job will run again");
        }
    }
}

impl JobRegistry {
    /// Inserts a job into the list unless the same job is running. The oldest ended jobs are removed.
    fn insert(&self, job: BackfillJob) -> Insertion {
        let mut jobs = self.lock_jobs();
        let running = |entry: &&JobEntry| entry.job.borrow().state == BackfillJobState::Running;
        let same = |other: &BackfillJob| {
            other.request == job.request && other.query_target == job.query_target && other.owner == job.owner
        };
        let is_known =
            |(id, entry): &(&Arc<str>, &JobEntry)| **id == job.id || (running(entry) && same(&entry.job.borrow()));
        if let Some((_, already)) = jobs.iter().find(is_known) {
            return Insertion::Existing(already.clone());
        }
        let theirs = jobs.values().filter(running).filter(|entry| entry.job.borrow().owner == job.owner);
        if theirs.count() >= MAX_RUNNING_JOBS_PER_OWNER {
            return Insertion::LimitReached;
        }
        let ended: Vec<_> = jobs.iter().filter(|(_, entry)| !running(entry)).map(|(id, _)| Arc::clone(id)).collect();
        for id in ended.iter().take(ended.len().saturating_sub(MAX_ENDED_JOBS)) {
            jobs.remove(id);
        }
        let id = Arc::clone(&job.id);
        let (cancellation, suspension) = (CancellationToken::new(), CancellationToken::new());
        let entry = JobEntry { job: watch::Sender::new(job), cancellation, suspension };
        jobs.insert(id, entry.clone());
        Insertion::New(entry)
    }

    fn record_end(&self, state: &BackfillJobState) {
        match state {
            BackfillJobState::Running => {}
            BackfillJobState::Done => self.ended_jobs.increment(JobOutcome::Done),
            BackfillJobState::Cancelled => self.ended_jobs.increment(JobOutcome::Cancelled),
            BackfillJobState::Failed(_) => self.ended_jobs.increment(JobOutcome::Failed),
        }
    }

    fn lock_jobs(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, JobEntry>> {
        self.jobs.lock()
    }
}

impl Collector for BackfillJobs {
    fn collect(&self, page: &mut Exposition) {
        let jobs = self.list();
        let running = || jobs.iter().filter(|job| job.state == BackfillJobState::Running);
        let left = running().map(|job| job.progress.days.saturating_sub(job.progress.done)).sum::<usize>();
        page.gauge("feishu_pulse_backfills_running", "Backfills in progress.").sample(running().count() as f64);
        page.gauge("feishu_pulse_backfills_pending_partitions", "Days that running backfills still have to process.")
            .sample(left as f64);
        page.counter("feishu_pulse_backfills_ended_total", "Backfills by how they ended.")
            .counter_vec(&self.registry.ended_jobs);
    }
}

impl MetricLabel for JobOutcome {
    const NAME: &'static str = "outcome";
}

impl JobRecord {
    fn of(job: &BackfillJob) -> Self {
        Self {
            id: job.id.to_string(),
            start_date: job.request.range.first(),
            end_date: job.request.range.last(),
            geos: job.request.geos.iter().map(Geo::to_string).collect(),
            user_id_type: job.request.user_id_type.name().to_owned(),
            created_at: job.created_at,
            question: job.query_target.clone(),
            owner: Arc::clone(&job.owner),
        }
    }

    /// The job; `None` if the record is invalid.
    fn into_job(self) -> Option<BackfillJob> {
        let geos: Result<_, _> = self.geos.iter().map(|geo| geo.parse()).collect();
        let request = BackfillRequest {
            range: DayRange::new(self.start_date, self.end_date)?,
            geos: geos.ok()?,
            user_id_type: self.user_id_type.parse().ok()?,
            scope: DataScope::Everyone,
            priority: if self.question.is_some() { Priority::Interactive } else { Priority::Background },
        };
        let Self { question, owner, created_at, .. } = self;
        let (id, state, progress) = (self.id.into(), BackfillJobState::Running, BackfillProgress::default());
        Some(BackfillJob { id, request, query_target: question, owner, created_at, state, progress })
    }
}
