//! [`FetchQueue`]: the requested days of one batch key that wait to be fetched or are being fetched.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};
use tracing::Span;

use super::{
    range_plan::{self, DaySize},
    stats_client::CallPriority,
};
use crate::{
    model::{Day, DayRange},
    source::{CallerId, LoadContext, LoadError, Priority},
    table::DayTable,
};

/// The result of a requested day. Every request of the day receives a copy.
pub type DayResult = Result<Arc<DayTable>, LoadError>;

/// Receives the result for one request of a day.
pub type Waiter = oneshot::Sender<DayResult>;

/// Work queue of one batch key. It exists while it has pending days or fetches in flight.
#[derive(Debug, Default)]
pub struct FetchQueue {
    pending: BTreeMap<Day, PendingDay>,
    in_flight: HashMap<Day, Arc<InFlightFetch>>,
    /// Number of times that fetches were started: the batch of the days that are enqueued now.
    batch: u32,
    /// Pages received by the longest fetch so far. Used as a lower bound of the tenant size until a fetch has ended.
    longest_chain_pages: usize,
    changed: Arc<Notify>,
}

/// A requested day whose fetch has not started.
#[derive(Debug)]
struct PendingDay {
    context: LoadContext,
    /// Background days of an earlier batch are fetched first.
    batch: u32,
    waiters: Vec<Waiter>,
    /// The tracing span of the first request of the day.
    first_request_span: Span,
}

/// A fetch in flight: a chain of page calls for one range of days.
#[derive(Debug)]
pub struct InFlightFetch {
    /// The days that it fetches.
    pub range: DayRange,
    /// The batch of its days, for their order. 0 if a client waited for them at the start.
    batch: u32,
    /// The caller who requested the first day.
    pub caller: CallerId,
    /// Expected number of pages. `None` if the tenant size is unknown.
    pub expected_pages: Option<usize>,
    /// The tracing span of the fetch, a child of the first day's request. Other requests link to it.
    pub trace_span: Span,
    priority: watch::Sender<Priority>,
    received_pages: AtomicUsize,
    waiters: Mutex<HashMap<Day, Vec<Waiter>>>,
}

impl FetchQueue {
    /// Adds a request of a day. If the day is in flight already, it is not fetched again; the priority of its fetch is
    /// raised to that of this request.
    pub fn enqueue(&mut self, day: Day, context: LoadContext, waiter: Waiter) {
        if let Some(fetch) = self.in_flight.get(&day) {
            fetch.raise_priority(context.priority);
            Span::current().follows_from(&fetch.trace_span);
            fetch.lock_waiters().entry(day).or_default().push(waiter);
            return;
        }
        let pending = self.pending.entry(day).or_insert_with(|| PendingDay {
            context,
            batch: self.batch,
            waiters: Vec::new(),
            first_request_span: Span::current(),
        });
        if context.priority < pending.context.priority {
            pending.context = context;
        }
        pending.waiters.push(waiter);
        self.changed.notify_one();
    }

    /// Moves pending days of the highest priority into new fetches, which the caller must run, in the order of [`rank`]. Days
    /// that no request waits for any more are dropped. At most `max_fetches` are in flight. `expected_pages` estimates the number of pages of a range.
    pub fn start_fetches(
        &mut self,
        day_size: impl Fn(usize) -> DaySize,
        max_fetches: usize,
        expected_pages: impl Fn(DayRange) -> Option<usize>,
    ) -> Vec<Arc<InFlightFetch>> {
        self.pending.retain(|_, pending| pending.is_awaited());
        let Some(priority) = self.pending.values().map(|pending| pending.context.priority).min() else {
            return Vec::new();
        };
        let days: Vec<Day> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.context.priority == priority)
            .map(|(day, _)| *day)
            .collect();
        let in_flight = self.fetches().count();
        let size = day_size(self.longest_chain_pages);
        self.batch = self.batch.saturating_add(1);
        // A client waits for interactive days: the newest are fetched first, in whatever order they were requested.
        let batch_of = |range: DayRange| match priority {
            Priority::Interactive => 0,
            Priority::Background => {
                let batches = range.days().filter_map(|day| self.pending.get(&day)).map(|pending| pending.batch);
                batches.min().unwrap_or_default()
            }
        };
        let ranges = range_plan::next_ranges(&days, in_flight, size, max_fetches, |range| rank(batch_of(range), range));
        let ranges: Vec<_> = ranges.into_iter().map(|range| (range, batch_of(range))).collect();
        ranges.into_iter().filter_map(|(range, batch)| self.start_fetch(range, batch, expected_pages(range))).collect()
    }

    fn start_fetch(
        &mut self,
        range: DayRange,
        batch: u32,
        expected_pages: Option<usize>,
    ) -> Option<Arc<InFlightFetch>> {
        let days: Vec<(Day, PendingDay)> = range.days().filter_map(|day| self.pending.remove_entry(&day)).collect();
        let (_, first) = days.first()?;
        let LoadContext { caller, priority } = first.context;
        let trace_span = tracing::info_span!(parent: &first.first_request_span, "chain", span = %range);
        for (_, pending) in &days[1..] {
            pending.first_request_span.follows_from(&trace_span);
        }
        let fetch = Arc::new(InFlightFetch {
            range,
            batch,
            caller,
            expected_pages,
            trace_span,
            priority: watch::Sender::new(priority),
            received_pages: AtomicUsize::new(0),
            waiters: Mutex::new(days.into_iter().map(|(day, pending)| (day, pending.waiters)).collect()),
        });
        self.in_flight.extend(range.days().map(|day| (day, Arc::clone(&fetch))));
        Some(fetch)
    }

    /// Replaces a fetch in flight by one for each half of its range, which the caller must run. The waiters move to the
    /// fetch of their day. `None` if the range has one day.
    pub fn split(
        &mut self,
        fetch: &Arc<InFlightFetch>,
        expected_pages: impl Fn(DayRange) -> Option<usize>,
    ) -> Option<[Arc<InFlightFetch>; 2]> {
        let halves = range_plan::halves(fetch.range)?;
        let mut waiters = std::mem::take(&mut *fetch.lock_waiters());
        let parts = halves.map(|range| {
            let own = waiters.extract_if(|day, _| range.contains(*day)).collect();
            Arc::new(InFlightFetch {
                range,
                batch: fetch.batch,
                caller: fetch.caller,
                expected_pages: expected_pages(range),
                trace_span: fetch.trace_span.clone(),
                priority: watch::Sender::new(*fetch.priority.borrow()),
                received_pages: AtomicUsize::new(0),
                waiters: Mutex::new(own),
            })
        });
        for part in &parts {
            self.in_flight.extend(part.range.days().map(|day| (day, Arc::clone(part))));
        }
        Some(parts)
    }

    /// Completes all pending days with `error`, without fetching them.
    pub fn fail_pending(&mut self, error: &LoadError) {
        for waiter in std::mem::take(&mut self.pending).into_values().flat_map(|pending| pending.waiters) {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Removes a fetch that has ended.
    pub fn remove(&mut self, fetch: &Arc<InFlightFetch>) {
        self.in_flight.retain(|_, other| !Arc::ptr_eq(fetch, other));
        self.changed.notify_one();
    }

    /// Records that a fetch has received `pages` pages so far.
    pub fn record_page_count(&mut self, pages: usize) {
        if pages > self.longest_chain_pages {
            self.longest_chain_pages = pages;
            self.changed.notify_one();
        }
    }

    /// Whether there are neither pending days nor fetches in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.in_flight.is_empty()
    }

    /// Notified of new pending days, of received pages and of ended fetches.
    #[must_use]
    pub fn change_signal(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// The pending days that a request waits for, in ascending order, each with the context of its most urgent request.
    pub fn pending_days(&self) -> impl Iterator<Item = (Day, LoadContext)> {
        self.pending.iter().filter(|(_, pending)| pending.is_awaited()).map(|(day, pending)| (*day, pending.context))
    }

    /// The fetches in flight.
    pub fn fetches(&self) -> impl Iterator<Item = &Arc<InFlightFetch>> {
        // A fetch has one entry per day; the entry of its first day represents it.
        self.in_flight.iter().filter(|(day, fetch)| fetch.range.first() == **day).map(|(_, fetch)| fetch)
    }
}

/// The rank of a fetch: batches in their order, and within a batch the newest days first. A client that shows the days as
/// they arrive begins with the newest, and a backfill proceeds from the days that it requests first.
#[must_use]
pub fn rank(batch: u32, range: DayRange) -> u64 {
    let age = u32::try_from(range.last().days_since_year_zero()).map_or(u32::MAX, |days| u32::MAX - days);
    u64::from(batch) << 32 | u64::from(age)
}

impl PendingDay {
    fn is_awaited(&self) -> bool {
        self.waiters.iter().any(|waiter| !waiter.is_closed())
    }
}

impl InFlightFetch {
    /// Whether a request waits for a day of the fetch.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.lock_waiters().values().flatten().any(|waiter| !waiter.is_closed())
    }

    /// Completes when no request waits for a day of the fetch. A request can join until the fetch is removed from its queue.
    pub async fn abandoned(&self) {
        poll_fn(|context| {
            let mut waiters = self.lock_waiters();
            // The first request that still waits wakes this task when it ends.
            let mut awaiting = waiters.values_mut().flatten().filter(|waiter| !waiter.is_closed());
            awaiting.next().map_or(Poll::Ready(()), |waiter| waiter.poll_closed(context))
        })
        .await;
    }

    /// The present context of the fetch.
    #[must_use]
    pub fn context(&self) -> LoadContext {
        LoadContext { priority: *self.priority.borrow(), caller: self.caller }
    }

    /// The order of the fetch among those of its caller.
    #[must_use]
    pub fn rank(&self) -> u64 {
        rank(self.batch, self.range)
    }

    /// Caller, rank and priority of the fetch's calls. The priority can only be raised.
    #[must_use]
    pub fn call_priority(&self) -> CallPriority {
        CallPriority { caller: self.caller, rank: self.rank(), priority: self.priority.subscribe() }
    }

    /// Records that the fetch continues after this number of pages.
    pub fn resume_after(&self, pages: usize) {
        self.received_pages.store(pages, Ordering::Relaxed);
    }

    /// Counts a received page. Returns the number of pages received so far.
    pub fn record_page(&self) -> usize {
        self.received_pages.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Number of remaining pages of `expected` pages in all, at least 1.
    #[must_use]
    pub fn remaining_pages(&self, expected: usize) -> usize {
        expected.saturating_sub(self.received_pages.load(Ordering::Relaxed)).max(1)
    }

    /// Sends each waiter the result of its day.
    pub fn deliver(&self, fetched: &Result<Vec<Arc<DayTable>>, LoadError>) {
        for (day, waiters) in std::mem::take(&mut *self.lock_waiters()) {
            let result = match fetched {
                Ok(days) => days.iter().find(|fetched| fetched.key().day == day).cloned().ok_or(LoadError::Abandoned),
                Err(error) => Err(error.clone()),
            };
            for waiter in waiters {
                // The send fails if the request was cancelled.
                let _ = waiter.send(result.clone());
            }
        }
    }

    fn raise_priority(&self, priority: Priority) {
        self.priority.send_if_modified(|current| {
            let is_raised = priority < *current;
            *current = (*current).min(priority);
            is_raised
        });
    }

    fn lock_waiters(&self) -> MutexGuard<'_, HashMap<Day, Vec<Waiter>>> {
        self.waiters.lock()
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

    fn enqueue(queue: &mut FetchQueue, offset: i32, context: LoadContext) -> oneshot::Receiver<DayResult> {
        let (waiter, result) = oneshot::channel();
        queue.enqueue(day(offset), context, waiter);
        result
    }

    fn start(queue: &mut FetchQueue) -> Vec<Arc<InFlightFetch>> {
        queue.start_fetches(|_| DaySize::Known(10.0), 8, |_| Some(4))
    }

    #[test]
    fn interactive_days_are_fetched_before_background_days() {
        let mut queue = FetchQueue::default();
        let _background = enqueue(&mut queue, 0, BACKGROUND);
        let _interactive = enqueue(&mut queue, 5, INTERACTIVE);

        let ranges =
            |fetches: Vec<Arc<InFlightFetch>>| fetches.iter().map(|fetch| fetch.range.to_string()).collect::<Vec<_>>();
        assert_eq!(ranges(start(&mut queue)), ["2026-11-06..2026-11-06"]);
        assert_eq!(ranges(start(&mut queue)), ["2026-11-01..2026-11-01"]);
        assert!(start(&mut queue).is_empty());
    }

    #[test]
    fn the_newest_interactive_day_is_fetched_first_and_background_days_in_the_order_of_their_batches() {
        let mut queue = FetchQueue::default();
        let start_single = |queue: &mut FetchQueue| {
            let fetches = queue.start_fetches(|_| DaySize::Known(60_000.0), 1, |_| Some(4));
            for fetch in &fetches {
                queue.remove(fetch);
            }
            fetches.iter().map(|fetch| fetch.range.first()).collect::<Vec<_>>()
        };
        let mut results: Vec<_> = (0..3).map(|offset| enqueue(&mut queue, offset, BACKGROUND)).collect();
        assert_eq!(start_single(&mut queue), [day(2)]);
        results.push(enqueue(&mut queue, 9, BACKGROUND));
        results.extend((4..6).map(|offset| enqueue(&mut queue, offset, INTERACTIVE)));

        let order: Vec<Day> = (0..5).flat_map(|_| start_single(&mut queue)).collect();

        assert_eq!(order, [5, 4, 1, 0, 9].map(day));
    }

    #[test]
    fn the_halves_of_a_fetch_take_over_its_days_and_their_requests() {
        let mut queue = FetchQueue::default();
        let mut results: Vec<_> = (0..3).map(|offset| enqueue(&mut queue, offset, BACKGROUND)).collect();
        let whole = start(&mut queue).remove(0);
        let mut joined = enqueue(&mut queue, 2, INTERACTIVE);

        let [left, right] = queue.split(&whole, |_| Some(1)).unwrap();
        queue.remove(&whole);
        let mut later = enqueue(&mut queue, 0, INTERACTIVE);

        assert_eq!((left.range, right.range), (DayRange::new(day(0), day(1)).unwrap(), DayRange::single(day(2))));
        assert_eq!(*right.call_priority().priority.borrow(), Priority::Interactive);
        assert!(start(&mut queue).is_empty() && queue.split(&right, |_| None).is_none());
        queue.remove(&right);
        right.deliver(&Err(LoadError::Abandoned));
        assert!(results[2].try_recv().is_ok() && joined.try_recv().is_ok());
        assert!(results[0].try_recv().is_err() && !queue.is_idle());
        queue.remove(&left);
        left.deliver(&Err(LoadError::Abandoned));
        assert!(results[0].try_recv().is_ok() && results[1].try_recv().is_ok() && later.try_recv().is_ok());
        assert!(queue.is_idle());
    }

    #[test]
    fn a_day_in_flight_is_not_fetched_again_but_its_priority_is_raised() {
        let mut queue = FetchQueue::default();
        let mut first = enqueue(&mut queue, 0, BACKGROUND);
        let fetch = start(&mut queue).remove(0);
        let call_priority = fetch.call_priority();

        let mut second = enqueue(&mut queue, 0, INTERACTIVE);

        assert!(start(&mut queue).is_empty());
        assert_eq!(*call_priority.priority.borrow(), Priority::Interactive);
        queue.remove(&fetch);
        fetch.deliver(&Err(LoadError::Abandoned));
        assert_eq!(first.try_recv().unwrap().err(), Some(LoadError::Abandoned));
        assert_eq!(second.try_recv().unwrap().err(), Some(LoadError::Abandoned));
        assert!(queue.is_idle());
    }
}
