//! [`Leadership`], the right to call upstream.

use tokio::{sync::watch, time::Instant};

use super::record::{DeletedDays, LeaderAddress};
use crate::source::Priority;

/// What a replica knows about its fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetStatus {
    /// The end of the right to make all calls; `None` if this replica does not lead. The end can be in the past.
    pub leads_until: Option<Instant>,
    /// The end of the right to make interactive calls at a part of the rate, if the lease is not renewed. `None` if this replica
    /// did not lead last, as far as it knows.
    pub degraded_until: Option<Instant>,
    /// The highest term that was seen.
    pub term: u64,
    /// The replica that leads or led last, as far as is known. It stays known when the store loses the record.
    pub leader: Option<LeaderAddress>,
    /// Whether that is another replica. [`FleetStatus::other_leader`] gives it.
    pub has_other_leader: bool,
    /// The deleted days, by the record that was read last; `None` if none was read.
    pub deleted: Option<DeletedDays>,
}

/// The right of this replica to call upstream. It ends by the clock of this machine, without any message.
///
/// A leader may make all calls. A replica that led last and gets no answer from the store may make interactive calls, at a part of
/// the rate: it is *degraded*. It does nothing else that only a leader does.
///
/// Check it right before each call: the lease can have ended while the call waited for its turn.
#[derive(Clone, Debug, Default)]
pub struct Leadership {
    /// `None` if there are no other replicas.
    status: Option<watch::Receiver<FleetStatus>>,
}

impl FleetStatus {
    /// Whether this replica leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        is_ahead(self.leads_until)
    }

    /// Whether this replica makes interactive calls at a part of the rate now.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.leads() && is_ahead(self.degraded_until)
    }

    /// The leader, if it is another replica.
    #[must_use]
    pub fn other_leader(&self) -> Option<&LeaderAddress> {
        self.leader.as_ref().filter(|_| self.has_other_leader)
    }

    /// The end of the right to make calls of this priority.
    fn may_call_until(&self, priority: Priority) -> Option<Instant> {
        match priority {
            Priority::Interactive => self.leads_until.max(self.degraded_until),
            Priority::Background => self.leads_until,
        }
    }
}

fn is_ahead(end: Option<Instant>) -> bool {
    end.is_some_and(|end| Instant::now() < end)
}

impl Leadership {
    /// The right of a gateway without other replicas, which never ends.
    #[must_use]
    pub const fn sole() -> Self {
        Self { status: None }
    }

    /// The right of a replica with this status.
    #[must_use]
    pub const fn of(status: watch::Receiver<FleetStatus>) -> Self {
        Self { status: Some(status) }
    }

    /// Whether this replica leads now, or there are no others.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.may_make(Priority::Background)
    }

    /// Whether an interactive call may be sent now.
    #[must_use]
    pub fn may_call(&self) -> bool {
        self.may_make(Priority::Interactive)
    }

    /// Whether a call of this priority may be sent now.
    #[must_use]
    pub fn may_make(&self, priority: Priority) -> bool {
        self.status.as_ref().is_none_or(|status| is_ahead(status.borrow().may_call_until(priority)))
    }

    /// Whether another replica leads, as far as is known.
    #[must_use]
    pub fn has_other_leader(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.borrow().has_other_leader)
    }

    /// Completes when this replica leads. Never, if the fleet has ended.
    pub async fn gained(&self) {
        let Some(mut status) = self.status.clone() else { return };
        if status.wait_for(FleetStatus::leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when this replica does not lead any more.
    pub async fn lease_ended(&self) {
        self.ended(Priority::Background).await;
    }

    /// Completes when no call may be sent any more, not even an interactive one.
    pub async fn lost(&self) {
        self.ended(Priority::Interactive).await;
    }

    async fn ended(&self, priority: Priority) {
        let Some(mut status) = self.status.clone() else { return std::future::pending().await };
        loop {
            let until = status.borrow_and_update().may_call_until(priority);
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = status.changed() => if changed.is_err() {
                    // The task that renews the lease has ended, so the lease ends when it ends.
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn leading(duration: Duration) -> FleetStatus {
        FleetStatus { leads_until: Some(Instant::now() + duration), ..FleetStatus::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_ends_with_the_lease_without_any_message() {
        let (sender, status) = watch::channel(FleetStatus::default());
        let leadership = Leadership::of(status);
        assert!(!leadership.may_call());

        sender.send_replace(leading(SECOND));
        assert!(leadership.may_call());
        let lost = leadership.lost();
        tokio::time::advance(SECOND).await;

        assert!(!leadership.may_call());
        assert_eq!(lost.now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_extends_the_right_and_a_release_ends_it() {
        let (sender, status) = watch::channel(leading(SECOND));
        let leadership = Leadership::of(status);
        let mut lost = std::pin::pin!(leadership.lost());
        assert_eq!(lost.as_mut().now_or_never(), None);

        sender.send_replace(leading(3 * SECOND));
        tokio::time::advance(2 * SECOND).await;
        assert!(leadership.may_call());
        assert_eq!(lost.as_mut().now_or_never(), None);

        sender.send_replace(FleetStatus::default());
        assert_eq!(lost.now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_nobody_renews_any_more_ends_in_time() {
        let (sender, status) = watch::channel(leading(SECOND));
        let leadership = Leadership::of(status);
        drop(sender);
        let lost = async {
            leadership.lost().await;
            leadership.may_call()
        };
        assert_eq!(tokio::time::timeout(2 * SECOND, lost).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_degraded_replica_makes_interactive_calls_only() {
        let status = FleetStatus { degraded_until: Some(Instant::now() + 3 * SECOND), ..leading(SECOND) };
        assert!(status.leads() && !status.is_degraded());
        let (sender, status) = watch::channel(status);
        let leadership = Leadership::of(status);
        let (lease_ended, mut lost) = (leadership.lease_ended(), std::pin::pin!(leadership.lost()));

        // Interactive calls go on without any message.
        tokio::time::advance(SECOND).await;
        assert!(leadership.may_call() && leadership.may_make(Priority::Interactive));
        assert!(!leadership.leads() && !leadership.may_make(Priority::Background));
        assert!(sender.borrow().is_degraded());
        assert_eq!(lease_ended.now_or_never(), Some(()));
        assert_eq!(lost.as_mut().now_or_never(), None);
        assert_eq!(leadership.gained().now_or_never(), None);

        tokio::time::advance(2 * SECOND).await;
        assert!(!leadership.may_call() && !sender.borrow().is_degraded());
        assert_eq!(lost.now_or_never(), Some(()));
    }

    #[test]
    fn a_gateway_without_other_replicas_always_may_call() {
        assert!(Leadership::sole().may_call() && Leadership::sole().leads());
        assert_eq!(Leadership::sole().lost().now_or_never(), None);
    }
}
