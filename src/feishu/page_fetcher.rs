//! [`PageFetcher`]: fetches the chain of pages of one date range, from the first page to the last.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::{
    chain_rows::{ChainRows, SharedChainRows},
    decode::{NextPage, PackedPageRow},
    page_lookahead::ConsecutiveTokens,
    stats_client::{CallPriority, FetchedPage, PageError, PageRequest, StatsClient},
};
use crate::{
    model::DayKey,
    source::{ChainCheckpoint, LoadError, PAGE_SIZE, run_day_task},
    table::{DayTable, DayTableBuilder, Dictionary},
};

/// Maximum number of pages without rows since the last new row. A narrow data range of the app can produce hundreds of them.
const MAX_EMPTY_PAGES: usize = 2000;

/// Minimum of the number of consecutive pages on which every row was seen before, after which the chain has begun again.
const MIN_REPEATED_PAGES: usize = 10;

/// What ends a chain that does not end by itself.
#[derive(Clone, Copy, Debug)]
pub struct ChainLimits {
    /// Maximum number of requests of a page that fails temporarily.
    pub max_attempts: u32,
    /// Maximum number of rows.
    pub max_rows: usize,
}

/// Fetches the days of one range, page by page.
///
/// The order of the rows is not documented, so no day is complete before the last page is received.
#[derive(Debug)]
pub struct PageFetcher<'a> {
    client: &'a StatsClient,
    request: Arc<PageRequest>,
    priority: CallPriority,
    limits: ChainLimits,
    dictionary: Arc<Dictionary>,
    /// When the fetch began. A chain that continues began earlier.
    started_at: Timestamp,
    rows: SharedChainRows,
    /// Whether the chain continues after saved pages, and no page was received since.
    is_resuming: bool,
    seen_tokens: HashSet<Arc<str>>,
    tokens: ConsecutiveTokens,
    /// Number of different rows.
    row_count: usize,
    /// Number of pages without rows since the last new row.
    empty_pages: usize,
    /// Number of pages with rows that were all seen before, since the last new row.
    repeated_pages: usize,
    /// The log id of the first page with unreadable rows or values.
    faulty_page_log_id: Option<Arc<str>>,
}

/// Calls in flight, in page order. The token of the first call was received; the tokens of the others are guessed.
struct CallWindow<'a> {
    calls: VecDeque<PageCall>,
    replies: FuturesOrdered<BoxFuture<'a, Result<FetchedPage, PageError>>>,
}

/// The token of a call in flight.
#[derive(Clone, Debug)]
struct PageCall {
    token: Option<Arc<str>>,
    /// Whether the call was started before its token was received.
    guessed: bool,
}

impl<'a> PageFetcher<'a> {
    /// Creates a fetcher. It makes no call. `tokens` guesses the tokens of the next pages. `started_at` becomes the fetch time
    /// of the days, because changes at upstream during the fetch may be missing.
    #[must_use]
    pub fn new(
        client: &'a StatsClient,
        request: PageRequest,
        dictionary: &Arc<Dictionary>,
        tokens: ConsecutiveTokens,
        priority: CallPriority,
        limits: ChainLimits,
        started_at: Timestamp,
    ) -> Self {
        let rows = Arc::new(Mutex::new(no_rows(&request, dictionary, started_at)));
        Self {
            client,
            request: Arc::new(request),
            priority,
            limits,
            dictionary: Arc::clone(dictionary),
            started_at,
            rows,
            is_resuming: false,
            seen_tokens: HashSet::new(),
            tokens,
            row_count: 0,
            empty_pages: 0,
            repeated_pages: 0,
            faulty_page_log_id: None,
        }
    }

    /// Makes room for this number of rows, which are expected in equal parts on all days.
    pub fn expect_rows(&self, rows: usize) {
        self.rows.lock().reserve(rows);
    }

    /// Continues after the pages of a checkpoint of the same days. The fetch time stays that of its first page.
    pub fn resume(&mut self, checkpoint: &ChainCheckpoint) {
        let Some(rows) = ChainRows::from_checkpoint(checkpoint) else { return };
        self.row_count = rows.row_count();
        self.seen_tokens.insert(Arc::clone(&checkpoint.page_token));
        self.tokens.resume_after(rows.pages());
        self.is_resuming = true;
        *self.rows.lock() = rows;
    }

    /// The rows that the chain has received so far.
    #[must_use]
    pub fn rows(&self) -> SharedChainRows {
        Arc::clone(&self.rows)
    }

    /// Fetches all pages and calls `on_page` for each.
    ///
    /// # Errors
    /// The [`LoadError`] of the page that failed. If upstream rejects a page token, the chain is first restarted once. If the
    /// first page after a checkpoint fails, the cause can be its token, and the chain starts from its first page.
    pub async fn fetch(mut self, mut on_page: impl FnMut()) -> Result<Vec<DayTable>, LoadError> {
        let mut restarted = false;
        let mut window = CallWindow::default();
        let first_token = self.rows.lock().next_token().cloned();
        self.start_call(&mut window, first_token, false);
        while let Some((call, page)) = window.next_reply().await {
            match page {
                Ok(page) => {
                    on_page();
                    self.is_resuming = false;
                    if call.guessed {
                        self.tokens.record_right_guess();
                    }
                    let Some(next_token) = self.accept_page(page) else { break };
                    self.advance(&mut window, next_token);
                }
                Err(
                    PageError::InvalidPageToken(_)
                    | PageError::Load(LoadError::Rejected { .. } | LoadError::Forbidden { .. }),
                ) if call.guessed => {
                    // Upstream rejects the guessed token, because it has not issued it yet. The code of such a reply is
                    // not documented. The call is repeated now that the token has been received.
                    self.tokens.record_wrong_guess();
                    window = CallWindow::default();
                    self.start_call(&mut window, call.token, false);
                }
                Err(
                    PageError::InvalidPageToken(error)
                    | PageError::Load(
                        error @ (LoadError::Rejected { .. }
                        | LoadError::Forbidden { .. }
                        | LoadError::Unavailable { .. }),
                    ),
                ) if self.is_resuming => {
                    tracing::warn!(
                        %error,
                        span = %self.request.range,
                        "the page token of a saved fetch was not accepted; the fetch starts from the first page"
                    );
                    self.restart(&mut window);
                }
                Err(PageError::InvalidPageToken(error)) if !restarted => {
                    tracing::warn!(
                        %error,
                        span = %self.request.range,
                        "the page token was rejected; the fetch restarts from the first page"
                    );
                    restarted = true;
                    self.restart(&mut window);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.finish().await
    }

    /// Starts from the first page.
    fn restart(&mut self, window: &mut CallWindow<'a>) {
        self.seen_tokens.clear();
        (self.row_count, self.empty_pages, self.repeated_pages) = (0, 0, 0);
        self.tokens.reset();
        self.is_resuming = false;
        self.faulty_page_log_id = None;
        *self.rows.lock() = no_rows(&self.request, &self.dictionary, self.started_at);
        *window = CallWindow::default();
        self.start_call(window, None, false);
    }

    /// Continues with the page of the received token. If a different token was guessed, the guesses are discarded and
    /// look-ahead is disabled.
    fn advance(&mut self, window: &mut CallWindow<'a>, token: Arc<str>) {
        self.tokens.record_token(&token);
        match window.calls.front() {
            Some(guess) if guess.token.as_ref() == Some(&token) => {}
            Some(_) => {
                self.tokens.record_wrong_guess();
                *window = CallWindow::default();
                self.start_call(window, Some(token), false);
            }
            None => self.start_call(window, Some(token), false),
        }
        if !self.client.may_look_ahead() {
            return;
        }
        let guesses_in_flight = window.calls.len() - 1;
        for guess in self.tokens.guesses().skip(guesses_in_flight) {
            self.start_call(window, Some(guess), true);
        }
    }

    fn start_call(&self, window: &mut CallWindow<'a>, token: Option<Arc<str>>, guessed: bool) {
        let (client, request, priority) = (self.client, Arc::clone(&self.request), self.priority.clone());
        let (dictionary, max_attempts) = (Arc::clone(&self.dictionary), self.limits.max_attempts);
        window.calls.push_back(PageCall { token: token.clone(), guessed });
        let call =
            async move { client.fetch_page(&request, token.as_deref(), &dictionary, &priority, max_attempts).await };
        window.replies.push_back(call.boxed());
    }

    /// Adds the rows of a page. Returns the token of the next page, or `None` if the chain ends.
    fn accept_page(&mut self, FetchedPage { page, log_id, clock_ahead }: FetchedPage) -> Option<Arc<str>> {
        let shared_rows = Arc::clone(&self.rows);
        // A checkpoint has all rows of a page or none.
        let mut rows = shared_rows.lock();
        rows.quality.clock_ahead |= clock_ahead;
        let (rows_before, is_empty) = (self.row_count, page.rows.is_empty());
        if self.add_rows(&mut rows, page.rows, page.unreadable_rows) && self.faulty_page_log_id.is_none() {
            self.faulty_page_log_id = log_id;
        }
        if self.row_count > rows_before {
            (self.empty_pages, self.repeated_pages) = (0, 0);
        } else if is_empty {
            self.empty_pages += 1;
        } else {
            self.repeated_pages += 1;
        }
        let next_token = match page.next {
            NextPage::Token(token) if !self.is_endless() && self.seen_tokens.insert(Arc::clone(&token)) => Some(token),
            NextPage::End => None,
            NextPage::Token(_) | NextPage::TokenMissing => {
                tracing::warn!(
                    span = %self.request.range,
                    pages.empty = self.empty_pages,
                    pages.repeated = self.repeated_pages,
                    rows = self.row_count,
                    "the pages of a fetch ended early: upstream sent no payload, no new page token, too many pages without \
                     new rows, or more rows than the tenant can have"
                );
                rows.quality.broken_off = true;
                None
            }
        };
        rows.end_page(next_token.clone());
        next_token
    }

    /// Whether the chain has more pages than the tenant can have. Upstream could issue new page tokens forever.
    fn is_endless(&self) -> bool {
        // As many pages as a second reading of all rows has.
        let repeated = self.row_count.div_ceil(PAGE_SIZE).max(MIN_REPEATED_PAGES);
        self.empty_pages >= MAX_EMPTY_PAGES || self.repeated_pages > repeated || self.row_count > self.limits.max_rows
    }

    /// Adds the rows of a page. Returns whether a row or a value cannot be read.
    ///
    /// An unreadable row can be missing from any day of the range, so each of them counts it.
    fn add_rows(&mut self, rows: &mut ChainRows, added: Vec<PackedPageRow>, unreadable_rows: u32) -> bool {
        let values_before = rows.unreadable_values();
        self.row_count += added.into_iter().map(|row| rows.push(row)).sum::<usize>();
        rows.quality.unreadable_rows = rows.quality.unreadable_rows.saturating_add(unreadable_rows);
        unreadable_rows > 0 || rows.unreadable_values() > values_before
    }

    /// Logs once a fetch that rows or values could not be read.
    fn log_unreadable(&self, rows: &ChainRows) {
        let values = rows.unreadable_values();
        if rows.quality.unreadable_rows > 0 || values > 0 {
            tracing::warn!(
                span = %self.request.range,
                rows.unreadable = rows.quality.unreadable_rows,
                values.unreadable = values,
                upstream.log_id = self.faulty_page_log_id.as_deref(),
                "upstream sent rows or values that cannot be read"
            );
        }
    }

    /// Builds the days. Sorting and hashing a large day takes tens of milliseconds, so it runs on a blocking thread.
    async fn finish(self) -> Result<Vec<DayTable>, LoadError> {
        let empty = ChainRows::new([], self.started_at);
        let rows = std::mem::replace(&mut *self.rows.lock(), empty);
        self.log_unreadable(&rows);
        run_day_task(move || rows.finish()).await.map_err(|_| LoadError::Abandoned)
    }
}

fn no_rows(request: &PageRequest, dictionary: &Arc<Dictionary>, started_at: Timestamp) -> ChainRows {
    let builder = |day| {
        let key = DayKey { geo: request.geo, user_id_type: request.user_id_type, scope: request.scope.clone(), day };
        (day, DayTableBuilder::new(key, Arc::clone(dictionary)))
    };
    ChainRows::new(request.range.days().map(builder), started_at)
}

impl Default for CallWindow<'_> {
    fn default() -> Self {
        Self { calls: VecDeque::new(), replies: FuturesOrdered::new() }
    }
}

impl CallWindow<'_> {
    async fn next_reply(&mut self) -> Option<(PageCall, Result<FetchedPage, PageError>)> {
        let page = self.replies.next().await?;
        self.calls.pop_front().map(|call| (call, page))
    }
}
