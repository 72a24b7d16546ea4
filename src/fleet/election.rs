//! [`Election`], the rule by which replicas agree on a leader. It does no I/O and reads no clock: it gets what a store
//! answered and the time, and says what to do next.
//!
//! The rule is that of Kubernetes' client-go. The leader replaces the record regularly. It leads until the instant *before*
//! the last successful write was sent, plus the lease, less a margin. Another replica may replace the record when it has not
//! changed for the whole lease since this replica first saw it. So the leader stops before another one can start, as long as
//! the clocks of two replicas do not differ in speed by more than the margin. Times of two machines are never compared: each
//! replica measures both durations with its own monotonic clock.
//!
//! While no store answers, no replica can lead. The one that led last goes on at a part of its rate
//! ([`ReplicaRole::Degraded`]), until the store shows another leader. It must have found the store without an answer a short
//! time ago: a process that was stopped does not go on when it wakes, because another one can lead by then.
//!
//! A store can lose writes: it is wiped, restored, or fails over to a copy that lags behind. The leader then writes its
//! record again at once. The others wait a whole lease before they replace a record of an earlier term. Instead of a missing
//! record they first write one without a leader and with the term 0, and wait a whole lease as well: a missing record has no
//! nonce, so a replica cannot see that it was there in the meantime.

use std::time::Duration;

use fastrand::Rng;

use super::{
    lease_store::{RecordVersion, SwapOutcome},
    record::{FleetRecord, LeaderAddress},
};

/// The term of a record that a replica creates where there is none. It says that a leader can exist whose record the store
/// has lost. The first leader has term 1.
const UNKNOWN_LEADER_TERM: u64 = 0;

/// Maximum of the random delay before a replica replaces the record of another one.
const MAX_JITTER: Duration = Duration::from_millis(300);

/// The durations of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a record must be unchanged before another replica may replace it.
    pub lease: Duration,
    /// Time between two writes of the leader, and between two reads of another replica.
    pub interval: Duration,
    /// How much earlier than the lease the leader stops.
    pub margin: Duration,
    /// Wait after an operation that failed or lost.
    pub retry: Duration,
}

/// Elects a leader, from the view of one replica.
///
/// Times are those of the replica's monotonic clock, from any origin. The caller repeats: carry out [`next_step`](Self::next_step),
/// and pass the outcome to [`on_read`](Self::on_read), [`on_read_failed`](Self::on_read_failed) or
/// [`on_written`](Self::on_written).
#[derive(Debug)]
pub struct Election {
    times: LeaseTimes,
    replica: LeaderAddress,
    rng: Rng,
    role: ReplicaRole,
    /// The highest term that was seen.
    term: u64,
    /// What the store held last. `None`: not known.
    seen: Option<Seen>,
    /// The leader by the last record that does not follow a loss.
    leader: Option<LeaderAddress>,
    /// The longest lease of the records that were seen. A lost record can have been one with this lease.
    longest_lease: Duration,
    /// The last write, until the store shows its outcome.
    pending: Option<PendingWrite>,
    /// When the store is read next.
    next_read: Duration,
    /// Whether the record must be read before it is written: at the start, and after a write whose outcome is not known.
    reads_first: bool,
    /// When the record is written next, at the earliest.
    next_write: Duration,
    /// When the last read was begun.
    read_sent: Duration,
    /// When the last operation was begun that has shown no other leader, or got no answer.
    checked: Duration,
    /// Since when the address of the leader of this term refuses connections.
    refused: Option<(u64, Duration)>,
    /// Set when the replica is about to end.
    is_leaving: bool,
    /// Set when this replica gives its turn to another one, until it leads again.
    steps_down: bool,
}

/// The role of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRole {
    /// Another replica leads, or none.
    Follower,
    /// This replica leads until this time.
    Leader {
        /// The end of the lease, less the margin.
        until: Duration,
    },
    /// This replica led, could not write the record in time, and has not seen another leader since. It may make a part of
    /// the calls, until this time. Several replicas can be in this role, or beside a leader: those that have led one after the
    /// other and do not reach the store.
    Degraded {
        /// A lease, less the margin, after the last operation of the store was begun.
        until: Duration,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum ElectionStep {
    /// Wait until this time, or until a method was called.
    WaitUntil(Duration),
    /// Read the record.
    Read,
    /// Write a record.
    Write(Box<ProposedWrite>),
}

/// A write of the record.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedWrite {
    /// The version to replace; `None` to create the record.
    pub expected: Option<RecordVersion>,
    /// The record to replace.
    pub previous: Option<FleetRecord>,
    /// The term of the new record.
    pub term: u64,
    /// The leader in the new record: this replica; `None` to release the lease, or if the leader is not known.
    pub leader: Option<LeaderAddress>,
}

/// What the store held.
#[derive(Debug)]
struct Seen {
    record: Option<(FleetRecord, RecordVersion)>,
    /// When it was first seen.
    since: Duration,
    /// This replica does not replace the record of another one before this time.
    replace_after: Duration,
    /// Delay before this replica replaces it.
    jitter: Duration,
}

/// A write whose outcome is not known.
#[derive(Debug)]
struct PendingWrite {
    record: FleetRecord,
    sent_at: Duration,
}

impl LeaseTimes {
    /// The times for a Redis server: 5 writes in a lease. The default lease is 10 s.
    #[must_use]
    pub fn of_redis(lease: Duration) -> Self {
        Self { lease, interval: lease / 5, margin: lease / 5, retry: lease / 40 }
    }

    /// The times for a bucket: 4 writes in a lease, because buckets are slower and charge by request. The default lease is
    /// 20 s.
    #[must_use]
    pub fn of_bucket(lease: Duration) -> Self {
        Self { lease, interval: lease / 4, margin: lease / 5, retry: lease / 40 }
    }

    /// How long a replica may call after the start of an operation of the store that allows it.
    fn validity(self) -> Duration {
        self.lease.saturating_sub(self.margin)
    }
}

impl Election {
    /// A follower that has not read the store. `seed` makes the random delays of replicas differ.
    #[must_use]
    pub fn new(times: LeaseTimes, replica: LeaderAddress, seed: u64) -> Self {
        Self {
            times,
            replica,
            rng: Rng::with_seed(seed),
            role: ReplicaRole::Follower,
            term: 0,
            seen: None,
            leader: None,
            longest_lease: times.lease,
            pending: None,
            next_read: Duration::ZERO,
            reads_first: true,
            next_write: Duration::ZERO,
            read_sent: Duration::ZERO,
            checked: Duration::ZERO,
            refused: None,
            is_leaving: false,
            steps_down: false,
        }
    }

    /// The role at `now`.
    #[must_use]
    pub fn role(&self, now: Duration) -> ReplicaRole {
        let degraded_until = self.checked + self.times.validity();
        match self.role {
            ReplicaRole::Leader { until } if now < until => self.role,
            ReplicaRole::Leader { .. } | ReplicaRole::Degraded { .. } if now < degraded_until && !self.releases() => {
                ReplicaRole::Degraded { until: degraded_until }
            }
            _ => ReplicaRole::Follower,
        }
    }

    /// Until when this replica may make a part of the calls if its lease is not renewed. `None` if it neither leads nor is
    /// [`Degraded`](ReplicaRole::Degraded), or releases the lease.
    #[must_use]
    pub fn degraded_until(&self, now: Duration) -> Option<Duration> {
        let has_led = !matches!(self.role(now), ReplicaRole::Follower) && !self.releases();
        has_led.then(|| self.checked + self.times.validity())
    }

    /// The highest term that was seen.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// The record that was seen last.
    #[must_use]
    pub fn record(&self) -> Option<&FleetRecord> {
        self.seen.as_ref()?.record.as_ref().map(|(record, _)| record)
    }

    /// The replica that leads or led last, as far as is known. It stays known when the store loses its record.
    #[must_use]
    pub const fn leader(&self) -> Option<&LeaderAddress> {
        self.leader.as_ref()
    }

    /// For how long the record that was seen last is known; zero if none is.
    #[must_use]
    pub fn record_age(&self, now: Duration) -> Duration {
        self.seen.as_ref().map_or(Duration::ZERO, |seen| now.saturating_sub(seen.since))
    }

    /// What to do at `now`.
    pub fn next_step(&mut self, now: Duration) -> ElectionStep {
        self.role = self.role(now);
        let lease_end = match self.role {
            ReplicaRole::Leader { until } => Some(until),
            ReplicaRole::Follower | ReplicaRole::Degraded { .. } => None,
        };
        // A leader reads only if it must: its writes show whether the record is still the one that it wrote.
        let read_at = Some(self.next_read).filter(|_| self.reads_first || lease_end.is_none());
        let write_at = self.seen.as_ref().filter(|_| !self.reads_first).and_then(|seen| self.write_at(seen));
        let write_at = write_at.map(|at| at.max(self.next_write));
        if read_at.is_some_and(|at| at <= now) {
            self.read_sent = now;
            ElectionStep::Read
        } else if write_at.is_some_and(|at| at <= now) {
            ElectionStep::Write(Box::new(self.propose()))
        } else {
            let next = [read_at, write_at, lease_end].into_iter().flatten().min();
            ElectionStep::WaitUntil(next.unwrap_or(Duration::MAX))
        }
    }

    /// Records that a proposed write is being sent at `now`. Call it before the write is sent.
    pub fn on_sent(&mut self, now: Duration, record: FleetRecord) {
        self.pending = Some(PendingWrite { record, sent_at: now });
    }

    /// Records the outcome of the write that was sent last.
    pub fn on_written(&mut self, now: Duration, outcome: &SwapOutcome) {
        match outcome {
            SwapOutcome::Done(version) => {
                if let Some(pending) = self.pending.take() {
                    self.confirm(now, pending, version.clone());
                }
            }
            // The store shows what happened: another record, or this one if the store repeated the request.
            SwapOutcome::Lost => self.read_again(now),
            SwapOutcome::Unknown(_) => {
                self.record_no_answer(now, self.pending.as_ref().map_or(now, |pending| pending.sent_at));
                self.read_again(now + self.times.retry);
            }
        }
    }

    /// Records what the store held.
    pub fn on_read(&mut self, now: Duration, found: Option<(FleetRecord, RecordVersion)>) {
        self.checked = self.read_sent;
        let (nonce, term) = found.as_ref().map(|(record, _)| (&record.nonce, record.term)).unzip();
        let own_write = self.pending.take().filter(|pending| nonce == Some(&pending.record.nonce));
        if let (Some(pending), Some((_, version))) = (own_write, &found) {
            self.confirm(now, pending, version.clone());
            return;
        }
        self.role = self.role(now);
        let is_of_other = found.as_ref().is_some_and(|(record, _)| record.leader.is_some() && !self.is_own(record));
        // A missing record, or one of an earlier term, is what a store has that lost writes.
        let is_overtaken = term.is_some_and(|term| term >= self.term)
            && !found.as_ref().is_some_and(|(record, _)| self.is_own(record));
        match self.role {
            ReplicaRole::Leader { .. } if !is_overtaken => {
                self.next_write = self.next_write.min(now + self.times.retry);
            }
            ReplicaRole::Degraded { .. } if !is_overtaken && !is_of_other => {}
            _ => self.role = ReplicaRole::Follower,
        }
        self.see(now, found);
    }

    /// Records that the store could not be read.
    pub fn on_read_failed(&mut self, now: Duration) {
        self.record_no_answer(now, self.read_sent);
        self.next_read = now + self.times.retry;
        self.reads_first = true;
    }

    /// Records that the address of the leader of this term refuses connections, so its process has probably ended: its next
    /// renewal is awaited instead of the end of its lease. The record is read soon.
    pub fn on_leader_refused(&mut self, now: Duration, term: u64) {
        if self.refused.is_none_or(|(refused, _)| refused < term) {
            self.refused = Some((term, now));
        }
        self.read_soon(now);
    }

    /// Reads the record now, unless it was read just before.
    pub fn read_soon(&mut self, now: Duration) {
        self.next_read = self.next_read.min(now + self.times.retry);
    }

    /// Writes the record now if this replica leads, because its content has changed.
    pub fn write_soon(&mut self) {
        self.next_write = Duration::ZERO;
    }

    /// Releases the lease if this replica leads, and does not lead from now on. The replica must have stopped calling.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.next_write = Duration::ZERO;
    }

    /// Releases the lease if this replica leads, so that another one leads. If none does within a lease, this replica leads again.
    pub fn step_down(&mut self) {
        if self.role != ReplicaRole::Follower {
            self.steps_down = true;
            self.next_write = Duration::ZERO;
        }
    }

    /// Whether this replica releases the lease, or has released it. It must not call.
    #[must_use]
    pub const fn releases(&self) -> bool {
        self.is_leaving || self.steps_down
    }

    /// Whether this replica has nothing more to write after [`leave`](Self::leave).
    #[must_use]
    pub fn has_left(&self, now: Duration) -> bool {
        self.is_leaving && !matches!(self.role(now), ReplicaRole::Leader { .. })
    }

    /// When this replica may write the record next. `None`: not as long as the record is what was seen.
    fn write_at(&self, seen: &Seen) -> Option<Duration> {
        if let ReplicaRole::Leader { .. } = self.role {
            return Some(self.next_write);
        }
        if self.is_leaving {
            return None;
        }
        let Some((record, _)) = &seen.record else {
            return Some(seen.since + seen.jitter);
        };
        if !record.is_understood() {
            return None;
        }
        let wait = match &record.leader {
            _ if record.term < self.term || record.term == UNKNOWN_LEADER_TERM => {
                record.lease().max(self.longest_lease) + seen.jitter
            }
            None if self.steps_down => record.lease() + seen.jitter,
            // The successor reads the record within an interval and writes it before.
            None if record.successor.as_ref().is_some_and(|id| *id != self.replica.id) => {
                self.times.interval + MAX_JITTER + seen.jitter
            }
            None => seen.jitter,
            // Nobody has led since this replica wrote the record.
            Some(_) if self.is_own(record) => Duration::ZERO,
            Some(_) => record.lease() + seen.jitter,
        };
        let refused = self.refused.filter(|(term, _)| *term == record.term && record.leader.is_some());
        // A leader that still runs renews within this time. Its address can refuse this replica alone, for example by a
        // network policy.
        let renewal = self.times.interval + self.times.retry;
        let after_refusal = refused.map(|(_, at)| at.max(seen.since) + renewal + seen.jitter);
        let at = seen.since + wait;
        let at = after_refusal.map_or(at, |early| early.min(at));
        Some(if self.is_own(record) { at } else { at.max(seen.replace_after) })
    }

    fn propose(&mut self) -> ProposedWrite {
        let (previous, expected) = self.seen.as_ref().and_then(|seen| seen.record.clone()).unzip();
        let is_leader = matches!(self.role, ReplicaRole::Leader { .. });
        let (term, leads) = match (is_leader, &previous) {
            (true, _) => (self.term, !self.releases()),
            (false, Some(_)) => (self.term.saturating_add(1), true),
            (false, None) => (UNKNOWN_LEADER_TERM, false),
        };
        let leader = Some(self.replica.clone()).filter(|_| leads);
        ProposedWrite { expected, previous, term, leader }
    }

    /// Records that a write of this replica is in the store.
    fn confirm(&mut self, now: Duration, PendingWrite { record, sent_at }: PendingWrite, version: RecordVersion) {
        self.role = match record.leader {
            Some(_) => {
                self.steps_down = false;
                // The store can execute a write late. A lease that has ended before it was known gives no right.
                let had_right = self.role(now) != ReplicaRole::Follower;
                self.checked = if had_right { self.checked.max(sent_at) } else { sent_at };
                ReplicaRole::Leader { until: sent_at + self.times.validity() }
            }
            None if self.releases() => ReplicaRole::Follower,
            None => self.role(now),
        };
        self.next_write = if self.is_leaving { now } else { sent_at + self.times.interval };
        self.see(now, Some((record, version)));
    }

    fn see(&mut self, now: Duration, found: Option<(FleetRecord, RecordVersion)>) {
        self.reads_first = false;
        self.next_read = now + self.times.interval;
        let before = self.seen.as_ref().map(|seen| seen.record.as_ref().map(|(_, version)| version));
        if before == Some(found.as_ref().map(|(_, version)| version)) {
            return;
        }
        if let Some((record, _)) = &found {
            // It ends when another replica has led.
            self.steps_down &= record.leader.is_none() || self.is_own(record);
            if record.leader.is_some() || record.term >= self.term {
                self.leader.clone_from(&record.leader);
            }
            self.term = self.term.max(record.term);
            self.longest_lease = self.longest_lease.max(record.lease());
        }
        // A leader that writes its record still runs.
        self.refused = self.refused.filter(|(term, _)| *term > self.term);
        let jitter = MAX_JITTER.mul_f64(self.rng.f64());
        self.seen = Some(Seen { record: found, since: now, replace_after: now, jitter });
    }

    /// Records at `now` that an operation got no answer that was begun at `sent_at`.
    fn record_no_answer(&mut self, now: Duration, sent_at: Duration) {
        self.checked = sent_at;
        if let Some(seen) = &mut self.seen {
            // The leader may have got no answer either. It goes on with what it does, so it may renew first.
            seen.replace_after = now + self.times.interval + 2 * self.times.retry + seen.jitter;
        }
    }

    /// Reads the record at `at`, and writes no record before it was read.
    fn read_again(&mut self, at: Duration) {
        self.reads_first = true;
        self.next_read = at;
        self.next_write = at + self.times.retry;
    }

    fn is_own(&self, record: &FleetRecord) -> bool {
        record.leader.as_ref().is_some_and(|leader| leader.id == self.replica.id)
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{
        lease_store::LeaseStoreError,
        record::{DeletedDays, RECORD_VERSION, RecordNonce, SharedUpstreamState},
    };

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn address(id: &str) -> LeaderAddress {
        LeaderAddress { id: id.to_owned(), address: format!("{id}:9091"), proof: String::new() }
    }

    fn election() -> Election {
        Election::new(LeaseTimes::of_redis(seconds(10.0)), address("self"), 7)
    }

    fn record(leader: Option<&str>, term: u64, nonce: &str) -> (FleetRecord, RecordVersion) {
        let record = FleetRecord {
            version: RECORD_VERSION,
            term,
            nonce: RecordNonce(nonce.to_owned()),
            lease_seconds: 10.0,
            leader: leader.map(address),
            release: "1.0".to_owned(),
            upstream: SharedUpstreamState::default(),
            deleted: DeletedDays::default(),
            replicas: 1,
            successor: None,
        };
        (record, RecordVersion(nonce.to_owned()))
    }

    /// When the election writes the record next, if all reads find it unchanged.
    fn next_write(
        election: &mut Election,
        mut now: Duration,
        found: Option<&(FleetRecord, RecordVersion)>,
    ) -> Duration {
        while now < seconds(60.0) {
            match election.next_step(now) {
                ElectionStep::WaitUntil(at) => now = at,
                ElectionStep::Read => election.on_read(now, found.cloned()),
                ElectionStep::Write(_) => return now,
            }
        }
        now
    }

    fn first_write(found: &(FleetRecord, RecordVersion)) -> f64 {
        next_write(&mut election(), Duration::ZERO, Some(found)).as_secs_f64()
    }

    /// An election that leads from time zero.
    fn leader() -> Election {
        let mut election = election();
        let found = record(None, 4, "old");
        assert!(next_write(&mut election, Duration::ZERO, Some(&found)) <= MAX_JITTER);
        election.on_sent(Duration::ZERO, record(Some("self"), 5, "new").0);
        election.on_written(Duration::ZERO, &SwapOutcome::Done(RecordVersion("new".to_owned())));
        assert_eq!(election.role(Duration::ZERO), ReplicaRole::Leader { until: seconds(8.0) });
        election
    }

    #[test]
    fn the_wait_depends_on_what_the_record_says() {
        let within = |wait: f64, from: f64| (from..=from + 0.3).contains(&wait);
        assert!(within(first_write(&record(None, 0, "a")), 10.0), "the record of a leader may have been lost");
        assert!(within(first_write(&record(Some("other"), 1, "a")), 10.0), "another replica leads");
        let released = |successor: Option<&str>| {
            let (record, version) = record(None, 1, "a");
            (FleetRecord { successor: successor.map(str::to_owned), ..record }, version)
        };
        assert!(within(first_write(&released(None)), 0.0), "released, and no replica is to lead next");
        assert!(within(first_write(&released(Some("self"))), 0.0), "this replica is to lead next");
        assert!(within(first_write(&released(Some("other"))), 2.3), "another one is to lead next");
        let (longer, version) = record(Some("other"), 1, "a");
        assert!(within(first_write(&(FleetRecord { lease_seconds: 30.0, ..longer }, version)), 30.0));
        let (newer, version) = record(None, 1, "a");
        assert!(first_write(&(FleetRecord { version: RECORD_VERSION + 1, ..newer }, version)) >= 60.0);
    }

    #[test]
    fn a_missing_record_is_created_without_a_leader() {
        let mut election = election();
        let at = next_write(&mut election, Duration::ZERO, None);
        assert!(at <= MAX_JITTER);
        let ElectionStep::Write(write) = election.next_step(at) else { panic!("a write") };
        assert_eq!(*write, ProposedWrite { expected: None, previous: None, term: 0, leader: None });
    }

    #[test]
    fn a_leader_whose_address_refuses_connections_is_replaced_after_a_missed_renewal() {
        let (mut refused, mut alive) = (election(), election());
        let found = record(Some("other"), 3, "a");
        for election in [&mut refused, &mut alive] {
            assert_eq!(election.next_step(Duration::ZERO), ElectionStep::Read);
            election.on_read(Duration::ZERO, Some(found.clone()));
            election.on_leader_refused(seconds(1.0), 3);
        }
        let early = next_write(&mut refused, seconds(1.0), Some(&found)).as_secs_f64();
        assert!((3.25..=3.55).contains(&early), "{early}");
        let renewed = record(Some("other"), 3, "b");
        assert!(next_write(&mut alive, seconds(1.0), Some(&renewed)) >= seconds(11.0));
    }

    #[test]
    fn a_leader_that_renews_is_not_replaced_although_its_address_refuses_connections() {
        let mut election = election();
        // The leader renews at 0.5 s, 2.5 s, 4.5 s and so on. Every request to it is refused at once.
        for tenth in 0..600 {
            let now = seconds(f64::from(tenth) / 10.0);
            let stored = record(Some("other"), 3, &format!("{}", (tenth + 15) / 20));
            match election.next_step(now) {
                ElectionStep::Read => {
                    election.on_read(now, Some(stored));
                    election.on_leader_refused(now, 3);
                }
                ElectionStep::Write(write) => panic!("{write:?} at {now:?}"),
                ElectionStep::WaitUntil(_) => election.on_leader_refused(now, 3),
            }
        }
    }

    #[test]
    fn one_failed_write_does_not_end_the_lease_and_a_lost_reply_renews_it() {
        let mut election = leader();
        assert!(matches!(election.next_step(seconds(2.0)), ElectionStep::Write(_)));
        election.on_sent(seconds(2.0), record(Some("self"), 5, "lost").0);
        election.on_written(seconds(2.5), &SwapOutcome::Unknown(LeaseStoreError("no answer".into())));
        assert_eq!(election.role(seconds(2.5)), ReplicaRole::Leader { until: seconds(8.0) });
        assert_eq!(election.next_step(seconds(2.75)), ElectionStep::Read);

        election.on_read(seconds(2.8), Some(record(Some("self"), 5, "lost")));

        assert_eq!(election.role(seconds(2.8)), ReplicaRole::Leader { until: seconds(10.0) });
        assert_eq!(election.next_step(seconds(2.8)), ElectionStep::WaitUntil(seconds(4.0)));
    }

    #[test]
    fn a_leader_writes_a_lost_record_again_and_yields_to_a_later_term() {
        let lost = [None, Some(record(Some("other"), 3, "before")), Some(record(Some("self"), 5, "own"))];
        for found in lost {
            let mut election = leader();
            election.on_read(seconds(1.0), found.clone());
            let ElectionStep::Write(write) = election.next_step(seconds(1.25)) else {
                panic!("a write over {found:?}")
            };
            assert_eq!((write.term, write.leader), (5, Some(address("self"))));
            assert_eq!(write.expected, found.map(|(_, version)| version));
        }
        for term in [5, 6] {
            let mut election = leader();
            election.on_read(seconds(1.0), Some(record(Some("other"), term, "after")));
            assert_eq!((election.role(seconds(1.0)), election.term()), (ReplicaRole::Follower, term));
        }
    }

    #[test]
    fn a_leader_that_wakes_after_its_lease_leads_no_more() {
        let mut election = leader();
        assert_eq!(election.role(seconds(8.0)), ReplicaRole::Follower);
        assert_eq!(election.next_step(seconds(30.0)), ElectionStep::Read);
        let mut other = leader();
        election.on_read(seconds(30.0), Some(record(Some("other"), 6, "after")));
        assert_eq!(election.role(seconds(30.0)), ReplicaRole::Follower);

        // Without another leader, it leads again in a new term.
        assert_eq!(other.next_step(seconds(30.0)), ElectionStep::Read);
        other.on_read(seconds(30.0), Some(record(Some("self"), 5, "new")));
        let ElectionStep::Write(write) = other.next_step(seconds(30.0)) else { panic!("a write") };
        assert_eq!(write.term, 6);
    }

    fn no_answer() -> SwapOutcome {
        SwapOutcome::Unknown(LeaseStoreError("no answer".into()))
    }

    /// Lets all operations until `end` fail half a second after they were begun. Returns the time of the end.
    fn fail_until(election: &mut Election, mut now: Duration, end: Duration) -> Duration {
        while now < end {
            let answer_at = now + seconds(0.5);
            match election.next_step(now) {
                ElectionStep::WaitUntil(at) => now = at.min(end),
                ElectionStep::Read => {
                    election.on_read_failed(answer_at);
                    now = answer_at;
                }
                ElectionStep::Write(write) => {
                    election.on_sent(now, record(Some("self"), write.term, "unanswered").0);
                    election.on_written(answer_at, &no_answer());
                    now = answer_at;
                }
            }
        }
        now
    }

    fn is_degraded(election: &Election, now: Duration) -> bool {
        matches!(election.role(now), ReplicaRole::Degraded { until } if until > now)
    }

    /// An election that led, and whose store has not answered since, at the returned time.
    fn degraded() -> (Election, Duration) {
        let mut election = leader();
        let now = fail_until(&mut election, Duration::ZERO, seconds(100.0));
        assert!(is_degraded(&election, now));
        (election, now)
    }

    #[test]
    fn a_leader_whose_store_does_not_answer_is_degraded_from_the_end_of_its_lease_without_a_gap() {
        let mut election = leader();
        let now = fail_until(&mut election, Duration::ZERO, seconds(7.9));
        assert_eq!(election.role(seconds(7.99)), ReplicaRole::Leader { until: seconds(8.0) });
        assert!(is_degraded(&election, seconds(8.0)));
        assert_eq!(election.degraded_until(seconds(7.99)), election.degraded_until(seconds(8.0)));
        // The right ends if the replica does not look at the store any more.
        let ReplicaRole::Degraded { until } = election.role(seconds(8.0)) else { panic!("degraded") };
        assert!(until <= now + seconds(8.0), "{until:?}");
        assert_eq!(election.role(until), ReplicaRole::Follower);
    }

    #[test]
    fn a_degraded_replica_leads_again_at_once_if_its_record_is_still_there() {
        let (mut election, now) = degraded();
        election.on_read(now, Some(record(Some("self"), 5, "new")));
        assert!(is_degraded(&election, now));
        let ElectionStep::Write(write) = election.next_step(now) else { panic!("a write") };
        assert_eq!((write.term, write.leader), (6, Some(address("self"))));
        election.on_sent(now, record(Some("self"), 6, "again").0);
        election.on_written(now, &SwapOutcome::Done(RecordVersion("again".to_owned())));
        assert_eq!(election.role(now), ReplicaRole::Leader { until: now + seconds(8.0) });
    }

    #[test]
    fn a_degraded_replica_makes_no_calls_after_it_has_seen_another_leader_or_released_the_lease() {
        let later_term = record(Some("other"), 6, "a");
        let after_a_loss = record(Some("other"), 1, "b");
        let released_by_other = record(None, 6, "c");
        for found in [later_term, after_a_loss, released_by_other] {
            let (mut election, now) = degraded();
            election.on_read(now, Some(found));
            assert_eq!(election.role(now), ReplicaRole::Follower);
            assert_eq!(election.degraded_until(now), None);
        }
        let (mut election, now) = degraded();
        election.step_down();
        assert_eq!(election.role(now), ReplicaRole::Follower);
        let (mut election, now) = degraded();
        election.leave();
        assert_eq!(election.role(now), ReplicaRole::Follower);
        assert!(election.has_left(now));
        assert_eq!(election.degraded_until(now), None);
    }

    #[test]
    fn a_record_that_the_store_has_lost_shows_no_other_leader() {
        for found in [None, Some(record(None, UNKNOWN_LEADER_TERM, "a"))] {
            let (mut election, now) = degraded();
            election.on_read(now, found);
            assert!(is_degraded(&election, now));
        }
    }

    #[test]
    fn a_degraded_replica_whose_last_renewal_was_executed_late_stays_degraded_until_the_next_one() {
        let (mut election, now) = degraded();
        election.on_read(now, Some(record(Some("self"), 5, "unanswered")));
        assert!(is_degraded(&election, now));
        assert!(matches!(election.next_step(now), ElectionStep::Write(_)));
    }

    #[test]
    fn the_leader_stays_known_when_the_store_loses_its_record() {
        let mut election = election();
        let mut known_after = |found| {
            election.on_read(Duration::ZERO, found);
            election.leader().map(|leader| leader.id.clone())
        };
        assert_eq!(known_after(Some(record(Some("a"), 2, "1"))).as_deref(), Some("a"));
        assert_eq!(known_after(None).as_deref(), Some("a"));
        assert_eq!(known_after(Some(record(None, UNKNOWN_LEADER_TERM, "2"))).as_deref(), Some("a"));
        // A replica that started after the loss leads.
        assert_eq!(known_after(Some(record(Some("b"), 1, "3"))).as_deref(), Some("b"));
        assert_eq!(known_after(Some(record(None, 2, "4"))), None);
    }

    #[test]
    fn a_leader_that_was_stopped_is_not_degraded_when_it_wakes() {
        let mut election = leader();
        let ElectionStep::WaitUntil(at) = election.next_step(Duration::ZERO) else { panic!("a wait") };
        let ElectionStep::Write(_) = election.next_step(at) else { panic!("a write") };
        election.on_sent(at, record(Some("self"), 5, "unanswered").0);
        // It was stopped while it waited for the answer.
        let now = seconds(30.0);
        assert_eq!(election.role(now), ReplicaRole::Follower);
        election.on_written(now, &no_answer());
        assert_eq!(election.role(now), ReplicaRole::Follower);
        let now = fail_until(&mut election, now, seconds(60.0));
        assert_eq!(election.role(now), ReplicaRole::Follower);
    }

    #[test]
    fn a_replica_that_has_not_led_is_never_degraded() {
        let mut election = election();
        election.on_read(Duration::ZERO, Some(record(Some("other"), 1, "a")));
        let now = fail_until(&mut election, Duration::ZERO, seconds(60.0));
        assert_eq!((election.role(now), election.degraded_until(now)), (ReplicaRole::Follower, None));
    }

    #[test]
    fn after_a_time_without_answers_the_leader_may_renew_first() {
        let found = record(Some("other"), 1, "a");
        let mut election = election();
        assert_eq!(election.next_step(Duration::ZERO), ElectionStep::Read);
        election.on_read(Duration::ZERO, Some(found.clone()));
        let now = fail_until(&mut election, Duration::ZERO, seconds(30.0));

        let at = next_write(&mut election, now, Some(&found));

        // An interval and twice the time between two attempts after the last one, and the random delay. The last attempt
        // ended less than an attempt before `now`.
        let range = now + seconds(2.25)..now + seconds(2.8);
        assert!(range.contains(&at), "{at:?}, not in {range:?}");
    }

    #[test]
    fn a_replica_that_stepped_down_waits_a_lease_only_until_another_one_has_led() {
        let mut election = leader();
        election.step_down();
        assert!(matches!(election.next_step(seconds(1.0)), ElectionStep::Write(_)));
        election.on_sent(seconds(1.0), record(None, 5, "released").0);
        election.on_written(seconds(1.0), &SwapOutcome::Done(RecordVersion("released".to_owned())));
        let own = record(None, 5, "released");
        let at = next_write(&mut election, seconds(1.0), Some(&own));
        assert!((seconds(11.0)..=seconds(11.3)).contains(&at), "{at:?}");

        let now = seconds(5.0);
        election.on_read(now, Some(record(Some("other"), 6, "other")));
        let released = record(None, 6, "released by the other");
        election.on_read(now, Some(released.clone()));

        let at = next_write(&mut election, now, Some(&released));
        assert!(at <= now + MAX_JITTER, "{at:?}");
    }

    #[test]
    fn a_leader_that_leaves_releases_the_lease_at_once_and_never_leads_again() {
        let mut election = leader();
        election.leave();
        let ElectionStep::Write(write) = election.next_step(seconds(1.0)) else { panic!("a write") };
        assert_eq!((write.term, write.leader), (5, None));
        assert!(!election.has_left(seconds(1.0)));

        election.on_sent(seconds(1.0), record(None, 5, "released").0);
        election.on_written(seconds(1.1), &SwapOutcome::Done(RecordVersion("released".to_owned())));

        assert!(election.has_left(seconds(1.1)));
        let released = record(None, 5, "released");
        assert!(next_write(&mut election, seconds(1.1), Some(&released)) >= seconds(60.0));
    }
}
