//! How the archive is: what operators see, and what keeps requests from waiting for an archive that is down.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// After reading failed, nobody who waits for an answer tries again for this long.
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

/// What is done with the archive. A disk may be read-only, so that one fails and the other does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    Reading,
    Writing,
}

/// Follows how the archive is. A fault is logged when it begins and when it ends, not for each day it hits.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    reading: Option<Arc<str>>,
    writing: Option<Arc<str>>,
    forgone: u64,
    damaged: u64,
    paused_until: Option<Instant>,
}

impl Watch {
    /// An exchange succeeded. What takes days gives them as well, or finds out soon that it does not.
    pub(super) fn well(&self, exchange: Exchange) {
        let mut state = self.state();
        state.paused_until = None;
        let faults = match exchange {
            Exchange::Reading => [None, state.reading.take()],
            Exchange::Writing => [state.writing.take(), state.reading.take()],
        };
        if faults.iter().any(Option::is_some) {
            tracing::info!(?exchange, "the archive works again");
        }
    }

    /// An exchange failed.
    pub(super) fn ill(&self, exchange: Exchange, reason: &impl fmt::Display) {
        let reason: Arc<str> = reason.to_string().into();
        let mut state = self.state();
        if exchange == Exchange::Reading {
            state.paused_until = Some(Instant::now() + PAUSE);
        }
        if state.fault(exchange).replace(Arc::clone(&reason)).is_none() {
            tracing::error!(
                ?exchange,
                archive.fault = &*reason,
                "the archive fails; days come from Feishu and are archived later"
            );
        }
    }

    /// Whether reading failed so recently that asking again would only cost time.
    pub(super) fn is_paused(&self) -> bool {
        self.state().paused_until.is_some_and(|until| Instant::now() < until)
    }

    /// A file was found damaged.
    pub(super) fn damaged(&self) {
        self.state().damaged += 1;
    }

    /// Days were given up unwritten.
    pub(super) fn forgone(&self, days: usize) {
        self.state().forgone += days as u64;
    }

    /// The health, given how many days wait.
    pub(super) fn health(&self, unwritten: usize) -> Health {
        let state = self.state();
        let fault = state.writing.clone().or_else(|| state.reading.clone());
        Health { fault, unwritten, forgone: state.forgone, damaged: state.damaged }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn fault(&mut self, exchange: Exchange) -> &mut Option<Arc<str>> {
        match exchange {
            Exchange::Reading => &mut self.reading,
            Exchange::Writing => &mut self.writing,
        }
    }
}
