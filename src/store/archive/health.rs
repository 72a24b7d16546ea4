//! How the archive is: what operators see, and what keeps requests from waiting for an archive that is down.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// After a failed exchange, nobody who waits for an answer tries again for this long. Writing does, and ends it earlier.
const PAUSE: Duration = Duration::from_secs(30);

/// How the archive is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What is wrong; `None` while all is well.
    pub fault: Option<Arc<str>>,
    /// Days that wait to be written.
    pub unwritten: usize,
    /// Days given up unwritten since the start, because too many waited. They are archived when they are fetched again.
    pub forgone: u64,
    /// Files found damaged since the start. Each was set aside.
    pub damaged: u64,
}

/// Follows how the archive is. A fault is logged when it begins and when it ends, not for each day it hits.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    paused_until: Option<Instant>,
}

impl Watch {
    /// An exchange succeeded.
    pub(super) fn well(&self) {
        let mut state = self.state();
        state.paused_until = None;
        if state.health.fault.take().is_some() {
            tracing::info!("the archive works again");
        }
    }

    /// An exchange failed.
    pub(super) fn ill(&self, reason: &str) {
        let mut state = self.state();
        state.paused_until = Some(Instant::now() + PAUSE);
        if state.health.fault.is_none() {
            tracing::error!(archive.fault = reason, "the archive fails; days come from Feishu and are archived later");
        }
        state.health.fault = Some(reason.into());
    }

    /// Whether it failed so recently that asking again would only cost time.
    pub(super) fn is_paused(&self) -> bool {
        self.state().paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// A file was found damaged.
    pub(super) fn damaged(&self) {
        self.state().health.damaged += 1;
    }

    /// Days were given up unwritten.
    pub(super) fn forgone(&self, days: usize) {
        self.state().health.forgone += days as u64;
    }

    /// The health, given how many days wait.
    pub(super) fn health(&self, unwritten: usize) -> Health {
        Health { unwritten, ..self.state().health.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
