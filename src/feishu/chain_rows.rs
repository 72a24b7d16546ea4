//! [`ChainRows`]: the rows that a chain of pages has received so far.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::decode::PackedPageRow;
use crate::{
    model::Day,
    source::{ChainCheckpoint, PAGE_SIZE},
    table::{DayTable, DayTableBuilder, FetchQuality},
};

/// The rows of a chain, shared with the task that saves them.
pub type SharedChainRows = Arc<Mutex<ChainRows>>;

/// The rows of the pages of a chain from the first page on.
#[derive(Clone, Debug)]
pub struct ChainRows {
    days: BTreeMap<Day, DayInProgress>,
    /// The faults of the pages.
    pub quality: FetchQuality,
    /// When the first page was requested.
    started_at: Timestamp,
    /// The token of the page after these pages. `None` before the first page and after the last.
    next_token: Option<Arc<str>>,
    pages: usize,
}

/// A day whose pages are being fetched.
#[derive(Clone, Debug)]
struct DayInProgress {
    builder: DayTableBuilder,
    unreadable_values: u32,
}

impl ChainRows {
    /// No rows of the days of these builders.
    #[must_use]
    pub fn new(days: impl IntoIterator<Item = (Day, DayTableBuilder)>, started_at: Timestamp) -> Self {
        let in_progress = |builder| DayInProgress { builder, unreadable_values: 0 };
        let days = days.into_iter().map(|(day, builder)| (day, in_progress(builder))).collect();
        Self { days, quality: FetchQuality::default(), started_at, next_token: None, pages: 0 }
    }

    /// The rows of a checkpoint. `None` if it has no days.
    #[must_use]
    pub fn from_checkpoint(checkpoint: &ChainCheckpoint) -> Option<Self> {
        let first = checkpoint.days.first()?;
        let in_progress = |day: &DayTable| DayInProgress {
            builder: DayTableBuilder::from_day(day),
            unreadable_values: day.quality().unreadable_values,
        };
        Some(Self {
            days: checkpoint.days.iter().map(|day| (day.key().day, in_progress(day))).collect(),
            // The other faults are those of the chain, and are the same for all of its days.
            quality: FetchQuality { unreadable_values: 0, ..first.quality() },
            started_at: first.fetched_at(),
            next_token: Some(Arc::clone(&checkpoint.page_token)),
            pages: checkpoint.pages,
        })
    }

    /// Makes room for this number of rows, which are expected in equal parts on all days.
    pub fn reserve(&mut self, rows: usize) {
        let rows_a_day = rows.div_ceil(self.days.len().max(1));
        self.days.values_mut().for_each(|day| day.builder.reserve(rows_a_day));
    }

    /// Adds a row. Returns how many rows are new: 0 if the row replaces an earlier one, or if its day is not fetched.
    pub fn push(&mut self, PackedPageRow { day, row, unreadable_values }: PackedPageRow) -> usize {
        let Some(day) = self.days.get_mut(&day) else { return 0 };
        let rows_before = day.builder.len();
        day.builder.push_packed(row);
        day.unreadable_values = day.unreadable_values.saturating_add(unreadable_values);
        day.builder.len() - rows_before
    }

    /// Completes a page.
    pub fn end_page(&mut self, next_token: Option<Arc<str>>) {
        self.pages += 1;
        self.next_token = next_token;
    }

    /// Number of pages.
    #[must_use]
    pub const fn pages(&self) -> usize {
        self.pages
    }

    /// The token of the next page. `None` before the first page and after the last.
    #[must_use]
    pub const fn next_token(&self) -> Option<&Arc<str>> {
        self.next_token.as_ref()
    }

    /// Number of different rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.days.values().map(|day| day.builder.len()).sum()
    }

    /// Number of unreadable values.
    #[must_use]
    pub fn unreadable_values(&self) -> u64 {
        self.days.values().map(|day| u64::from(day.unreadable_values)).sum()
    }

    /// A copy for a checkpoint. `None` if there is no next page.
    #[must_use]
    pub fn snapshot(&self) -> Option<Self> {
        self.next_token.is_some().then(|| self.clone())
    }

    /// The checkpoint; `None` if there is no next page. Takes tens of milliseconds for 100,000 rows.
    #[must_use]
    pub fn into_checkpoint(mut self) -> Option<ChainCheckpoint> {
        let page_token = self.next_token.take()?;
        Some(ChainCheckpoint { page_token, page_size: PAGE_SIZE, pages: self.pages, days: self.finish() })
    }

    /// Builds the days. Takes tens of milliseconds for 100,000 rows.
    #[must_use]
    pub fn finish(self) -> Vec<DayTable> {
        let Self { days, quality, started_at, .. } = self;
        let finish_day = |DayInProgress { builder, unreadable_values }| {
            builder.quality(FetchQuality { unreadable_values, ..quality }).finish(started_at)
        };
        days.into_values().map(finish_day).collect()
    }
}
