//! [`PageFetcher`]: fetches the chain of pages of one date range, from the first page to the last.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use jiff::Timestamp;

use super::{
    decode::{DecodedPage, DecodedRow, NextPage},
    page_lookahead::ConsecutiveTokens,
    stats_client::{CallPriority, FetchedPage, PAGE_SIZE, PageError, PageRequest, StatsClient},
};
use crate::{
    model::{Day, DayKey},
    source::{LoadError, run_day_task},
    table::{DayTable, DayTableBuilder, Dictionary, FetchQuality},
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
    days: BTreeMap<Day, DayInProgress>,
    seen_tokens: HashSet<Arc<str>>,
    tokens: ConsecutiveTokens,
    /// Number of different rows.
    row_count: usize,
    /// Number of pages without rows since the last new row.
    empty_pages: usize,
    /// Number of pages with rows that were all seen before, since the last new row.
    repeated_pages: usize,
    quality: FetchQuality,
    /// The log id of the first page with unreadable rows or values.
    faulty_page_log_id: Option<Arc<str>>,
}

/// A day whose pages are being fetched.
#[derive(Debug)]
struct DayInProgress {
    builder: DayTableBuilder,
    unreadable_values: u32,
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
    /// Creates a fetcher. It makes no call. `tokens` guesses the tokens of the next pages.
    #[must_use]
    pub fn new(
        client: &'a StatsClient,
        request: PageRequest,
        dictionary: &Arc<Dictionary>,
        tokens: ConsecutiveTokens,
        priority: CallPriority,
        limits: ChainLimits,
    ) -> Self {
        let days = request.range.days().map(|day| {
            let key =
                DayKey { geo: request.geo, user_id_type: request.user_id_type, scope: request.scope.clone(), day };
            (day, DayInProgress { builder: DayTableBuilder::new(key, Arc::clone(dictionary)), unreadable_values: 0 })
        });
        let days = days.collect();
        Self {
            client,
            request: Arc::new(request),
            priority,
            limits,
            days,
            seen_tokens: HashSet::new(),
            tokens,
            row_count: 0,
            empty_pages: 0,
            repeated_pages: 0,
            quality: FetchQuality::default(),
            faulty_page_log_id: None,
        }
    }

    /// Makes room for this number of rows, which are expected in equal parts on all days.
    #[must_use]
    pub fn with_expected_rows(mut self, rows: usize) -> Self {
        let rows_a_day = rows.div_ceil(self.days.len().max(1));
        self.days.values_mut().for_each(|day| day.builder.reserve(rows_a_day));
        self
    }

    /// Fetches all pages and calls `on_page` for each. `started_at` becomes the fetch time of the days, because changes
    /// at upstream during the fetch may be missing.
    ///
    /// # Errors
    /// The [`LoadError`] of the page that failed. If upstream rejects a page token, the chain is first restarted once.
    pub async fn fetch(mut self, started_at: Timestamp, mut on_page: impl FnMut()) -> Result<Vec<DayTable>, LoadError> {
        let mut restarted = false;
        let mut window = CallWindow::default();
        self.start_call(&mut window, None, false);
        while let Some((call, page)) = window.next_reply().await {
            match page {
                Ok(page) => {
                    on_page();
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
                Err(PageError::InvalidPageToken(error)) if !restarted => {
                    tracing::warn!(
                        %error,
                        span = %self.request.range,
                        "the page token was rejected; the fetch restarts from the first page"
                    );
                    restarted = true;
                    self.reset();
                    window = CallWindow::default();
                    self.start_call(&mut window, None, false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.finish(started_at).await
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
        let guesses_in_flight = window.calls.len() - 1;
        for guess in self.tokens.guesses().skip(guesses_in_flight) {
            self.start_call(window, Some(guess), true);
        }
    }

    fn start_call(&self, window: &mut CallWindow<'a>, token: Option<Arc<str>>, guessed: bool) {
        let (client, request, priority) = (self.client, Arc::clone(&self.request), self.priority.clone());
        let max_attempts = self.limits.max_attempts;
        window.calls.push_back(PageCall { token: token.clone(), guessed });
        let call = async move { client.fetch_page(&request, token.as_deref(), &priority, max_attempts).await };
        window.replies.push_back(call.boxed());
    }

    /// Adds the rows of a page. Returns the token of the next page, or `None` if the chain ends.
    fn accept_page(&mut self, FetchedPage { page, log_id, clock_ahead }: FetchedPage) -> Option<Arc<str>> {
        self.quality.clock_ahead |= clock_ahead;
        let rows_before = self.row_count;
        if self.add_rows(&page) && self.faulty_page_log_id.is_none() {
            self.faulty_page_log_id = log_id;
        }
        if self.row_count > rows_before {
            (self.empty_pages, self.repeated_pages) = (0, 0);
        } else if page.rows.is_empty() {
            self.empty_pages += 1;
        } else {
            self.repeated_pages += 1;
        }
        match page.next {
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
                self.quality.broken_off = true;
                None
            }
        }
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
    fn add_rows(&mut self, page: &DecodedPage) -> bool {
        let mut unreadable_values = 0_u64;
        for DecodedRow { day, row, unreadable_values: of_row } in &page.rows {
            if let Some(day) = self.days.get_mut(day) {
                let rows_before = day.builder.len();
                day.builder.push(row);
                self.row_count += day.builder.len() - rows_before;
                day.unreadable_values = day.unreadable_values.saturating_add(*of_row);
                unreadable_values += u64::from(*of_row);
            }
        }
        self.quality.unreadable_rows = self.quality.unreadable_rows.saturating_add(page.unreadable_rows);
        page.unreadable_rows > 0 || unreadable_values > 0
    }

    fn reset(&mut self) {
        self.seen_tokens.clear();
        (self.row_count, self.empty_pages, self.repeated_pages) = (0, 0, 0);
        self.tokens.reset();
        self.quality = FetchQuality::default();
        self.faulty_page_log_id = None;
        for day in self.days.values_mut() {
            day.builder.clear();
            day.unreadable_values = 0;
        }
    }

    /// Logs once a fetch that rows or values could not be read.
    fn log_unreadable(&self) {
        let values: u64 = self.days.values().map(|day| u64::from(day.unreadable_values)).sum();
        if self.quality.unreadable_rows > 0 || values > 0 {
            tracing::warn!(
                span = %self.request.range,
                rows.unreadable = self.quality.unreadable_rows,
                values.unreadable = values,
                upstream.log_id = self.faulty_page_log_id.as_deref(),
                "upstream sent rows or values that cannot be read"
            );
        }
    }

    /// Builds the days. Sorting and hashing a large day takes tens of milliseconds, so it runs on a blocking thread.
    async fn finish(self, started_at: Timestamp) -> Result<Vec<DayTable>, LoadError> {
        self.log_unreadable();
        let Self { days, quality, .. } = self;
        let finish_day = move |DayInProgress { builder, unreadable_values }| {
            builder.quality(FetchQuality { unreadable_values, ..quality }).finish(started_at)
        };
        let finish = move || days.into_values().map(finish_day).collect();
        run_day_task(finish).await.map_err(|_| LoadError::Abandoned)
    }
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
