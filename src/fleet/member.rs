//! [`FleetMember`], this replica as a member of its fleet: renews the lease, or waits for the turn to lead.
//!
//! It runs on a thread and a runtime of its own, so that neither busy processors nor a blocked runtime delay a renewal.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    election::{Election, ElectionStep, LeaseTimes, ProposedWrite, ReplicaRole},
    fleet_metrics::{FleetMetrics, StoreOperation},
    followers::Followers,
    leadership::{FleetStatus, Leadership},
    lease_store::{LeaseStore, LeaseStoreError, SwapOutcome},
    record::{
        DeletedDay, DeletedDays, FleetRecord, LeaderAddress, RECORD_VERSION, RecordNonce, SharedUpstreamState,
        random_id,
    },
    signature::FleetKey,
};
use crate::model::{Day, Geo};

/// The longest wait for the next step.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The smallest number of replicas among which a leader divides the rate when it cannot renew its lease. Another one can have
/// started just now.
const MIN_REPLICAS: u32 = 2;

/// The state of upstream that moves from one leader to the next.
pub trait TransferableState: Send + Sync + 'static {
    /// The present state, for the record. With a lease, it reserves the calls that can be made in it; without one, this
    /// replica makes no further call.
    fn export(&self, lease: Option<Duration>) -> SharedUpstreamState;

    /// An exported state is in the store, so that the calls that it reserves may be made. Called after each renewal, and before
    /// this replica leads.
    fn on_stored(&self, state: &SharedUpstreamState);

    /// Takes over the state of the previous leader, before this replica leads. The state was first seen `age` ago.
    fn import(&self, state: &SharedUpstreamState, age: Duration);

    /// This replica leads until `until`. From then on it may use at most `share` of the rate, 0 to 1, unless this is called
    /// again. Called after each renewal, before this replica leads by it.
    fn on_lease(&self, until: Instant, share: f64);
}

/// The configuration of a member.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The durations of the lease.
    pub times: LeaseTimes,
    /// Host and port at which other replicas reach this one.
    pub address: String,
    /// The release of this gateway.
    pub release: String,
    /// The key of the fleet, which proves the address.
    pub key: FleetKey,
}

/// Tells a member what others found out about the leader, and which days were deleted. Ignored after the end of the member.
#[derive(Clone, Debug)]
pub struct MemberHandle {
    commands: mpsc::WeakUnboundedSender<Command>,
    replica_id: Arc<str>,
}

/// This replica as a member of its fleet. It leaves the fleet on drop, without a release of the lease: then another replica
/// leads when the lease has ended.
#[derive(Debug)]
pub struct FleetMember {
    status: watch::Receiver<FleetStatus>,
    commands: mpsc::UnboundedSender<Command>,
    metrics: Arc<FleetMetrics>,
    replica_id: Arc<str>,
    followers: Arc<Followers>,
}

/// A member that has not joined yet. The upstream client needs the right to call before the fleet needs the state of the
/// upstream client.
#[derive(Debug)]
pub struct PreparedMember {
    config: MemberConfig,
    status: watch::Sender<FleetStatus>,
}

#[derive(Debug)]
enum Command {
    /// The record may have changed.
    ReadSoon,
    /// The leader of this term has ended.
    LeaderRefused { term: u64 },
    /// Days were deleted, which the other replicas must remove from memory. Completes when the record names them.
    RecordDeletions(Vec<DeletedDay>, oneshot::Sender<()>),
    /// Release the lease, and let another replica lead.
    StepDown,
    /// Release the lease, and do not lead again.
    Leave(oneshot::Sender<()>),
}

/// The task of a member.
struct MemberTask {
    election: Election,
    store: Box<dyn LeaseStore>,
    state: Arc<dyn TransferableState>,
    config: MemberConfig,
    replica_id: Arc<str>,
    followers: Arc<Followers>,
    epoch: Instant,
    status: watch::Sender<FleetStatus>,
    commands: mpsc::UnboundedReceiver<Command>,
    metrics: Arc<FleetMetrics>,
    leaving: Option<oneshot::Sender<()>>,
    /// The last write, until the store has shown its outcome.
    sent: Option<FleetRecord>,
    /// The deletions of the fleet, as far as this replica has seen them. The store can lose its record.
    deleted: DeletedDays,
    /// Deletions that the record does not name yet. The first `sent_deletions` are part of the last write.
    deletions: Vec<Deletion>,
    sent_deletions: usize,
    store_fails: bool,
}

/// Days that this replica has deleted.
struct Deletion {
    days: Vec<DeletedDay>,
    recorded: oneshot::Sender<()>,
}

impl PreparedMember {
    /// A member with this configuration.
    #[must_use]
    pub fn new(config: MemberConfig) -> Self {
        Self { config, status: watch::Sender::default() }
    }

    /// The right to call upstream. It begins after [`join`](Self::join).
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership::of(self.status.subscribe())
    }

    /// Joins the fleet whose record is in `store`. The store may be down.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn join(self, store: Box<dyn LeaseStore>, state: Arc<dyn TransferableState>) -> io::Result<FleetMember> {
        let Self { config, status } = self;
        let receiver = status.subscribe();
        let (sender, commands) = mpsc::unbounded_channel();
        let metrics = Arc::new(FleetMetrics::new(receiver.clone()));
        let id = random_id();
        let replica_id: Arc<str> = id.as_str().into();
        let followers = Arc::<Followers>::default();
        let proof = config.key.proof(&id, &config.address);
        let address = LeaderAddress { id, address: config.address.clone(), proof };
        let task = MemberTask {
            election: Election::new(config.times, address, fastrand::u64(..)),
            store,
            state,
            config,
            replica_id: Arc::clone(&replica_id),
            followers: Arc::clone(&followers),
            epoch: Instant::now(),
            status,
            commands,
            metrics: Arc::clone(&metrics),
            leaving: None,
            sent: None,
            deleted: DeletedDays::default(),
            deletions: Vec::new(),
            sent_deletions: 0,
            store_fails: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("fleet".to_owned()).spawn(move || runtime.block_on(task.run()))?;
        Ok(FleetMember { status: receiver, commands: sender, metrics, replica_id, followers })
    }
}

impl FleetMember {
    /// The right to call upstream.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership::of(self.status.clone())
    }

    /// What this replica knows about the fleet.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<FleetStatus> {
        self.status.clone()
    }

    /// The metrics of the member.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<FleetMetrics> {
        &self.metrics
    }

    /// The random id of this replica.
    #[must_use]
    pub const fn replica_id(&self) -> &Arc<str> {
        &self.replica_id
    }

    /// The replicas that have sent a request to this one in the last minute.
    #[must_use]
    pub const fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Where others report what they found out.
    #[must_use]
    pub fn handle(&self) -> MemberHandle {
        MemberHandle { commands: self.commands.downgrade(), replica_id: Arc::clone(&self.replica_id) }
    }

    /// Stops calls of upstream, then releases the lease if this replica has it. It never leads again, but still sees
    /// who leads, so that the requests that it has left can be forwarded. If the store fails, this ends with the lease.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        if self.commands.send(Command::Leave(done)).is_ok() {
            let _ = left.await;
        }
    }
}

impl MemberHandle {
    /// Reads the record soon, because the leader may have changed.
    pub fn read_soon(&self) {
        self.send(Command::ReadSoon);
    }

    /// Reports that the address of the leader of this term refuses connections.
    pub fn report_refused_connection(&self, term: u64) {
        self.send(Command::LeaderRefused { term });
    }

    /// Releases the lease if this replica leads, so that another one leads. If none does within a lease, this replica leads again.
    pub fn step_down(&self) {
        self.send(Command::StepDown);
    }

    /// Tells the other replicas that this one, which leads, has deleted days: they remove them from memory. False if the
    /// record does not name the days within `limit`; it names them later if this replica leads again.
    pub async fn record_deletions(&self, days: impl IntoIterator<Item = (Geo, Day)>, limit: Duration) -> bool {
        let by = &self.replica_id;
        let days = days.into_iter().map(|(geo, day)| DeletedDay { geo, day, by: Arc::clone(by) }).collect();
        let (done, recorded) = oneshot::channel();
        self.send(Command::RecordDeletions(days, done));
        matches!(tokio::time::timeout(limit, recorded).await, Ok(Ok(())))
    }

    fn send(&self, command: Command) {
        let _ = self.commands.upgrade().map(|commands| commands.send(command));
    }
}

impl MemberTask {
    async fn run(mut self) {
        loop {
            self.publish();
            if self.election.has_left(self.now()) {
                let _ = self.leaving.take().map(|done| done.send(()));
            }
            match self.election.next_step(self.now()) {
                ElectionStep::Read => self.read().await,
                ElectionStep::Write(write) => self.write(*write).await,
                ElectionStep::WaitUntil(at) => {
                    let wait = at.saturating_sub(self.now()).min(MAX_WAIT);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        command = self.commands.recv() => match command {
                            Some(command) => self.apply(command),
                            None => return,
                        }
                    }
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::ReadSoon => self.election.read_soon(self.now()),
            Command::LeaderRefused { term } => self.election.on_leader_refused(self.now(), term),
            Command::RecordDeletions(days, recorded) => {
                self.deletions.push(Deletion { days, recorded });
                self.election.write_soon();
            }
            Command::StepDown => self.election.step_down(),
            Command::Leave(done) => {
                self.election.leave();
                self.leaving = Some(done);
            }
        }
    }

    async fn read(&mut self) {
        let began = Instant::now();
        let found = self.store.read().await;
        self.metrics.record(StoreOperation::Read, began.elapsed(), found.is_ok());
        match found {
            Ok(found) => {
                self.log_answer();
                self.election.on_read(self.now(), found);
                self.on_record_seen();
            }
            Err(error) => {
                self.log_failure(&error);
                self.election.on_read_failed(self.now());
            }
        }
    }

    async fn write(&mut self, write: ProposedWrite) {
        let previous = write.previous.unwrap_or_else(|| self.empty_record());
        let is_own = previous.leader.as_ref().is_some_and(|leader| *leader.id == *self.replica_id);
        let leads = matches!(self.election.role(self.now()), ReplicaRole::Leader { .. });
        // A leader that lost its record knows more than the record that replaced it.
        if write.leader.is_some() && !is_own && !leads {
            self.state.import(&previous.upstream, self.election.record_age(self.now()));
        }
        let upstream = match &write.leader {
            Some(_) => self.state.export(Some(self.config.times.lease)),
            None if leads => self.state.export(None),
            None => previous.upstream.clone(),
        };
        let mut deleted = self.deleted.clone();
        // A record that a new process wrote after a loss can name deletions that this replica has not seen.
        let unseen = |day: &&DeletedDay| !self.deleted.latest.contains(day);
        deleted.add(&previous.deleted.latest.iter().filter(unseen).cloned().collect::<Vec<_>>());
        // A replica that does not lead has deleted nothing since it led.
        self.sent_deletions = if leads || write.leader.is_some() { self.deletions.len() } else { 0 };
        for deletion in &self.deletions[..self.sent_deletions] {
            deleted.add(&deletion.days);
        }
        let replicas = match &write.leader {
            Some(_) => u32::try_from(1 + self.followers.count()).unwrap_or(u32::MAX),
            None => previous.replicas,
        };
        let record = FleetRecord {
            successor: self.followers.last_joined(),
            term: write.term,
            leader: write.leader,
            upstream,
            deleted,
            replicas,
            nonce: RecordNonce::random(),
            lease_seconds: self.config.times.lease.as_secs_f64(),
            release: self.config.release.clone(),
            version: RECORD_VERSION,
        };
        let began = Instant::now();
        self.election.on_sent(self.now(), record.clone());
        self.sent = Some(record.clone());
        let outcome = self.store.swap(write.expected.as_ref(), &record).await;
        let is_answered = !matches!(outcome, SwapOutcome::Unknown(_));
        self.metrics.record(StoreOperation::Write, began.elapsed(), is_answered);
        match &outcome {
            SwapOutcome::Unknown(error) => self.log_failure(error),
            SwapOutcome::Done(_) | SwapOutcome::Lost => self.log_answer(),
        }
        self.election.on_written(self.now(), &outcome);
        self.on_record_seen();
    }

    /// Keeps the deletions that the record names, unless the store has lost later ones, and reports what was sent last if the
    /// store has it.
    fn on_record_seen(&mut self) {
        let Some(record) = self.election.record() else { return };
        if record.deleted.count >= self.deleted.count {
            self.deleted = record.deleted.clone();
        }
        if let Some(sent) = self.sent.take_if(|sent| sent.nonce == record.nonce) {
            self.state.on_stored(&sent.upstream);
            for Deletion { recorded, .. } in self.deletions.drain(..self.sent_deletions) {
                let _ = recorded.send(());
            }
            self.sent_deletions = 0;
        }
    }

    fn empty_record(&self) -> FleetRecord {
        FleetRecord {
            version: RECORD_VERSION,
            term: 0,
            nonce: RecordNonce::random(),
            lease_seconds: self.config.times.lease.as_secs_f64(),
            leader: None,
            release: self.config.release.clone(),
            upstream: SharedUpstreamState::default(),
            deleted: DeletedDays::default(),
            replicas: 1,
            successor: None,
        }
    }

    /// Publishes the role, if it has changed.
    fn publish(&self) {
        let now = self.now();
        let role = self.election.role(now);
        let leads_until = match role {
            // Calls stop before the lease is released.
            ReplicaRole::Leader { until } if !self.election.releases() => Some(self.epoch + until),
            _ => None,
        };
        let leader = self.election.leader().cloned();
        let status = FleetStatus {
            leads_until,
            degraded_until: self.election.degraded_until(now).map(|until| self.epoch + until),
            term: self.election.term(),
            has_other_leader: leader.as_ref().is_some_and(|leader| *leader.id != *self.replica_id),
            leader,
            deleted: self.election.record().map(|record| record.deleted.clone()),
        };
        let before = self.status.borrow().clone();
        if status == before {
            return;
        }
        let term = status.term;
        let is_degraded = matches!(role, ReplicaRole::Degraded { .. });
        match (before.leads_until.is_some(), leads_until.is_some()) {
            (false, true) => tracing::info!(term, "this replica leads the fleet and calls Feishu"),
            (true, false) if is_degraded => tracing::warn!(
                term,
                "the lease could not be renewed; this replica calls Feishu for waiting callers only, at a part of the rate"
            ),
            (true, false) => tracing::info!(term, "this replica leads the fleet no more"),
            (false, false) if before.degraded_until.is_some() && !is_degraded => {
                tracing::info!(term, "this replica calls Feishu no more");
            }
            _ => {}
        }
        if let Some(until) = leads_until.filter(|_| leads_until != before.leads_until) {
            let replicas = self.election.record().map_or(0, |record| record.replicas).max(MIN_REPLICAS);
            self.state.on_lease(until, 1.0 / f64::from(replicas));
        }
        if term > before.term {
            self.metrics.record_leader_change();
        }
        self.status.send_replace(status);
    }

    fn log_failure(&mut self, error: &LeaseStoreError) {
        if !std::mem::replace(&mut self.store_fails, true) {
            tracing::warn!(%error, "the store of the fleet fails; it is tried again");
        }
    }

    fn log_answer(&mut self) {
        if std::mem::take(&mut self.store_fails) {
            tracing::info!("the store of the fleet answers again");
        }
    }
}
