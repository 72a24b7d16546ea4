//! Loading limit: bounds the memory of the rows that chains are collecting. A chain waits before its first page while others
//! use all of it.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::stats_client::CallPriority;
use crate::source::Priority;

/// Estimated memory of a row from its reply to the finished day, in bytes. The finished day has about 35 bytes a row.
const BYTES_PER_ROW: u64 = 400;

/// Number of rows up to which a chain does not count.
const SMALL_CHAIN_ROWS: usize = 2_000;

/// The rows that may be collected at the same time. Interactive and background chains each have half of them, so that a
/// request does not wait for the end of a large background chain.
#[derive(Debug)]
pub(super) struct LoadingLimit {
    interactive: Semaphore,
    background: Semaphore,
    max_rows: u32,
}

impl LoadingLimit {
    /// A limit of about `bytes` bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let max_rows = u32::try_from(bytes / BYTES_PER_ROW / 2).unwrap_or(u32::MAX).max(1);
        let semaphore = || Semaphore::new((max_rows as usize).min(Semaphore::MAX_PERMITS));
        Self { interactive: semaphore(), background: semaphore(), max_rows }
    }

    /// Waits until a chain of about `rows` rows may begin. A chain beyond the whole limit runs alone. `None` if the chain is
    /// too small to count.
    pub(super) async fn acquire(&self, rows: usize, call_priority: &CallPriority) -> Option<SemaphorePermit<'_>> {
        if rows <= SMALL_CHAIN_ROWS {
            return None;
        }
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).min(self.max_rows);
        let mut changes = call_priority.priority.clone();
        loop {
            let semaphore = match *changes.borrow_and_update() {
                Priority::Interactive => &self.interactive,
                Priority::Background => &self.background,
            };
            tokio::select! {
                permit = semaphore.acquire_many(rows) => return permit.ok(),
                Ok(()) = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use tokio::sync::watch;

    use super::*;
    use crate::source::CallerId;

    #[tokio::test]
    async fn large_chains_wait_for_each_other_and_a_raised_priority_uses_the_other_half() {
        let limit = LoadingLimit::new(2 * 10_000 * BYTES_PER_ROW);
        let (raise, priority) = watch::channel(Priority::Background);
        let background = CallPriority { caller: CallerId(1), rank: 0, priority };

        let first = limit.acquire(50_000, &background).await;
        assert!(first.is_some());
        assert!(limit.acquire(SMALL_CHAIN_ROWS, &background).await.is_none());
        let mut second = pin!(limit.acquire(3_000, &background));
        assert!(second.as_mut().now_or_never().is_none());

        raise.send(Priority::Interactive).unwrap();
        assert!(second.now_or_never().is_some());
        assert!(limit.acquire(10_000, &background).now_or_never().is_some());
        drop(first);
    }
}
