//! Backfills as jobs: started, followed and cancelled by others, and taken up again after a restart.
//!
//! Only the order itself is written down, not how far it is: what was fetched is in the archive, and a job that is taken
//! up again sees it there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backfill::{Filler, Order, Progress};
use crate::{
    meter::{Exposition, Label, Meter, Tally},
    model::{Day, DayRange, Geo, Scope},
    source::{CallerId, LoadError, Priority},
};

/// Where orders are written down.
const FOLDER: &str = "backfills";

/// Ended jobs that are remembered.
const REMEMBERED: usize = 100;

/// Jobs of one owner that run at the same time: each takes memory and a place in the archive, and whoever may read a
/// report may order one.
const RUNNING: usize = 64;

/// A job as it is at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name: when it was ordered, and a few random letters.
    pub id: Arc<str>,
    /// What was ordered.
    pub order: Order,
    /// The path and query of the question that it was ordered for, if it was for one.
    pub question: Option<Arc<str>>,
    /// The name of who ordered it.
    pub owner: Arc<str>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// Whether it runs, and how it ended.
    pub state: JobState,
    /// How far it is.
    pub progress: Progress,
}

/// Whether a job runs, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It runs.
    Running,
    /// All days are held.
    Done,
    /// Somebody cancelled it. What was fetched is kept.
    Cancelled,
    /// It met a failure that trying again did not help. What was fetched is kept.
    Failed(LoadError),
}

/// All backfills of this process. Clones share them.
#[derive(Clone)]
pub struct Backfills {
    shared: Arc<Shared>,
}

struct Shared {
    filler: Filler,
    jobs: Mutex<BTreeMap<Arc<str>, Entry>>,
    ended: Tally<Ending>,
}

/// How jobs end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    Cancelled,
    Failed,
}

#[derive(Clone)]
struct Entry {
    job: watch::Sender<Job>,
    stop: CancellationToken,
}

/// What became of a job that was to be entered.
enum Entered {
    Anew(Entry),
    Already(Entry),
    OneTooMany,
}

/// The owner has as many jobs running as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{RUNNING} jobs of this caller are running, and more there may not be at a time")]
pub struct TooManyJobs;

/// An order as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    id: String,
    start_date: Day,
    end_date: Day,
    geos: Vec<String>,
    user_id_type: String,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<Arc<str>>,
    #[serde(default = "nobody")]
    owner: Arc<str>,
}

/// Who owns jobs that were written down before jobs had owners.
fn nobody() -> Arc<str> {
    "nobody".into()
}

impl Backfills {
    /// No jobs yet.
    #[must_use]
    pub fn new(filler: Filler) -> Self {
        Self { shared: Arc::new(Shared { filler, jobs: Mutex::default(), ended: Tally::default() }) }
    }

    /// Starts a job for `owner`. Where one of theirs is running to the same order and question, that one is it.
    ///
    /// # Errors
    /// Where they have as many running as one may have.
    pub async fn start(&self, order: Order, question: Option<Arc<str>>, owner: Arc<str>) -> Result<Job, TooManyJobs> {
        let created_at = self.shared.filler.engine().now();
        let stamp = created_at.strftime("%Y%m%dT%H%M%SZ");
        let id: Arc<str> = format!("{stamp}-{:06x}", fastrand::u32(..1 << 24)).into();
        let (state, progress) = (JobState::Running, Progress::default());
        let job = Job { id, order, question, owner, created_at, state, progress };
        match self.shared.enter(job) {
            Entered::Anew(entry) => {
                let job = entry.job.borrow().clone();
                self.write_down(&job).await;
                self.run(job.clone(), entry);
                Ok(job)
            }
            Entered::Already(entry) => Ok(entry.job.borrow().clone()),
            Entered::OneTooMany => Err(TooManyJobs),
        }
    }

    /// Takes up the jobs that had not ended when the process did.
    pub async fn resume(&self) {
        let Some(archive) = self.shared.filler.archive() else { return };
        let notes = match archive.notes(FOLDER).await {
            Ok(notes) => notes,
            Err(error) => {
                tracing::error!(%error, "the backfills under way could not be read; order them again");
                return;
            }
        };
        for job in notes.iter().filter_map(|note| serde_json::from_slice::<Note>(note).ok()?.job()) {
            tracing::info!(job = %job.id, range = %job.order.range, "a backfill is taken up again");
            if let Entered::Anew(entry) = self.shared.enter(job.clone()) {
                self.run(job, entry);
            }
        }
    }

    /// All jobs, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.shared.jobs().values().rev().map(|entry| entry.job.borrow().clone()).collect()
    }

    /// Follows a job.
    #[must_use]
    pub fn follow(&self, id: &str) -> Option<watch::Receiver<Job>> {
        self.shared.jobs().get(id).map(|entry| entry.job.subscribe())
    }

    /// Cancels a job and tells how it is then. One that has ended stays as it ended.
    pub async fn cancel(&self, id: &str) -> Option<Job> {
        let mut job = {
            let jobs = self.shared.jobs();
            let entry = jobs.get(id)?;
            entry.stop.cancel();
            entry.job.subscribe()
        };
        let ended = job.wait_for(|job| job.state != JobState::Running).await;
        ended.ok().map(|job| job.clone())
    }

    fn run(&self, job: Job, Entry { job: sender, stop }: Entry) {
        let backfills = self.clone();
        tokio::spawn(async move {
            let state = backfills.work(&job, &sender, &stop).await;
            backfills.strike_out(&job.id).await;
            backfills.shared.count(&state);
            tracing::info!(job = %job.id, range = %job.order.range, ?state, "a backfill has ended");
            sender.send_modify(|job| job.state = state);
        });
    }

    async fn work(&self, begun: &Job, job: &watch::Sender<Job>, stop: &CancellationToken) -> JobState {
        // However many jobs somebody orders, they share one turn at the upstream with all else that they ask.
        let (order, owner) = (&begun.order, CallerId::of_name(&begun.owner));
        let progress = watch::Sender::new(Progress::default());
        let mut changes = progress.subscribe();
        let following = async {
            while changes.changed().await.is_ok() {
                let latest = *changes.borrow_and_update();
                job.send_modify(|job| job.progress = latest);
            }
        };
        let outcome = tokio::select! {
            outcome = self.shared.filler.fill(order, owner, &progress) => outcome,
            () = stop.cancelled() => return JobState::Cancelled,
            () = following => unreachable!("the progress outlives its followers"),
        };
        job.send_modify(|job| job.progress = *progress.borrow());
        outcome.map_or_else(JobState::Failed, |()| JobState::Done)
    }

    async fn write_down(&self, job: &Job) {
        // What is asked of one person or department is not archived; whoever asked for it asks again after a restart.
        let archive = self.shared.filler.archive().filter(|_| job.order.scope == Scope::Everyone);
        let Some(archive) = archive else { return };
        let text = serde_json::to_vec(&Note::of(job)).unwrap_or_default();
        if let Err(error) = archive.put_note(FOLDER, &job.id, text).await {
            tracing::warn!(job = %job.id, %error, "a backfill could not be written down; a restart will not take it up");
        }
    }

    async fn strike_out(&self, id: &str) {
        let Some(archive) = self.shared.filler.archive() else { return };
        if let Err(error) = archive.remove_note(FOLDER, id).await {
            tracing::warn!(job = id, %error, "an ended backfill is still written down; a restart takes it up again");
        }
    }
}

impl Shared {
    /// Enters a job into the list, unless one is running that does the same. The oldest that have ended are forgotten.
    fn enter(&self, job: Job) -> Entered {
        let mut jobs = self.jobs();
        let running = |entry: &&Entry| entry.job.borrow().state == JobState::Running;
        let same = |other: &Job| other.order == job.order && other.question == job.question && other.owner == job.owner;
        if let Some(already) = jobs.values().filter(running).find(|entry| same(&entry.job.borrow())) {
            return Entered::Already(already.clone());
        }
        let theirs = jobs.values().filter(running).filter(|entry| entry.job.borrow().owner == job.owner);
        if theirs.count() >= RUNNING {
            return Entered::OneTooMany;
        }
        let ended: Vec<_> = jobs.iter().filter(|(_, entry)| !running(entry)).map(|(id, _)| Arc::clone(id)).collect();
        for id in ended.iter().take(ended.len().saturating_sub(REMEMBERED)) {
            jobs.remove(id);
        }
        let id = Arc::clone(&job.id);
        let entry = Entry { job: watch::Sender::new(job), stop: CancellationToken::new() };
        jobs.insert(id, entry.clone());
        Entered::Anew(entry)
    }

    fn count(&self, state: &JobState) {
        match state {
            JobState::Running => {}
            JobState::Done => self.ended.add_one(Ending::Done),
            JobState::Cancelled => self.ended.add_one(Ending::Cancelled),
            JobState::Failed(_) => self.ended.add_one(Ending::Failed),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Backfills {
    fn write(&self, page: &mut Exposition) {
        let jobs = self.list();
        let running = || jobs.iter().filter(|job| job.state == JobState::Running);
        let left = running().map(|job| job.progress.days.saturating_sub(job.progress.done)).sum::<usize>();
        page.gauge("feishu_pulse_backfills_running", "Backfills under way.").value(running().count() as f64);
        page.gauge("feishu_pulse_backfills_pending_partitions", "Days that they have still to see to.")
            .value(left as f64);
        page.counter("feishu_pulse_backfills_ended_total", "Backfills by how they ended.").tally(&self.shared.ended);
    }
}

impl Label for Ending {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Done, Self::Cancelled, Self::Failed];

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl Note {
    fn of(job: &Job) -> Self {
        Self {
            id: job.id.to_string(),
            start_date: job.order.range.first(),
            end_date: job.order.range.last(),
            geos: job.order.geos.iter().map(Geo::to_string).collect(),
            user_id_type: job.order.user_id_type.name().to_owned(),
            created_at: job.created_at,
            question: job.question.clone(),
            owner: Arc::clone(&job.owner),
        }
    }

    /// The job; `None` where the note makes no sense.
    fn job(self) -> Option<Job> {
        let geos: Result<_, _> = self.geos.iter().map(|geo| geo.parse()).collect();
        let order = Order {
            range: DayRange::new(self.start_date, self.end_date)?,
            geos: geos.ok()?,
            user_id_type: self.user_id_type.parse().ok()?,
            scope: Scope::Everyone,
            priority: if self.question.is_some() { Priority::Interactive } else { Priority::Background },
        };
        let Self { question, owner, created_at, .. } = self;
        let (id, state, progress) = (self.id.into(), JobState::Running, Progress::default());
        Some(Job { id, order, question, owner, created_at, state, progress })
    }
}
