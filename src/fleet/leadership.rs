//! [`Leadership`], the right to call upstream.

use tokio::{sync::watch, time::Instant};

use super::record::{DeletedDays, LeaderAddress};

/// What a replica knows about its fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetStatus {
    /// The end of the right to call upstream; `None` if this replica does not lead. The end can be in the past.
    pub leads_until: Option<Instant>,
    /// Whether this replica led, could not renew its lease in time, and has not seen another leader since.
    pub has_lapsed: bool,
    /// The highest term that was seen.
    pub term: u64,
    /// The replica that leads, by the record that was read last.
    pub leader: Option<LeaderAddress>,
    /// Whether that is another replica. [`FleetStatus::other_leader`] gives it.
    pub has_other_leader: bool,
    /// The deleted days, by the record that was read last; `None` if none was read.
    pub deleted: Option<DeletedDays>,
}

/// The right of this replica to call upstream. It ends by the clock of this machine, without any message.
///
/// Check it right before each call: the lease can have ended while the call waited for its turn.
#[derive(Clone, Debug, Default)]
pub struct Leadership {
    /// `None` if there are no other replicas.
    status: Option<watch::Receiver<FleetStatus>>,
}

impl FleetStatus {
    /// The leader, if it is another replica.
    #[must_use]
    pub fn other_leader(&self) -> Option<&LeaderAddress> {
        self.leader.as_ref().filter(|_| self.has_other_leader)
    }
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

    /// Whether a call may be sent now.
    #[must_use]
    pub fn may_call(&self) -> bool {
        let Some(status) = &self.status else { return true };
        status.borrow().leads_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether another replica leads, as far as is known.
    #[must_use]
    pub fn has_other_leader(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.borrow().has_other_leader)
    }

    /// Completes when a call may be sent. Never, if the fleet has ended.
    pub async fn gained(&self) {
        let Some(mut status) = self.status.clone() else { return };
        let leads = |status: &FleetStatus| status.leads_until.is_some_and(|until| Instant::now() < until);
        if status.wait_for(leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when no call may be sent any more.
    pub async fn lost(&self) {
        let Some(mut status) = self.status.clone() else { return std::future::pending().await };
        loop {
            let until = status.borrow_and_update().leads_until;
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

    #[test]
    fn a_gateway_without_other_replicas_always_may_call() {
        assert!(Leadership::sole().may_call());
        assert_eq!(Leadership::sole().lost().now_or_never(), None);
    }
}
