//! The desk of one series: which of its days are wanted, and which are on their way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, oneshot, watch};
use tracing::Span;

use super::{
    plan::{self, Size},
    transport::Urgency,
};
use crate::{
    model::{Day, DayRange},
    source::{CallerId, LoadContext, LoadError, Priority},
    table::Partition,
};

/// What everyone who wants a day is told in the end.
pub type Delivery = Result<Arc<Partition>, LoadError>;

/// Where a delivery goes to.
pub type Taker = oneshot::Sender<Delivery>;

/// Days that are wanted and days that are on their way, open while there are any.
#[derive(Debug, Default)]
pub struct Desk {
    waiting: BTreeMap<Day, Order>,
    running: HashMap<Day, Arc<Run>>,
    /// Pages that the longest chain has brought, while no chain has ended.
    pages: usize,
    changed: Arc<Notify>,
}

/// A day that is wanted and not asked for yet.
#[derive(Debug)]
struct Order {
    context: LoadContext,
    takers: Vec<Taker>,
    /// In whose course the day was ordered first.
    orderer: Span,
}

/// A chain under way.
#[derive(Debug)]
pub struct Run {
    /// The days that it brings.
    pub span: DayRange,
    /// Who caused it.
    pub caller: CallerId,
    /// Pages that it probably has in all, where that can be told.
    pub expected: Option<usize>,
    /// The chain as part of a trace: that of the first day ordered. Whoever else gets a day of it points to it.
    pub trace: Span,
    urgency: watch::Sender<Priority>,
    pages: AtomicUsize,
    takers: Mutex<HashMap<Day, Vec<Taker>>>,
}

impl Desk {
    /// Takes an order. A day that is on its way already is not asked for again: its chain becomes as urgent as this
    /// order is.
    pub fn order(&mut self, day: Day, context: LoadContext, taker: Taker) {
        if let Some(run) = self.running.get(&day) {
            run.hurry(context.priority);
            Span::current().follows_from(&run.trace);
            run.takers().entry(day).or_default().push(taker);
            return;
        }
        let order =
            self.waiting.entry(day).or_insert_with(|| Order { context, takers: Vec::new(), orderer: Span::current() });
        if context.priority < order.context.priority {
            order.context = context;
        }
        order.takers.push(taker);
        self.changed.notify_one();
    }

    /// The chains to begin now: the most urgent days first. `expected` says how many pages a span probably has.
    pub fn begin(
        &mut self,
        size: impl Fn(usize) -> Size,
        chains: usize,
        expected: impl Fn(DayRange) -> Option<usize>,
    ) -> Vec<Arc<Run>> {
        let urgent = self.waiting.values().map(|order| order.context.priority).min();
        let now = |order: &Order| Some(order.context.priority) == urgent;
        let days: Vec<Day> = self.waiting.iter().filter(|(_, order)| now(order)).map(|(day, _)| *day).collect();
        let running = self.runs().count();
        let spans = plan::next_spans(&days, running, size(self.pages), chains);
        spans.into_iter().filter_map(|span| self.start(span, expected(span))).collect()
    }

    fn start(&mut self, span: DayRange, expected: Option<usize>) -> Option<Arc<Run>> {
        let orders: Vec<(Day, Order)> = span.days().filter_map(|day| self.waiting.remove_entry(&day)).collect();
        let (_, first) = orders.first()?;
        let LoadContext { caller, priority } = first.context;
        let trace = tracing::info_span!(parent: &first.orderer, "chain", %span);
        for (_, order) in &orders[1..] {
            order.orderer.follows_from(&trace);
        }
        let run = Arc::new(Run {
            span,
            caller,
            expected,
            trace,
            urgency: watch::Sender::new(priority),
            pages: AtomicUsize::new(0),
            takers: Mutex::new(orders.into_iter().map(|(day, order)| (day, order.takers)).collect()),
        });
        self.running.extend(span.days().map(|day| (day, Arc::clone(&run))));
        Some(run)
    }

    /// Tells everyone who waits for a day that is not asked for yet that it is of no use to ask.
    pub fn turn_away(&mut self, error: &LoadError) {
        for taker in std::mem::take(&mut self.waiting).into_values().flat_map(|order| order.takers) {
            let _ = taker.send(Err(error.clone()));
        }
    }

    /// Takes a chain that has ended off the desk.
    pub fn end(&mut self, run: &Arc<Run>) {
        self.running.retain(|_, other| !Arc::ptr_eq(run, other));
        self.changed.notify_one();
    }

    /// Takes note that a chain has brought so many pages.
    pub fn page_came(&mut self, pages: usize) {
        if pages > self.pages {
            self.pages = pages;
            self.changed.notify_one();
        }
    }

    /// Whether nothing is wanted and nothing on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Tells of orders and of chains that progress or end.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The days that wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = Day> {
        self.waiting.keys().copied()
    }

    /// The chains under way.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        // Each stands once for each of its days.
        self.running.iter().filter(|(day, run)| run.span.first() == **day).map(|(_, run)| run)
    }
}

impl Run {
    /// Whose turns the chain takes. It can only become more urgent.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        Urgency { caller: self.caller, priority: self.urgency.subscribe() }
    }

    /// Counts a page that has come, and says how many there are by now.
    pub fn page_came(&self) -> usize {
        self.pages.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Pages that are probably still to come.
    #[must_use]
    pub fn remaining(&self) -> Option<usize> {
        self.expected.map(|expected| expected.saturating_sub(self.pages.load(Ordering::Relaxed)).max(1))
    }

    /// Hands everyone who wants a day what came of it.
    pub fn deliver(&self, fetched: &Result<Vec<Arc<Partition>>, LoadError>) {
        for (day, takers) in std::mem::take(&mut *self.takers()) {
            let delivery = match fetched {
                Ok(days) => days.iter().find(|one| one.key().day == day).cloned().ok_or(LoadError::Abandoned),
                Err(error) => Err(error.clone()),
            };
            for taker in takers {
                // Whoever has left needs nothing.
                let _ = taker.send(delivery.clone());
            }
        }
    }

    fn hurry(&self, priority: Priority) {
        self.urgency.send_if_modified(|current| {
            let more = priority < *current;
            *current = (*current).min(priority);
            more
        });
    }

    fn takers(&self) -> std::sync::MutexGuard<'_, HashMap<Day, Vec<Taker>>> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKGROUND: LoadContext = LoadContext { priority: Priority::Background, caller: CallerId(1) };
    const INTERACTIVE: LoadContext = LoadContext { priority: Priority::Interactive, caller: CallerId(2) };

    fn day(offset: i32) -> Day {
        Day::new(2026, 11, 1).unwrap().plus(offset)
    }

    fn order(desk: &mut Desk, offset: i32, context: LoadContext) -> oneshot::Receiver<Delivery> {
        let (taker, delivery) = oneshot::channel();
        desk.order(day(offset), context, taker);
        delivery
    }

    fn begin(desk: &mut Desk) -> Vec<Arc<Run>> {
        desk.begin(|_| Size::Known(10.0), 8, |_| Some(4))
    }

    #[test]
    fn urgent_days_go_first() {
        let mut desk = Desk::default();
        let _background = order(&mut desk, 0, BACKGROUND);
        let _interactive = order(&mut desk, 5, INTERACTIVE);

        let spans = |runs: Vec<Arc<Run>>| runs.iter().map(|run| run.span.to_string()).collect::<Vec<_>>();
        assert_eq!(spans(begin(&mut desk)), ["2026-11-06..2026-11-06"]);
        assert_eq!(spans(begin(&mut desk)), ["2026-11-01..2026-11-01"]);
        assert!(begin(&mut desk).is_empty());
    }

    #[test]
    fn a_day_on_its_way_is_not_asked_for_again_but_becomes_as_urgent() {
        let mut desk = Desk::default();
        let mut first = order(&mut desk, 0, BACKGROUND);
        let run = begin(&mut desk).remove(0);
        let urgency = run.urgency();

        let mut second = order(&mut desk, 0, INTERACTIVE);

        assert!(begin(&mut desk).is_empty());
        assert_eq!(*urgency.priority.borrow(), Priority::Interactive);
        desk.end(&run);
        run.deliver(&Err(LoadError::Abandoned));
        assert_eq!(first.try_recv().unwrap().err(), Some(LoadError::Abandoned));
        assert_eq!(second.try_recv().unwrap().err(), Some(LoadError::Abandoned));
        assert!(desk.is_idle());
    }
}
