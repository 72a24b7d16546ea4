//! A chain of pages: from the first to the one that says it is the last, through whatever happens on the way.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use jiff::Timestamp;

use super::{
    decode::{DecodedPage, Next},
    lookahead::TokenRun,
    transport::{Ask, PageError, Transport, Urgency},
};
use crate::{
    model::{Day, DayKey},
    source::LoadError,
    table::{Directory, Partition, PartitionBuilder},
};

/// Empty pages in a row after which a chain is taken to lead nowhere. A narrow data range may well produce hundreds.
const EMPTY_PAGES: usize = 2000;

/// One chain: the days of one span, page by page.
///
/// Rows may come in any order, so no day of the span is whole before the last page is there.
#[derive(Debug)]
pub struct Chain<'a> {
    transport: &'a Transport,
    ask: Arc<Ask>,
    urgency: Urgency,
    days: BTreeMap<Day, PartitionBuilder>,
    seen: HashSet<Arc<str>>,
    tokens: TokenRun,
    /// Pages without rows, in a row.
    empty: usize,
    doubtful: bool,
}

/// Calls under way, in the order in which their pages count. The first asks with a token that was named; any behind it
/// with guesses.
struct Window<'a> {
    tokens: VecDeque<Asked>,
    replies: FuturesOrdered<BoxFuture<'a, Result<DecodedPage, PageError>>>,
}

/// What a call asks with.
#[derive(Clone, Debug)]
struct Asked {
    token: Option<Arc<str>>,
    /// Whether it was asked before the page before it had named the token.
    guessed: bool,
}

impl<'a> Chain<'a> {
    /// A chain that has not begun. `tokens` is to see its page tokens; `urgency` says whose turns it takes.
    #[must_use]
    pub fn new(
        transport: &'a Transport,
        ask: Ask,
        directory: &Arc<Directory>,
        tokens: TokenRun,
        urgency: Urgency,
    ) -> Self {
        let days = ask.span.days().map(|day| {
            let key = DayKey { geo: ask.geo, user_id_type: ask.user_id_type, scope: ask.scope.clone(), day };
            (day, PartitionBuilder::new(key, Arc::clone(directory)))
        });
        let days = days.collect();
        Self { transport, ask: Arc::new(ask), urgency, days, seen: HashSet::new(), tokens, empty: 0, doubtful: false }
    }

    /// Asks for page after page; `on_page` hears of each. The days are as of `begun`, when the chain was begun: what
    /// upstream changed meanwhile may be missing.
    ///
    /// # Errors
    /// The [`LoadError`] of the page that could not be had. A page token that upstream no longer accepts is not one:
    /// the chain is begun anew, once.
    pub async fn fetch(mut self, begun: Timestamp, mut on_page: impl FnMut()) -> Result<Vec<Partition>, LoadError> {
        let mut restarted = false;
        let mut window = Window::default();
        self.ask(&mut window, None, false);
        while let Some((asked, page)) = window.next().await {
            match page {
                Ok(page) => {
                    on_page();
                    if asked.guessed {
                        self.tokens.confirm();
                    }
                    let Some(named) = self.take(page) else { break };
                    self.advance(&mut window, named);
                }
                Err(PageError::PageToken(_) | PageError::Load(LoadError::Rejected { .. })) if asked.guessed => {
                    // Right as the guess was, it came too early: upstream wants tokens that it has given out, whatever
                    // code it says so with.
                    self.tokens.refute();
                    window = Window::default();
                    self.ask(&mut window, asked.token, false);
                }
                Err(PageError::PageToken(error)) if !restarted => {
                    tracing::warn!(%error, span = %self.ask.span, "the page token was rejected; the chain begins anew");
                    restarted = true;
                    self.reset();
                    window = Window::default();
                    self.ask(&mut window, None, false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.finish(begun).await
    }

    /// Goes on to the page whose token was named: it is the next guess, or there is no guessing any more.
    fn advance(&mut self, window: &mut Window<'a>, named: Arc<str>) {
        self.tokens.named(&named);
        match window.tokens.front() {
            Some(guess) if guess.token.as_ref() == Some(&named) => {}
            Some(_) => {
                self.tokens.refute();
                *window = Window::default();
                self.ask(window, Some(named), false);
            }
            None => self.ask(window, Some(named), false),
        }
        let under_way = window.tokens.len() - 1;
        for guess in self.tokens.guesses().skip(under_way) {
            self.ask(window, Some(guess), true);
        }
    }

    fn ask(&self, window: &mut Window<'a>, token: Option<Arc<str>>, guessed: bool) {
        let (transport, ask, urgency) = (self.transport, Arc::clone(&self.ask), self.urgency.clone());
        window.tokens.push_back(Asked { token: token.clone(), guessed });
        let call = async move { transport.page(&ask, token.as_deref(), &urgency).await };
        window.replies.push_back(call.boxed());
    }

    /// Keeps the rows of a page and says how to go on.
    fn take(&mut self, page: DecodedPage) -> Option<Arc<str>> {
        self.keep_rows(&page);
        self.empty = if page.rows.is_empty() { self.empty + 1 } else { 0 };
        match page.next {
            Next::Token(token) if self.empty < EMPTY_PAGES && self.seen.insert(Arc::clone(&token)) => Some(token),
            Next::End => None,
            Next::Token(_) | Next::Lost => {
                tracing::warn!(span = %self.ask.span, "upstream promised more pages and did not say how to get them");
                self.doubtful = true;
                None
            }
        }
    }

    fn keep_rows(&mut self, page: &DecodedPage) {
        let only = (self.days.len() == 1).then(|| self.ask.span.first());
        let (mut strays, mut undated) = (0_usize, 0_usize);
        for (day, row) in &page.rows {
            match day.or(only).map(|day| self.days.get_mut(&day)) {
                Some(Some(builder)) => builder.push(row),
                Some(None) => strays += 1,
                None => undated += 1,
            }
        }
        // A row without a day is missing from one of them.
        self.doubtful |= undated > 0;
        if strays + undated + page.unreadable > 0 {
            tracing::warn!(rows.strays = strays, rows.undated = undated, values.unreadable = page.unreadable,
                span = %self.ask.span, "upstream sent rows of days nobody asked for, or values that make no sense");
        }
    }

    fn reset(&mut self) {
        self.seen.clear();
        self.empty = 0;
        self.tokens.restart();
        self.days.values_mut().for_each(PartitionBuilder::clear);
    }

    /// Sorting and hashing a large day takes tens of milliseconds: it leaves the async threads.
    async fn finish(self, begun: Timestamp) -> Result<Vec<Partition>, LoadError> {
        let Self { days, doubtful, .. } = self;
        let finish = move || days.into_values().map(|day| day.doubtful(doubtful).finish(begun)).collect();
        tokio::task::spawn_blocking(finish).await.map_err(|_| LoadError::Abandoned)
    }
}

impl Default for Window<'_> {
    fn default() -> Self {
        Self { tokens: VecDeque::new(), replies: FuturesOrdered::new() }
    }
}

impl Window<'_> {
    async fn next(&mut self) -> Option<(Asked, Result<DecodedPage, PageError>)> {
        let page = self.replies.next().await?;
        self.tokens.pop_front().map(|asked| (asked, page))
    }
}
