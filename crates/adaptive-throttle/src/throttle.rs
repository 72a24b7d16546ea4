//! The throttle: as fast as upstream allows, not a call more, and callers who know how long it takes.
//!
//! Every upstream call takes a [`Permit`] from [`Throttle::acquire`] and tells it how the call ended. From that alone
//! the throttle finds the unpublished limit, stays just under it, and keeps as many calls in flight as the rate needs
//! at the measured latency. `docs/throttle.md` tells how, with figures.
//!
//! It is made of a pure [`controller`] (when may a call go), a pure `queue` (whose turn is it), and this front,
//! which owns the one clock and wakes those who wait.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::source::{LoadContext, Priority};

mod config;
pub mod controller;
mod figures;
mod hints;
mod learned;
mod queue;

use controller::{Controller, Slot};
use queue::{Queue, Ticket};

pub use config::ThrottleConfig;
pub use hints::Hints;
pub use learned::Learned;

/// Hands out permits for upstream calls. Clones share one rate.
#[derive(Clone, Debug)]
pub struct Throttle {
    shared: Arc<Shared>,
}

/// The right to make one upstream call, now. Say how the call ended; dropping the permit says that upstream neither
/// took nor refused it (no connection, a timeout, a server error), which teaches nothing about the limit.
#[derive(Debug)]
#[must_use = "a permit is for one call, and wants to know how it ended"]
pub struct Permit {
    shared: Arc<Shared>,
    sent_at: Duration,
    ended: bool,
}

/// The state of the throttle at one moment, for metrics and for humans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// The rate that is kept at present, calls per second.
    pub rate: f64,
    /// Calls that upstream takes in each window, once known.
    pub limit: Option<f64>,
    /// The limit's window, once known.
    pub window: Option<Duration>,
    /// Interactive calls that wait for a permit.
    pub queued_interactive: usize,
    /// Background calls that wait for a permit.
    pub queued_background: usize,
    /// Calls on their way.
    pub in_flight: usize,
    /// Calls that were permitted since the start.
    pub sent: u64,
    /// Calls that upstream refused for its rate limit since the start.
    pub refused: u64,
    /// How long callers have waited for permits since the start, all together.
    pub waited: Duration,
}

#[derive(Debug)]
struct Shared {
    epoch: Instant,
    state: Mutex<State>,
    /// Tells the pump that the next slot may have moved.
    moved: Notify,
    background_every: u32,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    queue: Queue<oneshot::Sender<Grant>>,
    /// Whether a pump runs; one does while anybody waits.
    pumping: bool,
    sent: u64,
    refused: u64,
    waited: Duration,
}

/// A permit on its way to the one who waits for it. Should they have left meanwhile, it goes to the next.
#[derive(Debug)]
struct Grant(Option<Permit>);

/// A place in the queue, left when dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
}

impl Throttle {
    /// A throttle that knows nothing of the limit yet.
    #[must_use]
    pub fn new(config: &ThrottleConfig) -> Self {
        let state = State {
            controller: Controller::new(config),
            queue: Queue::new(config.background_every),
            pumping: false,
            sent: 0,
            refused: 0,
            waited: Duration::ZERO,
        };
        let shared = Shared {
            epoch: Instant::now(),
            state: Mutex::new(state),
            moved: Notify::new(),
            background_every: config.background_every.max(2),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for the right to make one call. A caller that stops waiting frees its place, and no slot is lost.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn acquire(&self, context: LoadContext) -> Permit {
        let asked = Instant::now();
        loop {
            let (place, turn) = self.queue(context);
            // Every turn comes; should one ever be lost, this queues again.
            if let Ok(mut grant) = turn.await
                && let Some(permit) = grant.0.take()
            {
                self.shared.lock().waited += asked.elapsed();
                return permit;
            }
            drop(place);
        }
    }

    /// How long until `calls` calls of `priority`, none of them queued yet, will have been answered.
    #[must_use]
    pub fn estimate(&self, calls: u64, priority: Priority) -> Duration {
        let now = self.shared.now();
        let state = self.shared.lock();
        let slots = self.shared.slots(&state, calls, priority);
        let held = match state.controller.slot(now) {
            Slot::At(at) => at.saturating_sub(now),
            Slot::AfterReply => Duration::ZERO,
        };
        let paced = Duration::try_from_secs_f64(slots / state.controller.rate()).unwrap_or(Duration::MAX);
        held.saturating_add(paced).saturating_add(state.controller.latency())
    }

    /// The throttle's state at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.shared.lock();
        Snapshot {
            rate: state.controller.rate(),
            limit: state.controller.limit().map(|(calls, _)| calls),
            window: state.controller.limit().map(|(_, window)| window),
            queued_interactive: state.queue.len(Priority::Interactive),
            queued_background: state.queue.len(Priority::Background),
            in_flight: state.controller.in_flight(),
            sent: state.sent,
            refused: state.refused,
            waited: state.waited,
        }
    }

    /// What is known of the limit at `now`, to be kept across a restart; `None` while nothing is.
    #[must_use]
    pub fn learned(&self, now: Timestamp) -> Option<Learned> {
        let (calls, window) = self.shared.lock().controller.limit()?;
        Some(Learned { calls, window_seconds: window.as_secs_f64(), learned_at: now })
    }

    /// Begins with what was learned before a restart, unless it is more than a day old at `now`.
    pub fn recall(&self, learned: &Learned, now: Timestamp) {
        if learned.holds_at(now) {
            self.shared.lock().controller.recall(learned.calls, learned.window());
        }
    }

    fn queue(&self, context: LoadContext) -> (Place<'_>, oneshot::Receiver<Grant>) {
        let (turn, granted) = oneshot::channel();
        let ticket = self.shared.lock().queue.push(context, turn);
        if Shared::serve(&self.shared).is_some() && !std::mem::replace(&mut self.shared.lock().pumping, true) {
            tokio::spawn(pump(Arc::clone(&self.shared)));
        }
        (Place { shared: &self.shared, ticket }, granted)
    }
}

impl Permit {
    /// Upstream took the call, whatever it answered.
    pub fn accepted(mut self, hints: &Hints) {
        self.end(|state, sent_at, now| state.controller.on_accepted(sent_at, now, hints));
    }

    /// Upstream refused the call for its rate limit.
    pub fn refused(mut self, hints: &Hints) {
        self.end(|state, sent_at, now| {
            state.refused += 1;
            state.controller.on_refused(sent_at, now, hints);
        });
    }

    fn end(&mut self, how: impl FnOnce(&mut State, Duration, Duration)) {
        if !std::mem::replace(&mut self.ended, true) {
            how(&mut self.shared.lock(), self.sent_at, self.shared.now());
            self.shared.moved.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(|state, _, _| state.controller.on_lost());
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives permits to those whose turn it is. Says what the next one has to wait for, if anyone waits.
    fn serve(shared: &Arc<Self>) -> Option<Slot> {
        loop {
            let mut state = shared.lock();
            if state.queue.is_empty() {
                state.pumping = false;
                return None;
            }
            let now = shared.now();
            let slot = state.controller.slot(now);
            if !matches!(slot, Slot::At(at) if at <= now) {
                return Some(slot);
            }
            let turn = state.queue.pop();
            state.controller.on_sent(now);
            state.sent += 1;
            drop(state);
            let permit = Permit { shared: Arc::clone(shared), sent_at: now, ended: false };
            // A grant that cannot be delivered goes back by being dropped.
            let _ = turn.map(|turn| turn.send(Grant(Some(permit))));
        }
    }

    /// The slots that pass until `calls` more calls of `priority` have had theirs.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn slots(&self, state: &State, calls: u64, priority: Priority) -> f64 {
        let interactive = state.queue.len(Priority::Interactive) as f64;
        let background = state.queue.len(Priority::Background) as f64;
        match priority {
            Priority::Interactive => {
                let own = interactive + calls as f64;
                own + background.min(own / f64::from(self.background_every - 1))
            }
            Priority::Background => interactive + background + calls as f64,
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(mut permit) = self.0.take() {
            permit.end(|state, sent_at, _| {
                state.sent -= 1;
                state.controller.on_unsent(sent_at);
            });
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = self.shared.lock().queue.leave(self.ticket);
        if left.is_some() {
            self.shared.moved.notify_one();
        }
    }
}

/// Says that nobody pumps any more where the pump ends before its work does: with its runtime.
struct Pump(Option<Arc<Shared>>);

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lock().pumping = false;
        }
    }
}

/// Serves those who wait until nobody does.
async fn pump(shared: Arc<Shared>) {
    let mut pump = Pump(Some(Arc::clone(&shared)));
    while let Some(slot) = Shared::serve(&shared) {
        match slot {
            Slot::AfterReply => shared.moved.notified().await,
            Slot::At(at) => {
                let _ = tokio::time::timeout_at(shared.epoch + at, shared.moved.notified()).await;
            }
        }
    }
    pump.0 = None;
}
