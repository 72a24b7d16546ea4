//! The throttle: callers wait for permits, and one task per throttle gives them out at the controller's rate.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{
    call_queue::{CallQueue, CallerKey, QueueEntryId, TrafficClass},
    config::ThrottleConfig,
    learned_limit::LearnedLimit,
    rate_controller::{NextSend, RateController, WindowLimit},
    rate_limit_hints::RateLimitHints,
    recent_calls::RecentCalls,
};

/// Gives out permits for calls to one server. Clones share one rate and one queue.
#[derive(Debug)]
pub struct Throttle<C: CallerKey> {
    shared: Arc<Shared<C>>,
}

/// The permission to send one call now.
///
/// Report the outcome with [`accepted`](Self::accepted) or [`refused`](Self::refused). Dropping the permit reports
/// that the call ended without information about the limit: no connection, a timeout or a server error.
#[derive(Debug)]
#[must_use = "a permit counts as a call in flight until its outcome is reported or it is dropped"]
pub struct Permit<C: CallerKey> {
    shared: Arc<Shared<C>>,
    sent_at: Duration,
    is_reported: bool,
}

/// The state of a throttle at one moment, for metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleSnapshot {
    /// The rate in calls per second that the limit allows at present.
    pub rate: f64,
    /// The estimated limit in calls per window; `None` until the first estimate.
    pub limit: Option<f64>,
    /// The window of the limit; `None` until the first estimate.
    pub window: Option<Duration>,
    /// Interactive calls that wait for a permit.
    pub queued_interactive: usize,
    /// Background calls that wait for a permit.
    pub queued_background: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Permits given since the start.
    pub sent: u64,
    /// Calls refused for the rate limit since the start.
    pub refused: u64,
    /// The sum of the times that callers have waited for permits since the start.
    pub waited: Duration,
}

#[derive(Debug)]
struct Shared<C: CallerKey> {
    epoch: Instant,
    state: Mutex<State<C>>,
    /// Wakes the dispatcher when the time of the next permit may have changed.
    changed: Notify,
}

#[derive(Debug)]
struct State<C: CallerKey> {
    controller: RateController,
    queue: CallQueue<C, oneshot::Sender<Delivery<C>>>,
    /// Whether a dispatcher task runs. One runs while calls wait.
    has_dispatcher: bool,
    sent: u64,
    refused: u64,
    waited: Duration,
}

/// A permit on its way to a waiting caller. If the caller has stopped waiting, dropping the delivery frees the permit
/// for another call.
#[derive(Debug)]
struct Delivery<C: CallerKey>(Option<Permit<C>>);

/// Removes a call from the queue when dropped.
struct QueueGuard<'a, C: CallerKey> {
    shared: &'a Shared<C>,
    id: QueueEntryId<C>,
}

/// Records the end of a dispatcher that is dropped with its runtime before it has finished.
struct DispatcherGuard<C: CallerKey>(Option<Arc<Shared<C>>>);

impl<C: CallerKey> Throttle<C> {
    /// A throttle without an estimate of the limit.
    #[must_use]
    pub fn new(config: &ThrottleConfig) -> Self {
        let state = State {
            controller: RateController::new(config),
            queue: CallQueue::new(config.background_every),
            has_dispatcher: false,
            sent: 0,
            refused: 0,
            waited: Duration::ZERO,
        };
        let shared = Shared { epoch: Instant::now(), state: Mutex::new(state), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for the permission to send one call, after earlier calls of this caller.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn acquire(&self, caller: C, class: TrafficClass) -> Permit<C> {
        self.acquire_ranked(caller, class, 0).await
    }

    /// Waits for the permission to send one call. Of the waiting calls of one caller and class, the one with the lowest
    /// `rank` is sent first. The rank does not change the shares of the callers.
    ///
    /// Cancel safe: if the future is dropped, the call leaves the queue, and a permit on its way to it goes to another
    /// call.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn acquire_ranked(&self, caller: C, class: TrafficClass, rank: u64) -> Permit<C> {
        let started = Instant::now();
        loop {
            let (guard, delivery) = self.enqueue(caller, class, rank);
            // A delivery fails only if the dispatcher ends with its runtime. Then the call is queued again.
            if let Ok(mut delivery) = delivery.await
                && let Some(permit) = delivery.0.take()
            {
                self.shared.lock().waited += started.elapsed();
                return permit;
            }
            drop(guard);
        }
    }

    /// The time until `calls` calls will have been replied to. They include those that are queued or in flight, and all
    /// calls that are sent before the last of them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn estimate(&self, calls: u64) -> Duration {
        let now = self.shared.now();
        let state = self.shared.lock();
        let permits = calls.saturating_sub(state.controller.in_flight() as u64) as f64;
        let until_next_send = match state.controller.next_send(now) {
            NextSend::At(at) => at.saturating_sub(now),
            NextSend::AfterReply => Duration::ZERO,
        };
        let rate = state.controller.reduced_rate(now);
        let sending = Duration::try_from_secs_f64(permits / rate).unwrap_or(Duration::MAX);
        until_next_send.saturating_add(sending).saturating_add(state.controller.latency())
    }

    /// The mean time from sending a call to its reply.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.shared.lock().controller.latency()
    }

    /// The present state.
    #[must_use]
    pub fn snapshot(&self) -> ThrottleSnapshot {
        let state = self.shared.lock();
        let limit = state.controller.limit();
        ThrottleSnapshot {
            rate: state.controller.rate(),
            limit: limit.map(|limit| limit.calls),
            window: limit.map(|limit| limit.window),
            queued_interactive: state.queue.len(TrafficClass::Interactive),
            queued_background: state.queue.len(TrafficClass::Background),
            in_flight: state.controller.in_flight(),
            sent: state.sent,
            refused: state.refused,
            waited: state.waited,
        }
    }

    /// The estimated limit, to be stored across a restart. `None` until the first estimate. `now` becomes its
    /// [`learned_at`](LearnedLimit::learned_at).
    #[must_use]
    pub fn learned_limit(&self, now: Timestamp) -> Option<LearnedLimit> {
        let WindowLimit { calls, window } = self.shared.lock().controller.limit()?;
        Some(LearnedLimit { calls, window_seconds: window.as_secs_f64(), learned_at: now })
    }

    /// Restores a limit that was stored before a restart. One that is not valid at `now` is ignored.
    pub fn restore(&self, limit: &LearnedLimit, now: Timestamp) {
        if limit.is_valid_at(now) {
            let limit = WindowLimit { calls: limit.calls, window: limit.window() };
            self.shared.lock().controller.restore(limit);
        }
    }

    /// Uses at most `share` of the rate, 0 to 1, from `from` on, until this is called again. The estimated limit does not
    /// change with it, and the whole rate is used again at once when `from` is moved into the future.
    pub fn reduce(&self, share: f64, from: Instant) {
        let from = from.saturating_duration_since(self.shared.epoch);
        self.shared.lock().controller.reduce(share, from);
        self.shared.changed.notify_one();
    }

    /// The calls that were sent in the last minute, for another process that continues under the same limit.
    #[must_use]
    pub fn recent_calls(&self) -> RecentCalls {
        self.shared.lock().controller.recent_calls(self.shared.now())
    }

    /// Continues after the calls of another process, which were counted `age` ago. Calls of the same time that are known
    /// already are not added again.
    pub fn restore_calls(&self, calls: &RecentCalls, age: Duration) {
        self.shared.lock().controller.restore_calls(calls, age, self.shared.now());
        self.shared.changed.notify_one();
    }

    fn enqueue(
        &self,
        caller: C,
        class: TrafficClass,
        rank: u64,
    ) -> (QueueGuard<'_, C>, oneshot::Receiver<Delivery<C>>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.shared.lock().queue.push(caller, class, rank, sender);
        let calls_wait = Shared::give_due_permits(&self.shared).is_some();
        if calls_wait && !std::mem::replace(&mut self.shared.lock().has_dispatcher, true) {
            tokio::spawn(dispatch(Arc::clone(&self.shared)));
        }
        (QueueGuard { shared: &self.shared, id }, receiver)
    }
}

impl<C: CallerKey> Clone for Throttle<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C: CallerKey> Permit<C> {
    /// Reports that the server accepted the call, even if its reply is an error of another kind.
    pub fn accepted(mut self, hints: &RateLimitHints) {
        self.report(|state, sent_at, now| state.controller.on_accepted(sent_at, now, hints));
    }

    /// Reports that the server refused the call for its rate limit.
    pub fn refused(mut self, hints: &RateLimitHints) {
        self.report(|state, sent_at, now| {
            state.refused += 1;
            state.controller.on_refused(sent_at, now, hints);
        });
    }

    /// Updates the state with the outcome, once. The outcome receives the state, the send time and the present time.
    fn report(&mut self, outcome: impl FnOnce(&mut State<C>, Duration, Duration)) {
        if !std::mem::replace(&mut self.is_reported, true) {
            outcome(&mut self.shared.lock(), self.sent_at, self.shared.now());
            self.shared.changed.notify_one();
        }
    }
}

impl<C: CallerKey> Drop for Permit<C> {
    fn drop(&mut self) {
        self.report(|state, _, _| state.controller.on_inconclusive());
    }
}

impl<C: CallerKey> Shared<C> {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock()
    }

    /// Gives permits to the next calls as long as the controller allows. Returns when the next permit is due; `None`
    /// if no call waits.
    fn give_due_permits(shared: &Arc<Self>) -> Option<NextSend> {
        loop {
            let mut state = shared.lock();
            if state.queue.is_empty() {
                state.has_dispatcher = false;
                return None;
            }
            let now = shared.now();
            let next_send = state.controller.next_send(now);
            if !matches!(next_send, NextSend::At(at) if at <= now) {
                return Some(next_send);
            }
            let sender = state.queue.pop();
            state.controller.on_sent(now);
            state.sent += 1;
            drop(state);
            let permit = Permit { shared: Arc::clone(shared), sent_at: now, is_reported: false };
            // If the caller has stopped waiting, the delivery is dropped and frees the permit.
            let _ = sender.map(|sender| sender.send(Delivery(Some(permit))));
        }
    }
}

impl<C: CallerKey> Drop for Delivery<C> {
    fn drop(&mut self) {
        if let Some(mut permit) = self.0.take() {
            permit.report(|state, sent_at, _| {
                state.sent -= 1;
                state.controller.on_cancelled(sent_at);
            });
        }
    }
}

impl<C: CallerKey> Drop for QueueGuard<'_, C> {
    fn drop(&mut self) {
        let removed = self.shared.lock().queue.remove(self.id);
        if removed.is_some() {
            self.shared.changed.notify_one();
        }
    }
}

impl<C: CallerKey> Drop for DispatcherGuard<C> {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lock().has_dispatcher = false;
        }
    }
}

/// Gives permits until no call waits.
async fn dispatch<C: CallerKey>(shared: Arc<Shared<C>>) {
    let mut guard = DispatcherGuard(Some(Arc::clone(&shared)));
    while let Some(next_send) = Shared::give_due_permits(&shared) {
        match next_send {
            NextSend::AfterReply => shared.changed.notified().await,
            NextSend::At(at) => {
                let _ = tokio::time::timeout_at(shared.epoch + at, shared.changed.notified()).await;
            }
        }
    }
    guard.0 = None;
}
