//! Who asked what, when, and what came of it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Mishap, StatsQuery, shared::Shared};

/// As many calls are remembered at least; a simulator that runs for weeks forgets older ones.
const REMEMBERED: usize = 100_000;

/// What was asked of the simulator, in the order of arrival: the last hundred thousand calls at least.
#[derive(Debug)]
pub struct Ledger {
    started: Instant,
    book: Shared<Book>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which call it was since the start, from 0; goes on counting when the ledger is cleared.
    pub number: u64,
    /// What was called.
    pub path: PathKind,
    /// When it arrived.
    pub arrived: Instant,
    /// The same, counted from the simulator's start.
    pub offset: Duration,
    /// When the reply was ready; `None` while it is not.
    pub finished: Option<Instant>,
    /// What was asked; `None` for other paths and for parameters that are no good.
    pub query: Option<StatsQuery>,
    /// The number of the page within its chain, from 1; `None` where the page token is no good.
    pub page: Option<usize>,
    /// What was done to it on purpose.
    pub mishap: Option<Mishap>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// `tenant_access_token/internal`.
    Token,
    /// `admin_user_stats`.
    Stats,
    /// Anything else.
    Other,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// A token was granted.
    Granted,
    /// A page with this many rows.
    Rows(usize),
    /// A business error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code in the body.
        code: i64,
    },
    /// A reply that is not upstream's own: HTML, plain text, a torn body, no reply at all.
    Garbage,
    /// The caller hung up before the reply was ready.
    Abandoned,
}

/// The calls since the ledger was last cleared.
#[derive(Debug, Default)]
struct Book {
    /// The number of the first call in `calls`.
    first: u64,
    calls: Vec<Call>,
}

/// A call that is being answered. Dropped before it is finished, it counts as abandoned.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Arc<Ledger>,
    number: u64,
    offset: Duration,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), book: Shared::default() }
    }

    /// All calls, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.book.lock().calls.clone()
    }

    /// The calls to the stats path.
    #[must_use]
    pub fn stats_calls(&self) -> Vec<Call> {
        self.select(|call| call.path == PathKind::Stats)
    }

    /// The calls to the stats path that were answered with a page.
    #[must_use]
    pub fn ok_stats_calls(&self) -> Vec<Call> {
        self.select(|call| matches!(call.outcome, Outcome::Rows(_)))
    }

    /// The calls to the token path.
    #[must_use]
    pub fn token_calls(&self) -> Vec<Call> {
        self.select(|call| call.path == PathKind::Token)
    }

    /// The calls that were over a rate limit.
    #[must_use]
    pub fn refusals(&self) -> Vec<Call> {
        self.select(|call| matches!(call.outcome, Outcome::Error { code: 99_991_400, .. }))
    }

    /// The most stats calls that arrived within any stretch of `window`.
    #[must_use]
    pub fn max_in_window(&self, window: Duration) -> usize {
        let arrivals: Vec<Duration> = self.stats_calls().iter().map(|call| call.offset).collect();
        let within = |first: usize| arrivals[first..].partition_point(|arrival| *arrival < arrivals[first] + window);
        (0..arrivals.len()).map(within).max().unwrap_or(0)
    }

    /// The most stats calls that were being answered at once.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        let calls = self.stats_calls();
        let arrivals = calls.iter().map(|call| (call.arrived, 1));
        let ends = calls.iter().filter_map(|call| call.finished.map(|finished| (finished, -1)));
        let mut turns: Vec<(Instant, isize)> = arrivals.chain(ends).collect();
        turns.sort_by_key(|(at, turn)| (*at, -turn));
        let at_once = turns.iter().scan(0, |open, (_, turn)| {
            *open += turn;
            Some(*open)
        });
        at_once.max().map_or(0, isize::unsigned_abs)
    }

    /// Forgets all calls so far, also those that are still being answered.
    pub fn clear(&self) {
        let mut book = self.book.lock();
        let all = book.calls.len();
        book.forget(all);
    }

    /// Enters a call that arrives now.
    pub(crate) fn open(self: &Arc<Self>, path: PathKind, query: Option<StatsQuery>, page: Option<usize>) -> Entry {
        let mut book = self.book.lock();
        if book.calls.len() >= 2 * REMEMBERED {
            book.forget(REMEMBERED);
        }
        let (number, arrived) = (book.first + book.calls.len() as u64, Instant::now());
        let (offset, outcome) = (arrived - self.started, Outcome::Pending);
        book.calls.push(Call { number, path, arrived, offset, finished: None, query, page, mishap: None, outcome });
        Entry { ledger: Arc::clone(self), number, offset }
    }

    fn select(&self, wanted: impl Fn(&Call) -> bool) -> Vec<Call> {
        self.book.lock().calls.iter().filter(|call| wanted(call)).cloned().collect()
    }
}

impl Book {
    /// Forgets the earliest calls.
    fn forget(&mut self, calls: usize) {
        self.first += calls as u64;
        self.calls.drain(..calls);
    }
}

impl Entry {
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// When the call arrived, counted from the simulator's start.
    pub(crate) const fn offset(&self) -> Duration {
        self.offset
    }

    /// What will be done to the call on purpose.
    pub(crate) fn note(&self, mishap: Option<&Mishap>) {
        self.change(|call| call.mishap = mishap.cloned());
    }

    /// The reply is ready.
    pub(crate) fn finish(self, outcome: Outcome) {
        self.change(|call| call.outcome = outcome);
    }

    fn change(&self, change: impl FnOnce(&mut Call)) {
        let mut book = self.ledger.book.lock();
        let place = self.number.checked_sub(book.first).and_then(|place| usize::try_from(place).ok());
        if let Some(call) = place.and_then(|place| book.calls.get_mut(place)) {
            change(call);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.change(|call| {
            call.finished = Some(Instant::now());
            if call.outcome == Outcome::Pending {
                call.outcome = Outcome::Abandoned;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn open(ledger: &Arc<Ledger>) -> Entry {
        ledger.open(PathKind::Stats, None, None)
    }

    #[tokio::test(start_paused = true)]
    async fn the_fullest_stretch_is_found_wherever_it_begins() {
        let ledger = Arc::new(Ledger::new());

        for gap in [0, 600, 300, 99, 1, 900] {
            advance(Duration::from_millis(gap)).await;
            open(&ledger).finish(Outcome::Rows(1));
        }

        assert_eq!(ledger.max_in_window(Duration::from_secs(1)), 4);
        assert_eq!(ledger.max_in_window(Duration::from_millis(1)), 1);
        assert_eq!(ledger.max_in_flight(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_was_abandoned() {
        let ledger = Arc::new(Ledger::new());
        let (first, second) = (open(&ledger), open(&ledger));

        drop(first);

        let outcomes: Vec<Outcome> = ledger.calls().iter().map(|call| call.outcome).collect();
        assert_eq!(outcomes, [Outcome::Abandoned, Outcome::Pending]);
        assert_eq!(ledger.max_in_flight(), 2);
        second.finish(Outcome::Rows(3));
        assert_eq!(ledger.ok_stats_calls().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_ledger_takes_no_late_outcomes() {
        let ledger = Arc::new(Ledger::new());
        let late = open(&ledger);

        ledger.clear();
        let next = open(&ledger);
        late.finish(Outcome::Rows(1));

        assert_eq!(ledger.calls().len(), 1);
        assert_eq!(ledger.calls()[0].outcome, Outcome::Pending);
        assert_eq!(next.number(), 1);
    }
}
