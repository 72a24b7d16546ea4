//! [`ChainSaver`]: saves long chains of pages while they are fetched, so that a restart continues them.
//!
//! At 10 calls a minute, a day of 100,000 people takes 2.8 hours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{chain_rows::SharedChainRows, wire::PAGE_SIZE};
use crate::{
    model::Clock,
    source::{ChainCheckpoint, ChainCheckpoints, ChainKey, run_day_task},
};

/// Number of pages up to which a chain is never saved. At the lowest published rate limit they take a minute.
const MAX_UNSAVED_PAGES: usize = 10;

/// Time limit of reading a checkpoint. Without one, the chain begins at its first page.
const FIND_TIMEOUT: Duration = Duration::from_secs(5);

/// Saves the chains in flight.
#[derive(Debug)]
pub struct ChainSaver {
    checkpoints: Option<Arc<dyn ChainCheckpoints>>,
    interval: Duration,
    clock: Arc<dyn Clock>,
    chains: Mutex<Vec<Arc<SavedChain>>>,
}

/// A chain that may have a checkpoint.
#[derive(Debug)]
pub struct SavedChain {
    key: ChainKey,
    checkpoints: Arc<dyn ChainCheckpoints>,
    clock: Arc<dyn Clock>,
    rows: Mutex<Option<SharedChainRows>>,
    /// Number of pages of the stored checkpoint; 0: there is none. Locked while it is written or removed.
    saved_pages: tokio::sync::Mutex<usize>,
    /// Number of pages that the chain had when this process started it.
    resumed_pages: AtomicUsize,
}

/// Saves a chain in intervals until it is dropped.
pub struct ChainSaving<'a> {
    saver: &'a ChainSaver,
    chain: Arc<SavedChain>,
    /// Ends the task that saves. A write in progress is completed: it could otherwise land after the removal.
    _stop: DropGuard,
}

impl ChainSaver {
    /// Saves chains to `checkpoints` at `interval`. `None`: no chain is saved.
    #[must_use]
    pub const fn new(
        checkpoints: Option<Arc<dyn ChainCheckpoints>>,
        interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { checkpoints, interval, clock, chains: Mutex::new(Vec::new()) }
    }

    /// The chain `key` of about `expected_pages` pages; `None` if it is too short to be saved.
    #[must_use]
    pub fn chain(&self, key: ChainKey, expected_pages: Option<usize>) -> Option<Arc<SavedChain>> {
        let checkpoints = self.checkpoints.clone()?;
        let is_long = expected_pages.is_none_or(|pages| pages > MAX_UNSAVED_PAGES);
        is_long.then(|| {
            Arc::new(SavedChain {
                key,
                checkpoints,
                clock: Arc::clone(&self.clock),
                rows: Mutex::default(),
                saved_pages: tokio::sync::Mutex::default(),
                resumed_pages: AtomicUsize::default(),
            })
        })
    }

    /// Saves the chain with these `rows` in intervals, until the returned value is dropped.
    pub fn start(&self, chain: &Arc<SavedChain>, rows: SharedChainRows) -> ChainSaving<'_> {
        *chain.rows.lock() = Some(rows);
        self.chains.lock().push(Arc::clone(chain));
        let (stop, interval, saved) = (CancellationToken::new(), self.interval, Arc::clone(chain));
        let stopped = stop.clone();
        tokio::spawn(async move {
            while tokio::time::timeout(interval, stopped.cancelled()).await.is_err() {
                saved.save().await;
            }
        });
        ChainSaving { saver: self, chain: Arc::clone(chain), _stop: stop.drop_guard() }
    }

    /// Saves all chains in flight that have more than a few pages.
    pub async fn save_all(&self) {
        let chains = self.chains.lock().clone();
        join_all(chains.iter().map(|chain| chain.save_if_long())).await;
    }
}

impl SavedChain {
    /// The checkpoint of an earlier attempt.
    pub async fn find(&self) -> Option<ChainCheckpoint> {
        let found =
            tokio::time::timeout(FIND_TIMEOUT, self.checkpoints.find_checkpoint(self.key, self.clock.now())).await;
        let checkpoint = found.ok().flatten().filter(|checkpoint| checkpoint.page_size == PAGE_SIZE)?;
        *self.saved_pages.lock().await = checkpoint.pages;
        self.resumed_pages.store(checkpoint.pages, Ordering::Relaxed);
        tracing::info!(
            geo = %self.key.geo,
            span = %self.key.range,
            pages = checkpoint.pages,
            "a fetch continues after the pages that were saved before"
        );
        Some(checkpoint)
    }

    /// Saves the chain if this process has fetched more than a few pages of it.
    pub async fn save_if_long(&self) {
        let pages = self.rows.lock().as_ref().map_or(0, |rows| rows.lock().pages());
        if pages > self.resumed_pages.load(Ordering::Relaxed) + MAX_UNSAVED_PAGES {
            self.save().await;
        }
    }

    /// Saves the pages so far, unless they are saved already.
    async fn save(&self) {
        let mut saved_pages = self.saved_pages.lock().await;
        let Some(rows) = self.rows.lock().clone() else { return };
        let Some(snapshot) = rows.lock().snapshot().filter(|snapshot| snapshot.pages() > *saved_pages) else { return };
        let pages = snapshot.pages();
        // Sorting and hashing a large day takes tens of milliseconds.
        let Ok(Some(checkpoint)) = run_day_task(move || snapshot.into_checkpoint()).await else { return };
        // Before the write, because it could succeed although it seems to fail.
        *saved_pages = pages;
        self.checkpoints.save_checkpoint(self.key, checkpoint, self.clock.now()).await;
    }

    /// Removes the checkpoint, because the chain has ended. Waits for a write in progress.
    pub async fn remove(&self) {
        let mut saved_pages = self.saved_pages.lock().await;
        *self.rows.lock() = None;
        if *saved_pages > 0 {
            self.checkpoints.remove_checkpoint(self.key).await;
            *saved_pages = 0;
        }
    }
}

impl Drop for ChainSaving<'_> {
    fn drop(&mut self) {
        self.saver.chains.lock().retain(|chain| !Arc::ptr_eq(chain, &self.chain));
    }
}
