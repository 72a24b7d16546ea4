//! The log of all calls that the simulator received, with their results.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{FaultKind, StatsRequest};

/// The log keeps at least this many of the latest calls, so that its memory stays bounded.
const MIN_RETAINED_CALLS: usize = 100_000;

/// The calls in the order of arrival: at least the last 100,000.
#[derive(Debug)]
pub struct CallLog {
    started: Instant,
    records: Mutex<Records>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// The number of the call since the start, from 0. Clearing the log does not reset it.
    pub number: u64,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// When it arrived.
    pub arrived: Instant,
    /// When it arrived, as the time since the simulator's start.
    pub offset: Duration,
    /// When the reply was ready or the caller disconnected; `None` before that.
    pub finished: Option<Instant>,
    /// The parameters; `None` for other endpoints and for invalid parameters.
    pub query: Option<StatsRequest>,
    /// The number of the requested page, from 1; `None` if the page token is invalid.
    pub page: Option<usize>,
    /// The injected fault.
    pub fault: Option<FaultKind>,
    /// The result.
    pub result: CallResult,
}

/// The endpoint of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `tenant_access_token/internal`.
    Token,
    /// `admin_user_stats`.
    Stats,
    /// Any other path or method.
    Other,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// The call is not finished.
    Pending,
    /// An access token was issued.
    TokenIssued,
    /// A page with this many rows.
    Rows(usize),
    /// An error with a code.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code in the body.
        code: i64,
    },
    /// A reply that is not valid JSON (HTML, plain text, an incomplete body), or no reply.
    InvalidReply,
    /// The caller disconnected before the reply was ready.
    Abandoned,
}

/// The calls since the log was last cleared.
#[derive(Debug, Default)]
struct Records {
    /// The number of the first call in `calls`.
    first: u64,
    calls: Vec<CallRecord>,
}

/// A call that has no result yet. If it is dropped before [`Self::finish`], its result is [`CallResult::Abandoned`].
#[derive(Debug)]
pub(crate) struct OpenCall {
    log: Arc<CallLog>,
    number: u64,
    offset: Duration,
}

impl CallLog {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), records: Mutex::default() }
    }

    /// All calls, in the order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.records.lock().calls.clone()
    }

    /// The calls to `admin_user_stats`.
    #[must_use]
    pub fn stats_calls(&self) -> Vec<CallRecord> {
        self.select(|call| call.endpoint == Endpoint::Stats)
    }

    /// The calls to `admin_user_stats` that returned a page.
    #[must_use]
    pub fn successful_stats_calls(&self) -> Vec<CallRecord> {
        self.select(|call| matches!(call.result, CallResult::Rows(_)))
    }

    /// The calls to `tenant_access_token/internal`.
    #[must_use]
    pub fn token_calls(&self) -> Vec<CallRecord> {
        self.select(|call| call.endpoint == Endpoint::Token)
    }

    /// The calls that were rejected by a rate limit.
    #[must_use]
    pub fn rate_limited_calls(&self) -> Vec<CallRecord> {
        self.select(|call| matches!(call.result, CallResult::Error { code: 99_991_400, .. }))
    }

    /// The highest number of `admin_user_stats` calls that arrived within any period of length `window`.
    #[must_use]
    pub fn max_in_window(&self, window: Duration) -> usize {
        let arrivals: Vec<Duration> = self.stats_calls().iter().map(|call| call.offset).collect();
        let within = |first: usize| arrivals[first..].partition_point(|arrival| *arrival < arrivals[first] + window);
        (0..arrivals.len()).map(within).max().unwrap_or(0)
    }

    /// The highest number of `admin_user_stats` calls that were in flight at the same time.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        let calls = self.stats_calls();
        let arrivals = calls.iter().map(|call| (call.arrived, 1));
        let ends = calls.iter().filter_map(|call| call.finished.map(|finished| (finished, -1)));
        let mut events: Vec<(Instant, isize)> = arrivals.chain(ends).collect();
        events.sort_by_key(|(at, change)| (*at, -change));
        let in_flight = events.iter().scan(0, |open, (_, change)| {
            *open += change;
            Some(*open)
        });
        in_flight.max().map_or(0, isize::unsigned_abs)
    }

    /// Removes all calls from the log, including those that have no result yet.
    pub fn clear(&self) {
        let mut records = self.records.lock();
        let all = records.calls.len();
        records.discard_oldest(all);
    }

    /// Logs a call that arrives now.
    pub(crate) fn start(
        self: &Arc<Self>,
        endpoint: Endpoint,
        query: Option<StatsRequest>,
        page: Option<usize>,
    ) -> OpenCall {
        let mut records = self.records.lock();
        if records.calls.len() >= 2 * MIN_RETAINED_CALLS {
            records.discard_oldest(MIN_RETAINED_CALLS);
        }
        let (number, arrived) = (records.first + records.calls.len() as u64, Instant::now());
        let (offset, result) = (arrived - self.started, CallResult::Pending);
        records.calls.push(CallRecord {
            number,
            endpoint,
            arrived,
            offset,
            finished: None,
            query,
            page,
            fault: None,
            result,
        });
        OpenCall { log: Arc::clone(self), number, offset }
    }

    fn select(&self, predicate: impl Fn(&CallRecord) -> bool) -> Vec<CallRecord> {
        self.records.lock().calls.iter().filter(|call| predicate(call)).cloned().collect()
    }
}

impl Records {
    /// Removes the earliest `calls` calls.
    fn discard_oldest(&mut self, calls: usize) {
        self.first += calls as u64;
        self.calls.drain(..calls);
    }
}

impl OpenCall {
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// When the call arrived, as the time since the simulator's start.
    pub(crate) const fn offset(&self) -> Duration {
        self.offset
    }

    /// Logs the fault that is injected into the call.
    pub(crate) fn set_fault(&self, fault: Option<&FaultKind>) {
        self.update(|call| call.fault = fault.cloned());
    }

    /// Logs the result of the call.
    pub(crate) fn finish(self, result: CallResult) {
        self.update(|call| call.result = result);
    }

    fn update(&self, change: impl FnOnce(&mut CallRecord)) {
        let mut records = self.log.records.lock();
        let index = self.number.checked_sub(records.first).and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| records.calls.get_mut(index)) {
            change(call);
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.update(|call| {
            call.finished = Some(Instant::now());
            if call.result == CallResult::Pending {
                call.result = CallResult::Abandoned;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn open(log: &Arc<CallLog>) -> OpenCall {
        log.start(Endpoint::Stats, None, None)
    }

    #[tokio::test(start_paused = true)]
    async fn the_busiest_period_may_start_at_any_call() {
        let log = Arc::new(CallLog::new());

        for gap in [0, 600, 300, 99, 1, 900] {
            advance(Duration::from_millis(gap)).await;
            open(&log).finish(CallResult::Rows(1));
        }

        assert_eq!(log.max_in_window(Duration::from_secs(1)), 4);
        assert_eq!(log.max_in_window(Duration::from_millis(1)), 1);
        assert_eq!(log.max_in_flight(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_is_logged_as_abandoned() {
        let log = Arc::new(CallLog::new());
        let (first, second) = (open(&log), open(&log));

        drop(first);

        let outcomes: Vec<CallResult> = log.calls().iter().map(|call| call.result).collect();
        assert_eq!(outcomes, [CallResult::Abandoned, CallResult::Pending]);
        assert_eq!(log.max_in_flight(), 2);
        second.finish(CallResult::Rows(3));
        assert_eq!(log.successful_stats_calls().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_comes_after_clearing_is_ignored() {
        let log = Arc::new(CallLog::new());
        let late = open(&log);

        log.clear();
        let next = open(&log);
        late.finish(CallResult::Rows(1));

        assert_eq!(log.calls().len(), 1);
        assert_eq!(log.calls()[0].result, CallResult::Pending);
        assert_eq!(next.number(), 1);
    }
}
