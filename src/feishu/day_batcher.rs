//! Days wanted at the same moment become spans: one chain of pages brings several days, and several callers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinSet};
use tracing::Instrument as _;

use super::{
    desk::{Delivery, Desk, Run, Taker},
    lookahead::LookAhead,
    pages::Chain,
    plan::{self, Size},
    transport::{Ask, Transport},
};
use crate::{
    model::{Clock, Day, DayKey, DayRange, Geo, Scope, UserIdType},
    source::{LoadContext, LoadError},
    table::{Directories, Partition},
};

/// How long the first day waits for others that are wanted with it. A request asks for all its days at once, so
/// this only has to outlast the time that takes.
const GATHERING: Duration = Duration::from_millis(3);

/// Chains of one series side by side. At 100 calls a second and 150 ms a call, 15 keep the rate filled.
const CHAINS: usize = 24;

/// Gathers the days that are wanted and fetches them in spans.
#[derive(Clone, Debug)]
pub struct Spans {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    directories: Arc<Directories>,
    clock: Arc<dyn Clock>,
    lookahead: LookAhead,
    desks: Mutex<HashMap<Series, Desk>>,
    /// Rows a day, by what was seen last. Kept when the desk closes.
    sizes: Mutex<HashMap<Series, f64>>,
}

/// Days that may share a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Series {
    geo: Geo,
    user_id_type: UserIdType,
    scope: Scope,
}

/// Takes the chain off its desk, also when it panics: its days would be on their way for ever.
struct Ending {
    shared: Arc<Shared>,
    series: Series,
    run: Arc<Run>,
}

impl Spans {
    /// Fetches through `transport`; the people of the days are numbered in `directories`.
    #[must_use]
    pub fn new(transport: Transport, directories: Arc<Directories>, clock: Arc<dyn Clock>) -> Self {
        let (lookahead, desks, sizes) = (LookAhead::default(), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { transport, directories, clock, lookahead, desks, sizes }) }
    }

    /// One day, fetched together with whatever else of its series is wanted now.
    ///
    /// # Errors
    /// The [`LoadError`] of the chain that was to bring it.
    pub async fn day(&self, key: &DayKey, context: LoadContext) -> Delivery {
        let (taker, delivery) = oneshot::channel();
        let series = Series::of(key);
        if self.shared.order(&series, key.day, context, taker) {
            tokio::spawn(run_desk(Arc::clone(&self.shared), series));
        }
        delivery.await.unwrap_or(Err(LoadError::Abandoned))
    }

    /// Chains under way.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.shared.desks().values().map(|desk| desk.runs().count()).sum()
    }

    /// Calls that the days of `keys` still cost, and calls that are owed to others; `None` where the size of a series
    /// is not known yet.
    #[must_use]
    pub fn calls_ahead(&self, keys: &[DayKey]) -> Option<CallsAhead> {
        let mut wanted: HashMap<Series, Vec<Day>> = HashMap::new();
        for key in keys {
            wanted.entry(Series::of(key)).or_default().push(key.day);
        }
        let desks = self.shared.desks();
        let empty = Desk::default();
        let mut ahead = CallsAhead::default();
        for (series, desk) in desks.iter().filter(|(series, _)| !wanted.contains_key(series)) {
            ahead.others += self.shared.calls_of(series, desk, &[])?.0;
        }
        for (series, days) in &wanted {
            let (all, own) = self.shared.calls_of(series, desks.get(series).unwrap_or(&empty), days)?;
            ahead.own += own;
            ahead.others += all - own;
        }
        Some(ahead)
    }
}

/// Upstream calls that have still to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallsAhead {
    /// Those that bring what was asked about.
    pub own: usize,
    /// Those that bring what others wait for.
    pub others: usize,
}

impl Series {
    fn of(key: &DayKey) -> Self {
        Self { geo: key.geo, user_id_type: key.user_id_type, scope: key.scope.clone() }
    }
}

impl Shared {
    /// Puts an order on the series' desk. True where the desk had to be opened.
    fn order(&self, series: &Series, day: Day, context: LoadContext, taker: Taker) -> bool {
        let mut desks = self.desks();
        let opened = !desks.contains_key(series);
        desks.entry(series.clone()).or_default().order(day, context, taker);
        opened
    }

    /// The chains to begin now.
    fn begin(&self, series: &Series) -> Vec<Arc<Run>> {
        let mut desks = self.desks();
        let Some(desk) = desks.get_mut(series) else { return Vec::new() };
        let known = self.size(series, 0);
        let expected = |span: DayRange| known.pages(span.len());
        desk.begin(|pages| self.size(series, pages), CHAINS, expected)
    }

    fn size(&self, series: &Series, pages: usize) -> Size {
        if matches!(series.scope, Scope::User(_)) {
            return Size::Known(1.0);
        }
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(series).map_or(Size::AtLeast(pages), |rows| Size::Known(*rows))
    }

    fn learn_size(&self, series: &Series, days: &[Arc<Partition>]) {
        if matches!(series.scope, Scope::User(_)) || days.is_empty() {
            return;
        }
        let rows = days.iter().map(|day| day.rows()).sum::<usize>() as f64 / days.len() as f64;
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(series.clone(), rows);
    }

    /// Calls that everything on the desk and `days` still cost, and which of them bring `days` or what shares a chain
    /// with them.
    fn calls_of(&self, series: &Series, desk: &Desk, days: &[Day]) -> Option<(usize, usize)> {
        let size = self.size(series, 0);
        let (mut all, mut own) = (0, 0);
        for run in desk.runs() {
            let calls = run.remaining()?;
            all += calls;
            own += if days.iter().any(|day| run.span.contains(*day)) { calls } else { 0 };
        }
        let is_running = |day: &Day| desk.runs().any(|run| run.span.contains(*day));
        let cost = |mut days: Vec<Day>| -> Option<usize> {
            days.sort_unstable();
            days.dedup();
            plan::next_spans(&days, 0, size, usize::MAX).iter().map(|span| size.pages(span.len())).sum()
        };
        let new: Vec<Day> = days.iter().copied().filter(|day| !is_running(day)).collect();
        own += cost(new.clone())?;
        all += cost(desk.waiting().chain(new).collect())?;
        Some((all.max(own), own))
    }

    /// Tells those who wait what their own chains would be told too, and spares a call for each of them.
    fn turn_away(&self, series: &Series, error: &LoadError) {
        let concerns_all = match error {
            LoadError::Unauthorized { .. } | LoadError::Forbidden { .. } => true,
            // Whose id is not known on one day is not known on the next; what else is rejected may depend on the day.
            LoadError::Rejected { .. } => series.scope != Scope::Everyone,
            LoadError::QuotaExhausted { .. }
            | LoadError::Throttled { .. }
            | LoadError::Unavailable { .. }
            | LoadError::Abandoned => false,
        };
        if let Some(desk) = self.desks().get_mut(series).filter(|_| concerns_all) {
            desk.turn_away(error);
        }
    }

    /// Closes the desk unless an order has come in meanwhile.
    fn close(&self, series: &Series) -> bool {
        let mut desks = self.desks();
        let idle = desks.get(series).is_none_or(Desk::is_idle);
        if idle {
            desks.remove(series);
        }
        idle
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<Series, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(desk) = self.shared.desks().get_mut(&self.series) {
            desk.end(&self.run);
        }
    }
}

/// Clears the desk away where the one who serves it ends before its time: nobody else would, and who ordered would
/// wait for ever.
struct Attendance {
    shared: Arc<Shared>,
    series: Series,
    over: bool,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if !self.over {
            // Whoever has ordered is told by the end of the channel, outside the lock.
            let desk = self.shared.desks().remove(&self.series);
            drop(desk);
        }
    }
}

/// Serves one desk until nothing is wanted any more.
async fn run_desk(shared: Arc<Shared>, series: Series) {
    let mut attendance = Attendance { shared: Arc::clone(&shared), series: series.clone(), over: false };
    let Some(changed) = shared.desks().get(&series).map(Desk::changed) else { return };
    tokio::time::sleep(GATHERING).await;
    let mut chains = JoinSet::new();
    loop {
        for run in shared.begin(&series) {
            let trace = run.trace.clone();
            let ending = Ending { shared: Arc::clone(&shared), series: series.clone(), run };
            chains.spawn(run_chain(ending).instrument(trace));
        }
        if shared.close(&series) {
            attendance.over = true;
            // What is left has taken itself off the desk and only hands out what it brought.
            chains.detach_all();
            return;
        }
        // A chain that ends says so too.
        changed.notified().await;
        while chains.try_join_next().is_some() {}
    }
}

/// Fetches one span and hands its days to everyone who ordered one.
async fn run_chain(ending: Ending) {
    let Ending { shared, series, run } = &ending;
    let Series { geo, user_id_type, scope } = series.clone();
    let ask = Ask { geo, user_id_type, scope, span: run.span };
    let directory = shared.directories.of(user_id_type);
    let tokens = shared.lookahead.begin(run.expected);
    let chain = Chain::new(&shared.transport, ask, directory, tokens, run.urgency());
    let fetched = chain.fetch(shared.clock.now(), || {
        let pages = run.page_came();
        if let Some(desk) = shared.desks().get_mut(series) {
            desk.page_came(pages);
        }
    });
    let fetched = fetched.await.map(|days| days.into_iter().map(Arc::new).collect::<Vec<_>>());
    match &fetched {
        Ok(days) => shared.learn_size(series, days),
        Err(error) => {
            tracing::warn!(%error, geo = %series.geo, span = %run.span, "a span could not be fetched");
            shared.turn_away(series, error);
        }
    }
    let run = Arc::clone(run);
    // Off the desk first: whoever orders from now on is not among those who are told.
    drop(ending);
    run.deliver(&fetched);
}
