//! A chain of pages: from the first to the one that says it is the last, through whatever happens on the way.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    decode::{DecodedPage, Next},
    transport::{Ask, PageError, Transport},
};
use crate::{
    model::{Day, DayKey},
    source::{LoadContext, LoadError},
    table::{Directory, Partition, PartitionBuilder},
};

/// One chain: the days of one span, page by page.
///
/// Rows may come in any order, so no day of the span is whole before the last page is there.
#[derive(Debug)]
pub struct Chain<'a> {
    transport: &'a Transport,
    ask: Ask,
    context: LoadContext,
    days: BTreeMap<Day, PartitionBuilder>,
    seen: HashSet<Arc<str>>,
    doubtful: bool,
}

impl<'a> Chain<'a> {
    /// A chain that has not begun.
    #[must_use]
    pub fn new(transport: &'a Transport, ask: Ask, directory: &Arc<Directory>, context: LoadContext) -> Self {
        let days = ask.span.days().map(|day| {
            let key = DayKey { geo: ask.geo, user_id_type: ask.user_id_type, scope: ask.scope.clone(), day };
            (day, PartitionBuilder::new(key, Arc::clone(directory)))
        });
        let days = days.collect();
        Self { transport, ask, context, days, seen: HashSet::new(), doubtful: false }
    }

    /// Asks for page after page; `on_page` hears of each. The days are as of `begun`, when the chain was begun: what
    /// upstream changed meanwhile may be missing.
    ///
    /// # Errors
    /// The [`LoadError`] of the page that could not be had. A page token that upstream no longer accepts is not one:
    /// the chain is begun anew, once.
    pub async fn fetch(mut self, begun: Timestamp, mut on_page: impl FnMut()) -> Result<Vec<Partition>, LoadError> {
        let mut token: Option<Arc<str>> = None;
        let mut restarted = false;
        loop {
            match self.transport.page(&self.ask, token.as_deref(), self.context).await {
                Ok(page) => {
                    on_page();
                    token = self.take(page);
                    if token.is_none() {
                        return self.finish(begun).await;
                    }
                }
                Err(PageError::PageToken(error)) if !restarted => {
                    tracing::warn!(%error, span = %self.ask.span, "the page token was rejected; the chain begins anew");
                    restarted = true;
                    token = None;
                    self.reset();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Keeps the rows of a page and says how to go on.
    fn take(&mut self, page: DecodedPage) -> Option<Arc<str>> {
        let only = (self.days.len() == 1).then(|| self.ask.span.first());
        let mut strays = 0_usize;
        for (day, row) in &page.rows {
            match day.or(only).and_then(|day| self.days.get_mut(&day)) {
                Some(builder) => builder.push(row),
                None => strays += 1,
            }
        }
        if strays + page.unreadable > 0 {
            tracing::warn!(rows.strays = strays, values.unreadable = page.unreadable, span = %self.ask.span,
                "upstream sent rows of days nobody asked for, or values that make no sense");
        }
        match page.next {
            Next::Token(token) if self.seen.insert(Arc::clone(&token)) => Some(token),
            Next::End => None,
            Next::Token(_) | Next::Lost => {
                tracing::warn!(span = %self.ask.span, "upstream promised more pages and did not say how to get them");
                self.doubtful = true;
                None
            }
        }
    }

    fn reset(&mut self) {
        self.seen.clear();
        self.days.values_mut().for_each(PartitionBuilder::clear);
    }

    /// Sorting and hashing a large day takes tens of milliseconds: it leaves the async threads.
    async fn finish(self, begun: Timestamp) -> Result<Vec<Partition>, LoadError> {
        let Self { days, doubtful, .. } = self;
        let finish = move || days.into_values().map(|day| day.doubtful(doubtful).finish(begun)).collect();
        tokio::task::spawn_blocking(finish).await.map_err(|_| LoadError::Abandoned)
    }
}
