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
use tracing::Instrument as _;

use super::{
    plan::{Plan, Query, plan},
    trails::Trails,
};
use crate::{
    model::{Clock, Day, DayKey, Geo, Scope},
    report::Digest,
    source::{CallerId, DaySource, Forecast, LoadContext, LoadError, Priority},
    store::{Archive, Generation, Memory, State},
    table::{Origin, Partition},
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
    archive: Option<Arc<Archive>>,
    clock: Arc<dyn Clock>,
    callers: Arc<AtomicU64>,
    /// On whose behalf days are loaded, where that is known; else every request is a caller of its own.
    caller: Option<CallerId>,
    trails: Trails,
}

/// How a caller asks.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Until when the caller waits.
    pub deadline: Instant,
    /// Whether an answer that lacks days is better than none.
    pub allow_partial: bool,
}

/// The days of a plan: their rows, or their digests.
#[derive(Debug)]
pub struct Gathered<D = Partition> {
    /// The plan.
    pub plan: Plan,
    /// The days that were had: by day, then geo.
    pub days: Vec<Arc<D>>,
    /// The days that were not, where the caller allows it.
    pub missing: Vec<(DayKey, NotAnswered)>,
    /// The days' states, in the order of `days`.
    pub states: Vec<State>,
    /// Where they came from.
    pub supply: Supply,
}

/// Where the days of a plan came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Feishu had to be asked for none of them.
    pub held: bool,
    /// All that Feishu had to be asked for was being fetched already, for somebody else.
    pub collapsed: bool,
    /// Some days that a figure would look back over are not held, so the figure is left out.
    pub without_lead: bool,
    /// Provisional days that should have been fetched anew by now: that is under way, or failed.
    pub stale: usize,
    /// Those of them for which it failed.
    pub failing: usize,
}

impl Supply {
    /// All of it was held, and is as new as it should be.
    pub const HELD: Self = Self { held: true, collapsed: false, without_lead: false, stale: 0, failing: 0 };
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
        Self { source, memory, archive: None, clock, callers: Arc::default(), caller: None, trails: Trails::default() }
    }

    /// The same over another read path, whose memory is `memory`. Not from the archive, where the days are whole: this
    /// read path may show less of them.
    pub(super) fn over(&self, source: Arc<dyn DaySource>, memory: Arc<Memory>) -> Self {
        Self { source, memory, archive: None, trails: Trails::default(), ..self.clone() }
    }

    /// The same, for a caller whose requests share one turn at the upstream.
    #[must_use]
    pub fn on_behalf_of(self, caller: CallerId) -> Self {
        Self { caller: Some(caller), ..self }
    }

    /// The same with `archive` to take digests from, without the rows of their days.
    #[must_use]
    pub fn with_archive(self, archive: Option<Arc<Archive>>) -> Self {
        Self { archive, ..self }
    }

    /// The rows of the days that `query` needs, as of now.
    ///
    /// # Errors
    /// [`NotAnswered`] for the first day that could not be had, unless the caller allows an answer without it.
    pub async fn gather(&self, query: &Query, asking: Asking) -> Result<Gathered, NotAnswered> {
        let (plan, context) = (plan(query, self.clock.now()), self.context());
        let nothing = vec![None; plan.keys.len()];
        let load = |key| {
            let source = Arc::clone(&self.source);
            async move { source.load(&key, context).await }
        };
        self.all(plan, nothing, (context, asking), load).await
    }

    /// The digests of the days that `query` needs. Rows are loaded only for days whose digest is not held. Not for
    /// questions about one person, whose rows are as small.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub async fn digests(&self, query: &Query, asking: Asking) -> Result<Gathered<Digest>, NotAnswered> {
        let (plan, context) = (plan(query, self.clock.now()), self.context());
        let mut held = Vec::with_capacity(plan.keys.len());
        for key in &plan.keys {
            held.push(self.memory.fresh_digest(key).await);
        }
        if held.iter().all(Option::is_some) {
            let (days, states) = held.into_iter().flatten().unzip();
            return Ok(Gathered { plan, days, missing: Vec::new(), states, supply: Supply::HELD });
        }
        let held = held.into_iter().map(|held| held.map(|(day, _)| day)).collect();
        let load = |key| {
            let engine = self.clone();
            async move { engine.digest(&key, context).await }
        };
        self.all(plan, held, (context, asking), load).await
    }

    /// A digest that is not held.
    async fn digest(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Digest>, LoadError> {
        // Where the rows are at hand, nothing is faster.
        if self.memory.held(key).await.is_none()
            && let Some(digest) = self.archived_digest(key).await
        {
            return Ok(digest);
        }
        self.memory.digest(&self.source.load(key, context).await?).await
    }

    async fn archived_digest(&self, key: &DayKey) -> Option<Arc<Digest>> {
        let digest = self.archive.as_ref()?.digest(key).await?;
        self.memory.keep_digest(&digest).await;
        Some(digest)
    }

    /// All days of a plan: those that are held, and the others as they are loaded.
    async fn all<D: Origin, F: Future<Output = Result<Arc<D>, LoadError>>>(
        &self,
        plan: Plan,
        held: Vec<Option<Arc<D>>>,
        (context, asking): (LoadContext, Asking),
        load: impl Fn(DayKey) -> F,
    ) -> Result<Gathered<D>, NotAnswered> {
        let mut days: Vec<Option<Result<Arc<D>, NotAnswered>>> = held.into_iter().map(|day| day.map(Ok)).collect();
        let open = plan.keys.iter().enumerate().filter(|(at, _)| days[*at].is_none());
        let open: Vec<(usize, DayKey)> = open.map(|(at, key)| (at, key.clone())).collect();
        let keys: Vec<DayKey> = open.iter().map(|(_, key)| key.clone()).collect();
        let forecast = self.source.forecast(&keys).await;
        if !asking.allow_partial {
            self.refuse_what_takes_too_long(forecast.wait, &keys, context, asking.deadline)?;
        }
        let loads: Vec<_> = open.into_iter().map(|(at, key)| in_time((at, load(key)), asking)).collect();
        let loaded = stream::iter(loads).buffer_unordered(FAN_OUT).try_collect::<Vec<_>>().await;
        let loaded = match loaded {
            Err(NotAnswered::NotInTime { .. }) => {
                // Told as it is now, at the end of the wait.
                let left = self.forecast(&keys).await;
                return Err(NotAnswered::NotInTime { left });
            }
            loaded => loaded?,
        };
        for (at, day) in loaded {
            days[at] = Some(day);
        }
        let held = forecast == Forecast::NOTHING;
        let supply = Supply { held, collapsed: forecast.collapsed, ..Supply::HELD };
        Ok(self.gathered(plan, days.into_iter().flatten().collect(), supply))
    }

    /// Says at once what can be foreseen: a caller who would wait in vain learns how long it takes instead. The fetch
    /// is begun all the same.
    fn refuse_what_takes_too_long(
        &self,
        left: Option<Duration>,
        keys: &[DayKey],
        context: LoadContext,
        deadline: Instant,
    ) -> Result<(), NotAnswered> {
        let Some(left) = left else { return Ok(()) };
        // An estimate is no promise: only a clear miss is refused.
        if left.mul_f64(ESTIMATES_ERR_BY) <= deadline.saturating_duration_since(Instant::now()) {
            return Ok(());
        }
        let (source, keys) = (Arc::clone(&self.source), keys.to_vec());
        let fetch = async move {
            let loads = keys.into_iter().map(|key| {
                let source = Arc::clone(&source);
                async move { source.load(&key, context).await }
            });
            stream::iter(loads).buffer_unordered(FAN_OUT).for_each(|_| std::future::ready(())).await;
        };
        tokio::spawn(fetch.in_current_span());
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

    /// One day, as urgent as the context says.
    ///
    /// # Errors
    /// The [`LoadError`] of the fetch.
    pub async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        self.source.load(key, context).await
    }

    /// How long it takes to have all of these days, where that can be told.
    pub async fn forecast(&self, keys: &[DayKey]) -> Option<Duration> {
        self.source.forecast(keys).await.wait
    }

    /// Drops a day of one geo and kind of id from memory, whomever it is about.
    pub async fn forget(&self, key: &DayKey) {
        self.memory.forget(key).await;
    }

    /// The digest of the day, where it is in memory or archived, with its state.
    pub async fn held_digest(&self, key: &DayKey) -> Option<(Arc<Digest>, State)> {
        if let Some(held) = self.memory.held_digest(key).await {
            return Some((held.day, held.state));
        }
        let digest = self.archived_digest(key).await?;
        let state = self.memory.state(&*digest);
        Some((digest, state))
    }

    /// Tells the data that is held now from that held at another time.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.memory.generation()
    }

    /// The days that are held.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The top of its read path.
    pub(super) fn source(&self) -> &Arc<dyn DaySource> {
        &self.source
    }

    /// The trailing counts that are kept.
    #[must_use]
    pub const fn trails(&self) -> &Trails {
        &self.trails
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn gathered<D: Origin>(&self, plan: Plan, loaded: Vec<Result<Arc<D>, NotAnswered>>, supply: Supply) -> Gathered<D> {
        let (mut days, mut missing) = (Vec::with_capacity(loaded.len()), Vec::new());
        for (key, loaded) in plan.keys.iter().zip(loaded) {
            match loaded {
                Ok(day) => days.push(day),
                Err(error) => missing.push((key.clone(), error)),
            }
        }
        let states: Vec<State> = days.iter().map(|day| self.memory.state(&**day)).collect();
        let stale = || days.iter().zip(&states).filter(|(day, state)| self.memory.is_due(&***day, **state));
        let failing = stale().filter(|(day, _)| self.memory.failed_to_refresh(&***day)).count();
        let supply = Supply { stale: stale().count(), failing, ..supply };
        Gathered { plan, days, missing, states, supply }
    }

    /// A caller who waits; where nobody knows who it is, one who has not asked before.
    fn context(&self) -> LoadContext {
        let caller = self.caller.unwrap_or_else(|| self.next_caller());
        LoadContext { priority: Priority::Interactive, caller }
    }

    /// A caller that shares turns at the upstream with all others.
    #[must_use]
    pub fn next_caller(&self) -> CallerId {
        CallerId(self.callers.fetch_add(1, Ordering::Relaxed))
    }
}

/// A day and its place, or why it could not be had in time; an error where that fails the whole question.
async fn in_time<D, F: Future<Output = Result<Arc<D>, LoadError>>>(
    (at, load): (usize, F),
    asking: Asking,
) -> Result<(usize, Result<Arc<D>, NotAnswered>), NotAnswered> {
    let loaded = tokio::time::timeout_at(asking.deadline, load).await;
    let loaded = loaded.map_or(Err(NotAnswered::NotInTime { left: None }), |loaded| loaded.map_err(NotAnswered::Load));
    match loaded {
        Err(error) if !asking.allow_partial => Err(error),
        loaded => Ok((at, loaded)),
    }
}

impl<D: Origin> Gathered<D> {
    /// Adds a day before the selected ones, where it is held.
    pub(super) fn look_back_at(&mut self, held: Option<(Arc<D>, State)>) {
        self.supply.without_lead |= held.is_none();
        let (day, state) = held.unzip();
        self.days.extend(day);
        self.states.extend(state);
    }

    /// The days that were had in at least so many geos.
    pub fn days_in(&self, geos: usize) -> impl Iterator<Item = &Arc<D>> {
        let by_day = self.days.chunk_by(|one, other| one.key().day == other.key().day);
        by_day.filter(move |day| day.len() >= geos).flatten()
    }

    /// The selected days that were had, each with its state.
    pub fn selected(&self) -> impl Iterator<Item = (&Arc<D>, State)> {
        let selected = |day: &D| self.plan.range.contains(day.key().day);
        self.days.iter().zip(self.states.iter().copied()).filter(move |(day, _)| selected(day))
    }

    /// The selected days that were not had.
    pub fn selected_missing(&self) -> impl Iterator<Item = (Geo, Day)> {
        let missing = self.missing.iter().map(|(key, _)| (key.geo, key.day));
        missing.filter(|(_, day)| self.plan.range.contains(*day))
    }
}
