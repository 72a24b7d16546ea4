//! Simulates replicas, their clocks and a faulty store, and checks that at most one replica leads at any instant, and that only
//! a replica that led last as far as it knows is degraded.

use std::collections::BTreeMap;

use fastrand::Rng;
use proptest::{
    prelude::{Just, ProptestConfig, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::*;
use crate::fleet::{
    lease_store::LeaseStoreError,
    record::{DeletedDays, RECORD_VERSION, RecordNonce, SharedUpstreamState},
};

const LEASE: Duration = Duration::from_secs(10);

/// Time limit of an operation, in real milliseconds.
const TIMEOUT_MS: u64 = 500;

/// The longest time that a request is on its way, in milliseconds. It can arrive after the replica stopped waiting.
const MAX_DELAY_MS: u64 = 3_000;

/// End of the faults, and of the simulation. Between them a leader must be elected.
const FAULTS_END_MS: u64 = 120_000;
const END_MS: u64 = FAULTS_END_MS + 30_000;

/// A fault, at a real time in milliseconds.
#[derive(Clone, Debug)]
enum Fault {
    /// A replica is stopped for some time (SIGSTOP, or no CPU).
    Pause { replica: usize, milliseconds: u64 },
    /// A process ends, and another one starts with the same clock.
    Restart { replica: usize },
    /// A replica is shut down and started again.
    Leave { replica: usize },
    /// A replica gives its turn to another one.
    StepDown { replica: usize },
    /// Operations of a replica, or of all, get no answer for some time. Some are executed nevertheless.
    Cut { replica: Option<usize>, milliseconds: u64, executes: bool },
    /// The store loses its record.
    Wipe,
    /// The store returns to the record that it had some time ago.
    RollBack { milliseconds: u64 },
}

#[derive(Clone, Debug)]
struct Scenario {
    /// Origin and speed of each replica's clock.
    clocks: Vec<(u64, f64)>,
    faults: Vec<(u64, Fault)>,
    seed: u64,
}

struct Replica {
    election: Election,
    starts: usize,
    paused_until: u64,
    cut_until: u64,
    executes: bool,
    /// The generation of the next wake-up; earlier ones are ignored.
    wake: u64,
    is_busy: bool,
    leads_until_ms: u64,
    /// Whether it led last, as far as it can know.
    led_last: bool,
    /// When it began its last operation, by its clock.
    last_sent: Duration,
}

enum Event {
    Wake {
        replica: usize,
        wake: u64,
    },
    Execute {
        operation: Box<Operation>,
        reply_at: Option<u64>,
    },
    Reply {
        replica: usize,
        starts: usize,
        reply: Reply,
    },
    Fault(Fault),
    /// The simulation ends.
    End,
}

struct Operation {
    replica: usize,
    starts: usize,
    write: Option<(Option<RecordVersion>, FleetRecord)>,
}

enum Reply {
    Found(Box<Option<(FleetRecord, RecordVersion)>>),
    Written(SwapOutcome),
    Failed { is_write: bool },
}

struct World {
    now: u64,
    clocks: Vec<(u64, f64)>,
    replicas: Vec<Replica>,
    record: Option<(FleetRecord, RecordVersion)>,
    history: Vec<(u64, Option<(FleetRecord, RecordVersion)>)>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    rng: Rng,
    overlaps: Vec<String>,
    /// What was wrong about degraded replicas.
    wrongly_degraded: Vec<String>,
    /// How often a degraded replica was seen.
    degraded: usize,
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let mut world = Self {
            now: 0,
            clocks: scenario.clocks.clone(),
            replicas: Vec::new(),
            record: None,
            history: vec![(0, None)],
            events: BTreeMap::new(),
            sequence: 0,
            rng: Rng::with_seed(scenario.seed),
            overlaps: Vec::new(),
            wrongly_degraded: Vec::new(),
            degraded: 0,
        };
        for replica in 0..scenario.clocks.len() {
            let election = world.new_election(replica, 0);
            world.replicas.push(Replica {
                election,
                starts: 0,
                paused_until: 0,
                cut_until: 0,
                executes: true,
                wake: 0,
                is_busy: false,
                leads_until_ms: 0,
                led_last: false,
                last_sent: Duration::ZERO,
            });
            world.schedule(0, Event::Wake { replica, wake: 0 });
        }
        for (at, fault) in &scenario.faults {
            world.schedule(*at, Event::Fault(fault.clone()));
        }
        world
    }

    fn new_election(&mut self, replica: usize, starts: usize) -> Election {
        let id = format!("{replica}/{starts}");
        let address = LeaderAddress { address: id.clone(), id, proof: String::new() };
        Election::new(LeaseTimes::of_redis(LEASE), address, self.rng.u64(..))
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((at.max(self.now), self.sequence), event);
    }

    fn local(&self, replica: usize) -> Duration {
        let (origin, speed) = self.clocks[replica];
        Duration::from_secs_f64((origin as f64 + self.now as f64 * speed) / 1_000.0)
    }

    /// The real time of a local time, rounded up to milliseconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive time of minutes")]
    fn real(&self, replica: usize, local: Duration) -> u64 {
        let (origin, speed) = self.clocks[replica];
        ((local.as_secs_f64() * 1_000.0 - origin as f64) / speed).ceil().max(0.0) as u64
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > END_MS {
                return;
            }
            self.now = at;
            match event {
                Event::End => return,
                Event::Fault(fault) => self.inject(&fault),
                Event::Execute { operation, reply_at } => self.execute(*operation, reply_at),
                Event::Wake { replica, wake } => {
                    if self.defer_if_paused(replica, || Event::Wake { replica, wake }) {
                        continue;
                    }
                    if wake == self.replicas[replica].wake && !self.replicas[replica].is_busy {
                        self.step(replica);
                    }
                }
                Event::Reply { replica, starts, reply } => {
                    let paused_until = self.replicas[replica].paused_until;
                    if paused_until > self.now {
                        self.schedule(paused_until, Event::Reply { replica, starts, reply });
                    } else if starts == self.replicas[replica].starts {
                        self.receive(replica, reply);
                    }
                }
            }
        }
    }

    fn defer_if_paused(&mut self, replica: usize, event: impl FnOnce() -> Event) -> bool {
        let until = self.replicas[replica].paused_until;
        if until > self.now {
            self.schedule(until, event());
        }
        until > self.now
    }

    fn step(&mut self, replica: usize) {
        self.check_degraded(replica);
        let now = self.local(replica);
        match self.replicas[replica].election.next_step(now) {
            ElectionStep::WaitUntil(at) => {
                // A wake-up can be late.
                let at = self.real(replica, at).saturating_add(self.rng.u64(0..20));
                self.replicas[replica].wake += 1;
                let wake = self.replicas[replica].wake;
                self.schedule(at, Event::Wake { replica, wake });
            }
            ElectionStep::Read => self.send(replica, None),
            ElectionStep::Write(write) => {
                let successor = self.rng.usize(..self.replicas.len());
                let successor = format!("{successor}/{}", self.replicas[successor].starts);
                let record = FleetRecord {
                    version: RECORD_VERSION,
                    term: write.term,
                    nonce: RecordNonce(format!("{:x}", self.rng.u128(..))),
                    lease_seconds: LEASE.as_secs_f64(),
                    leader: write.leader,
                    release: "1.0".to_owned(),
                    upstream: SharedUpstreamState::default(),
                    deleted: DeletedDays::default(),
                    replicas: 1,
                    successor: self.rng.bool().then_some(successor),
                };
                self.replicas[replica].election.on_sent(now, record.clone());
                self.send(replica, Some((write.expected, record)));
            }
        }
    }

    fn send(&mut self, replica: usize, write: Option<(Option<RecordVersion>, FleetRecord)>) {
        let now = self.local(replica);
        let state = &mut self.replicas[replica];
        (state.is_busy, state.last_sent) = (true, now);
        let (starts, is_write) = (state.starts, write.is_some());
        let is_cut = state.cut_until > self.now;
        let is_executed = !is_cut || state.executes;
        // Most operations are fast, some are slow or lost.
        let mut delay = || match self.rng.u64(0..100) {
            0..80 => self.rng.u64(0..10),
            80..97 => self.rng.u64(0..TIMEOUT_MS),
            _ => self.rng.u64(0..MAX_DELAY_MS),
        };
        let arrives_at = self.now + delay();
        let reply_at = arrives_at + delay();
        let is_answered = !is_cut && reply_at < self.now + TIMEOUT_MS;
        if is_executed {
            let operation = Box::new(Operation { replica, starts, write });
            self.schedule(arrives_at, Event::Execute { operation, reply_at: Some(reply_at).filter(|_| is_answered) });
        }
        if !is_answered {
            self.schedule(self.now + TIMEOUT_MS, Event::Reply { replica, starts, reply: Reply::Failed { is_write } });
        }
    }

    fn execute(&mut self, Operation { replica, starts, write }: Operation, reply_at: Option<u64>) {
        let reply = match write {
            None => Reply::Found(Box::new(self.record.clone())),
            Some((expected, record)) => {
                if self.record.as_ref().map(|(_, version)| version) == expected.as_ref() {
                    let version = RecordVersion(record.nonce.0.clone());
                    self.store(Some((record, version.clone())));
                    Reply::Written(SwapOutcome::Done(version))
                } else {
                    Reply::Written(SwapOutcome::Lost)
                }
            }
        };
        if let Some(at) = reply_at {
            self.schedule(at, Event::Reply { replica, starts, reply });
        }
    }

    fn store(&mut self, record: Option<(FleetRecord, RecordVersion)>) {
        self.history.push((self.now, record.clone()));
        self.record = record;
    }

    fn receive(&mut self, replica: usize, reply: Reply) {
        let now = self.local(replica);
        let state = &mut self.replicas[replica];
        state.is_busy = false;
        if let Reply::Found(found) = &reply
            && let Some((record, _)) = &**found
        {
            let id = format!("{replica}/{}", state.starts);
            let is_of_other = record.leader.as_ref().is_some_and(|leader| leader.id != id);
            let leads = matches!(state.election.role(now), ReplicaRole::Leader { .. });
            state.led_last &= !is_of_other || (leads && record.term < state.election.term());
        }
        match reply {
            Reply::Found(found) => state.election.on_read(now, *found),
            Reply::Written(outcome) => state.election.on_written(now, &outcome),
            Reply::Failed { is_write: false } => state.election.on_read_failed(now),
            Reply::Failed { is_write: true } => {
                state.election.on_written(now, &SwapOutcome::Unknown(LeaseStoreError("no answer".into())));
            }
        }
        self.check(replica);
        self.step(replica);
    }

    /// Records whether this replica is degraded, and whether it may be.
    fn check_degraded(&mut self, replica: usize) {
        let now = self.local(replica);
        let state = &mut self.replicas[replica];
        match state.election.role(now) {
            ReplicaRole::Leader { .. } => state.led_last = !state.election.releases(),
            ReplicaRole::Degraded { until } => {
                self.degraded += 1;
                if !state.led_last || state.election.releases() {
                    self.wrongly_degraded.push(format!("{replica} does not lead at {}", self.now));
                }
                if until <= now || until > state.last_sent + LeaseTimes::of_redis(LEASE).validity() {
                    self.wrongly_degraded.push(format!("{replica} at {} until {until:?}", self.now));
                }
            }
            ReplicaRole::Follower => {}
        }
    }

    /// Records an overlap if this replica leads and another one may still call.
    fn check(&mut self, replica: usize) {
        let now = self.local(replica);
        let state = &mut self.replicas[replica];
        state.leads_until_ms = 0;
        let ReplicaRole::Leader { until } = state.election.role(now) else { return };
        // A replica stops calling before it releases the lease.
        if state.election.releases() {
            return;
        }
        self.replicas[replica].leads_until_ms = self.real(replica, until);
        for (other, state) in self.replicas.iter().enumerate() {
            if other != replica && state.leads_until_ms > self.now {
                self.overlaps.push(format!("{other} leads until {}, {replica} at {}", state.leads_until_ms, self.now));
            }
        }
    }

    fn inject(&mut self, fault: &Fault) {
        match *fault {
            Fault::Pause { replica, milliseconds } => {
                // Its process sends nothing meanwhile, but can be right past the check: the lease counts on.
                self.replicas[replica].paused_until = self.now + milliseconds;
            }
            Fault::Restart { replica } => {
                let starts = self.replicas[replica].starts + 1;
                let election = self.new_election(replica, starts);
                let state = &mut self.replicas[replica];
                (state.election, state.starts, state.is_busy, state.leads_until_ms) = (election, starts, false, 0);
                state.led_last = false;
                state.paused_until = 0;
                self.wake(replica);
            }
            Fault::Leave { replica } => {
                let state = &mut self.replicas[replica];
                state.election.leave();
                // It stops calling before it releases the lease.
                state.leads_until_ms = 0;
                self.wake(replica);
                self.schedule(self.now + 5_000, Event::Fault(Fault::Restart { replica }));
            }
            Fault::StepDown { replica } => {
                let state = &mut self.replicas[replica];
                state.election.step_down();
                state.leads_until_ms = 0;
                self.wake(replica);
            }
            Fault::Cut { replica, milliseconds, executes } => {
                for (number, state) in self.replicas.iter_mut().enumerate() {
                    if replica.is_none_or(|replica| replica == number) {
                        (state.cut_until, state.executes) = (self.now + milliseconds, executes);
                    }
                }
            }
            Fault::Wipe => self.store(None),
            Fault::RollBack { milliseconds } => {
                let then = self.now.saturating_sub(milliseconds);
                let earlier = self.history.iter().rev().find(|(at, _)| *at <= then);
                let record = earlier.and_then(|(_, record)| record.clone());
                self.store(record);
            }
        }
    }

    /// Lets a replica look at the present time, instead of the time that it waited for.
    fn wake(&mut self, replica: usize) {
        self.replicas[replica].wake += 1;
        let wake = self.replicas[replica].wake;
        self.schedule(self.now, Event::Wake { replica, wake });
    }

    fn roles(&self) -> impl Iterator<Item = ReplicaRole> {
        (0..self.replicas.len()).map(|replica| self.replicas[replica].election.role(self.local(replica)))
    }

    fn leaders(&self) -> usize {
        self.roles().filter(|role| matches!(role, ReplicaRole::Leader { .. })).count()
    }

    fn degraded_replicas(&self) -> usize {
        self.roles().filter(|role| matches!(role, ReplicaRole::Degraded { .. })).count()
    }
}

fn faults(with_roll_backs: bool, replicas: usize) -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let replica = 0..replicas;
    let long = 0..25_000_u64;
    let fault = prop_oneof![
        (replica.clone(), long.clone()).prop_map(|(replica, milliseconds)| Fault::Pause { replica, milliseconds }),
        replica.clone().prop_map(|replica| Fault::Restart { replica }),
        replica.clone().prop_map(|replica| Fault::Leave { replica }),
        replica.clone().prop_map(|replica| Fault::StepDown { replica }),
        (proptest::option::of(replica), long.clone(), any::<bool>())
            .prop_map(|(replica, milliseconds, executes)| Fault::Cut { replica, milliseconds, executes }),
    ];
    let faults = proptest::collection::vec((0..FAULTS_END_MS - 25_000, fault), 0..25);
    let wipes = proptest::collection::vec(0..FAULTS_END_MS, 0..6);
    let wipes = wipes.prop_map(|times| times.into_iter().map(|at| (at, Fault::Wipe)).collect::<Vec<_>>());
    let roll_backs = proptest::collection::vec((0..FAULTS_END_MS, 0..30_000_u64), 0..4).prop_map(move |roll_backs| {
        let roll_back = |(at, milliseconds)| (at, Fault::RollBack { milliseconds });
        roll_backs.into_iter().filter(|_| with_roll_backs).map(roll_back).collect::<Vec<_>>()
    });
    (faults, wipes, roll_backs).prop_map(|(faults, wipes, roll_backs)| [faults, wipes, roll_backs].concat())
}

fn scenarios(with_roll_backs: bool) -> impl Strategy<Value = Scenario> {
    // Clocks start anywhere; their speeds differ by a tenth at most, half of what the margin allows.
    let clock = (0..10_000_000_u64, 0.95..1.05);
    proptest::collection::vec(clock, 1..6).prop_flat_map(move |clocks| {
        let faults = faults(with_roll_backs, clocks.len());
        (Just(clocks), faults, any::<u64>()).prop_map(|(clocks, faults, seed)| Scenario { clocks, faults, seed })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn at_most_one_replica_leads_and_one_does_after_the_faults(scenario in scenarios(false)) {
        let mut world = World::new(&scenario);
        world.run();
        prop_assert!(world.overlaps.is_empty(), "{:?}", world.overlaps);
        prop_assert!(world.wrongly_degraded.is_empty(), "{:?}", world.wrongly_degraded);
        prop_assert_eq!((world.leaders(), world.degraded_replicas()), (1, 0));
    }

    #[test]
    fn one_replica_leads_after_a_store_has_returned_to_earlier_records(scenario in scenarios(true)) {
        let mut world = World::new(&scenario);
        world.run();
        prop_assert!(world.wrongly_degraded.is_empty(), "{:?}", world.wrongly_degraded);
        prop_assert_eq!((world.leaders(), world.degraded_replicas()), (1, 0));
    }

    #[test]
    fn the_leader_is_degraded_while_the_store_is_away_for_all_and_leads_again_afterwards(
        clocks in proptest::collection::vec((0..10_000_000_u64, 0.95..1.05), 1..6),
        executes: bool,
        seed: u64,
    ) {
        let mut scenario = Scenario { clocks, faults: Vec::new(), seed };
        let leader_at = |scenario: &Scenario, end_ms: u64| {
            let mut world = World::new(scenario);
            world.schedule(end_ms, Event::End);
            world.run();
            let leads = |role: ReplicaRole| matches!(role, ReplicaRole::Leader { .. });
            let leader = world.roles().position(leads);
            (leader, world)
        };
        let (before, _) = leader_at(&scenario, 39_000);
        prop_assert!(before.is_some());
        scenario.faults.push((40_000, Fault::Cut { replica: None, milliseconds: 60_000, executes }));
        let (_, world) = leader_at(&scenario, 99_000);
        prop_assert_eq!((world.leaders(), world.degraded_replicas()), (0, 1));
        let (after, world) = leader_at(&scenario, 115_000);

        prop_assert!(world.degraded > 0 && world.wrongly_degraded.is_empty(), "{:?}", world.wrongly_degraded);
        prop_assert_eq!(after, before);
    }
}
