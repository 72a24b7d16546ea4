//! Days wanted at the same moment become spans: one chain of pages brings several days, and several callers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
};

use super::{
    lookahead::LookAhead,
    pages::Chain,
    plan::{self, Size},
    transport::{Ask, PAGE_SIZE, Transport},
};
use crate::{
    model::{Clock, Day, DayKey, DayRange, Geo, Scope, UserIdType},
    source::{LoadContext, LoadError},
    table::{Directory, Partition},
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

/// Where the days of one series are asked for, open while any is wanted.
#[derive(Debug, Default)]
struct Desk {
    waiting: BTreeMap<Day, Order>,
    /// Pages that the longest chain has brought, while no chain has ended.
    pages: usize,
    changed: Arc<Notify>,
}

/// A day that is wanted.
#[derive(Debug)]
struct Order {
    context: LoadContext,
    directory: Arc<Directory>,
    takers: Vec<oneshot::Sender<Delivery>>,
}

type Delivery = Result<Arc<Partition>, LoadError>;

impl Spans {
    /// Fetches through `transport`.
    #[must_use]
    pub fn new(transport: Transport, clock: Arc<dyn Clock>) -> Self {
        let (lookahead, desks, sizes) = (LookAhead::default(), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { transport, clock, lookahead, desks, sizes }) }
    }

    /// One day, fetched together with whatever else of its series is wanted now.
    ///
    /// # Errors
    /// The [`LoadError`] of the chain that was to bring it.
    pub async fn day(&self, key: &DayKey, directory: &Arc<Directory>, context: LoadContext) -> Delivery {
        let (taker, delivery) = oneshot::channel();
        let series = Series { geo: key.geo, user_id_type: key.user_id_type, scope: key.scope.clone() };
        if self.shared.order(&series, key.day, directory, context, taker) {
            tokio::spawn(run_desk(Arc::clone(&self.shared), series));
        }
        delivery.await.unwrap_or(Err(LoadError::Abandoned))
    }
}

impl Shared {
    /// Puts an order on the series' desk. True where the desk had to be opened.
    fn order(
        &self,
        series: &Series,
        day: Day,
        directory: &Arc<Directory>,
        context: LoadContext,
        taker: oneshot::Sender<Delivery>,
    ) -> bool {
        let mut desks = self.desks();
        let opened = !desks.contains_key(series);
        let desk = desks.entry(series.clone()).or_default();
        let fresh = || Order { context, directory: Arc::clone(directory), takers: Vec::new() };
        let order = desk.waiting.entry(day).or_insert_with(fresh);
        if context.priority < order.context.priority {
            order.context = context;
        }
        order.takers.push(taker);
        desk.changed.notify_one();
        opened
    }

    /// The spans to begin now, with the orders they fulfil.
    fn take_spans(&self, series: &Series, running: usize) -> Vec<(DayRange, Vec<(Day, Order)>)> {
        let mut desks = self.desks();
        let Some(desk) = desks.get_mut(series) else { return Vec::new() };
        let urgent = desk.waiting.values().map(|order| order.context.priority).min();
        let now = |order: &Order| Some(order.context.priority) == urgent;
        let waiting: Vec<Day> = desk.waiting.iter().filter(|(_, order)| now(order)).map(|(day, _)| *day).collect();
        let spans = plan::next_spans(&waiting, running, self.size(series, desk.pages), CHAINS);
        let mut take = |span: DayRange| span.days().filter_map(|day| desk.waiting.remove_entry(&day)).collect();
        spans.into_iter().map(|span| (span, take(span))).collect()
    }

    fn size(&self, series: &Series, pages: usize) -> Size {
        if matches!(series.scope, Scope::User(_)) {
            return Size::Known(1.0);
        }
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(series).map_or(Size::AtLeast(pages), |rows| Size::Known(*rows))
    }

    /// Pages that a chain over `span` probably has, where that can be told.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    fn expected_pages(&self, series: &Series, span: DayRange) -> Option<usize> {
        match self.size(series, 0) {
            Size::Known(rows) => Some((rows * span.len() as f64 / PAGE_SIZE as f64).ceil() as usize),
            Size::AtLeast(_) => None,
        }
    }

    fn learn_size(&self, series: &Series, days: &[Arc<Partition>]) {
        if matches!(series.scope, Scope::User(_)) || days.is_empty() {
            return;
        }
        let rows = days.iter().map(|day| day.rows()).sum::<usize>() as f64 / days.len() as f64;
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(series.clone(), rows);
    }

    fn page_came(&self, series: &Series, pages: usize) {
        if let Some(desk) = self.desks().get_mut(series).filter(|desk| desk.pages < pages) {
            desk.pages = pages;
            desk.changed.notify_one();
        }
    }

    /// Closes the desk unless an order has come in meanwhile.
    fn close(&self, series: &Series) -> bool {
        let mut desks = self.desks();
        let idle = desks.get(series).is_none_or(|desk| desk.waiting.is_empty());
        if idle {
            desks.remove(series);
        }
        idle
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<Series, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one desk until nothing is wanted any more.
async fn run_desk(shared: Arc<Shared>, series: Series) {
    let Some(changed) = shared.desks().get(&series).map(|desk| Arc::clone(&desk.changed)) else { return };
    tokio::time::sleep(GATHERING).await;
    let mut chains = JoinSet::new();
    loop {
        for (span, orders) in shared.take_spans(&series, chains.len()) {
            chains.spawn(run_chain(Arc::clone(&shared), series.clone(), span, orders));
        }
        if chains.is_empty() && shared.close(&series) {
            return;
        }
        tokio::select! {
            _ = chains.join_next(), if !chains.is_empty() => {}
            () = changed.notified() => {}
        }
    }
}

/// Fetches one span and hands its days to everyone who ordered one.
async fn run_chain(shared: Arc<Shared>, series: Series, span: DayRange, orders: Vec<(Day, Order)>) {
    let Some((_, first)) = orders.iter().min_by_key(|(_, order)| order.context.priority) else { return };
    let Series { geo, user_id_type, scope } = series.clone();
    let ask = Ask { geo, user_id_type, scope, span };
    let tokens = shared.lookahead.begin(shared.expected_pages(&series, span));
    let chain = Chain::new(&shared.transport, ask, &first.directory, tokens, first.context);
    let mut pages = 0;
    let fetched = chain.fetch(shared.clock.now(), || {
        pages += 1;
        shared.page_came(&series, pages);
    });
    let fetched = fetched.await.map(|days| days.into_iter().map(Arc::new).collect::<Vec<_>>());
    if let Ok(days) = &fetched {
        shared.learn_size(&series, days);
    }
    for (day, order) in orders {
        let delivery = match &fetched {
            Ok(days) => days.iter().find(|one| one.key().day == day).cloned().ok_or(LoadError::Abandoned),
            Err(error) => Err(error.clone()),
        };
        for taker in order.takers {
            // Whoever has left needs nothing.
            let _ = taker.send(delivery.clone());
        }
    }
}
