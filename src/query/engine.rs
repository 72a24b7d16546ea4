//! Gathers the days of a plan: all at once, in order, in the time that the caller has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::plan::{Plan, Query, plan};
use crate::{
    model::{Clock, Day, DayKey, Geo, Scope},
    source::{CallerId, DaySource, LoadContext, LoadError, Priority},
    store::{Memory, State},
    table::Partition,
};

/// Days of one plan that are asked for at the same time. Below, they become spans and wait for their turns; the bound
/// only keeps a question about ten years from holding ten years of waiters.
const FAN_OUT: usize = 512;

/// The share of an estimate that must not fit into the caller's time before the caller is turned away.
const ESTIMATES_ERR_BY: f64 = 0.7;

/// Answers plans from the top of the read path.
#[derive(Clone)]
pub struct Engine {
    source: Arc<dyn DaySource>,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    callers: Arc<AtomicU64>,
}

/// How a caller asks.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Until when the caller waits.
    pub deadline: Instant,
    /// Whether an answer that lacks days is better than none.
    pub allow_partial: bool,
}

/// The days of a plan.
#[derive(Debug)]
pub struct Gathered {
    /// The plan.
    pub plan: Plan,
    /// The days that were had: by day, then geo.
    pub days: Vec<Arc<Partition>>,
    /// The days that were not, where the caller allows it.
    pub missing: Vec<(DayKey, NotAnswered)>,
    /// The days' states, in the order of `days`.
    pub states: Vec<State>,
}

/// Why days could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnswered {
    /// Loading a day failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Not in the time that the caller has. The fetch goes on.
    #[error("the days could not be fetched in time; the fetch goes on")]
    NotInTime {
        /// How long it probably still takes, where that can be told.
        left: Option<Duration>,
    },
}

impl Engine {
    /// An engine over the read path `source`, whose memory is `memory`.
    pub fn new(source: Arc<dyn DaySource>, memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Self {
        Self { source, memory, clock, callers: Arc::default() }
    }

    /// The days that `query` needs, as of now.
    ///
    /// # Errors
    /// [`NotAnswered`] for the first day that could not be had, unless the caller allows an answer without it.
    pub async fn gather(&self, query: &Query, asking: Asking) -> Result<Gathered, NotAnswered> {
        let plan = plan(query, self.clock.now());
        let context = LoadContext { priority: Priority::Interactive, caller: self.next_caller() };
        if !asking.allow_partial {
            self.refuse_what_takes_too_long(&plan, context, asking.deadline).await?;
        }
        let keys = plan.keys.clone().into_iter().enumerate();
        let loads = keys.map(|(at, key)| self.load(at, key, context, asking));
        let loaded = stream::iter(loads).buffer_unordered(FAN_OUT).try_collect::<Vec<_>>().await;
        let mut loaded = match loaded {
            Err(NotAnswered::NotInTime { .. }) => {
                // Told as it is now, at the end of the wait.
                let left = self.source.forecast(&plan.keys).await.wait;
                return Err(NotAnswered::NotInTime { left });
            }
            loaded => loaded?,
        };
        loaded.sort_unstable_by_key(|(at, _)| *at);
        Ok(self.gathered(plan, loaded.into_iter().map(|(_, day)| day).collect()))
    }

    /// Says at once what can be foreseen: a caller who would wait in vain learns how long it takes instead. The fetch
    /// is begun all the same.
    async fn refuse_what_takes_too_long(
        &self,
        plan: &Plan,
        context: LoadContext,
        deadline: Instant,
    ) -> Result<(), NotAnswered> {
        let Some(left) = self.source.forecast(&plan.keys).await.wait else { return Ok(()) };
        // An estimate is no promise: only a clear miss is refused.
        if left.mul_f64(ESTIMATES_ERR_BY) <= deadline.saturating_duration_since(Instant::now()) {
            return Ok(());
        }
        let (source, keys) = (Arc::clone(&self.source), plan.keys.clone());
        tokio::spawn(async move {
            let loads = keys.into_iter().map(|key| {
                let source = Arc::clone(&source);
                async move { source.load(&key, context).await }
            });
            stream::iter(loads).buffer_unordered(FAN_OUT).for_each(|_| std::future::ready(())).await;
        });
        Err(NotAnswered::NotInTime { left: Some(left) })
    }

    /// The day, where it is in memory, with its state. The day of everyone stands in for that of one person.
    pub async fn held(&self, key: &DayKey) -> Option<(Arc<Partition>, State)> {
        let mut held = self.memory.held(key).await;
        if held.is_none() && matches!(key.scope, Scope::User(_)) {
            held = self.memory.held(&key.everyone()).await.filter(|held| held.day.names_everyone());
        }
        held.map(|held| (held.day, held.state))
    }

    /// One day, on behalf of nobody who waits.
    ///
    /// # Errors
    /// The [`LoadError`] of the fetch.
    pub async fn load_unasked(&self, key: &DayKey, caller: CallerId) -> Result<Arc<Partition>, LoadError> {
        self.source.load(key, LoadContext { priority: Priority::Background, caller }).await
    }

    /// Drops a day of one geo and kind of id from memory, whomever it is about.
    pub async fn forget(&self, key: &DayKey) {
        self.memory.forget(key).await;
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn load(
        &self,
        at: usize,
        key: DayKey,
        context: LoadContext,
        asking: Asking,
    ) -> Result<(usize, Result<Arc<Partition>, NotAnswered>), NotAnswered> {
        let loaded = tokio::time::timeout_at(asking.deadline, self.source.load(&key, context)).await;
        let loaded =
            loaded.map_or(Err(NotAnswered::NotInTime { left: None }), |loaded| loaded.map_err(NotAnswered::Load));
        match loaded {
            Err(error) if !asking.allow_partial => Err(error),
            loaded => Ok((at, loaded)),
        }
    }

    fn gathered(&self, plan: Plan, loaded: Vec<Result<Arc<Partition>, NotAnswered>>) -> Gathered {
        let (mut days, mut missing) = (Vec::with_capacity(loaded.len()), Vec::new());
        for (key, loaded) in plan.keys.iter().zip(loaded) {
            match loaded {
                Ok(day) => days.push(day),
                Err(error) => missing.push((key.clone(), error)),
            }
        }
        let states = days.iter().map(|day| self.memory.state(day)).collect();
        Gathered { plan, days, missing, states }
    }

    /// A caller that shares turns at the upstream with all others.
    #[must_use]
    pub fn next_caller(&self) -> CallerId {
        CallerId(self.callers.fetch_add(1, Ordering::Relaxed))
    }
}

impl Gathered {
    /// The selected days that were had, each with its state.
    pub fn selected(&self) -> impl Iterator<Item = (&Arc<Partition>, State)> {
        let selected = |day: &Partition| self.plan.range.contains(day.key().day);
        self.days.iter().zip(self.states.iter().copied()).filter(move |(day, _)| selected(day))
    }

    /// The selected days that were not had.
    pub fn selected_missing(&self) -> impl Iterator<Item = (Geo, Day)> {
        let missing = self.missing.iter().map(|(key, _)| (key.geo, key.day));
        missing.filter(|(_, day)| self.plan.range.contains(*day))
    }
}
