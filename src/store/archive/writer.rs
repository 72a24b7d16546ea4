//! Archive writer: writes the backlog to the archive in the background, so that no request waits for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future;
use moka::sync::Cache;
use tokio::sync::{Notify, RwLock};

use super::{
    backlog::Backlog,
    health::{HealthMonitor, StorageOperation},
    object_storage::ObjectStorage,
    storage_error::StorageError,
};
use crate::{
    model::{Backoff, DayKey},
    report::digest,
    source::run_day_task,
    table::{DayTable, parquet},
};

/// Number of files that are written at the same time.
const BATCH_DAYS: usize = 8;

/// Wait between attempts to write to a failing archive.
const RETRY_BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// Limit of the backlog, in bytes: about one year of 20,000 people. It is reached only while the archive fails.
const MAX_BACKLOG_BYTES: usize = 256 << 20;

/// How long after its write a day is removed again if another replica has removed it. Longer than a replica that leads no
/// more takes to read that.
const RECENT: Duration = Duration::from_secs(120);

/// Limit of the days that are known to be recently written: more than are written in that time.
const MAX_RECENT_DAYS: u64 = 10_000;

/// Part of the backlog that is written at the same time, if a day is smaller. Encoding takes about ten times the memory of a
/// day.
const BATCH_BYTES_DIVISOR: usize = 16;

/// Writes days to an archive.
#[derive(Debug)]
pub(super) struct ArchiveWriter {
    storage: Arc<ObjectStorage>,
    health: Arc<HealthMonitor>,
    backlog: Backlog,
    /// Size of the backlog in bytes above which no further days are fetched.
    backlog_bytes: usize,
    /// Write tasks hold this lock in shared mode, and a removal holds it in exclusive mode.
    write_lock: RwLock<()>,
    /// Ends the wait after a failure.
    flush_requested: Notify,
    /// The days that were written in the last minutes.
    recently_written: Cache<DayKey, ()>,
}

impl ArchiveWriter {
    pub(super) fn new(storage: Arc<ObjectStorage>, health: Arc<HealthMonitor>) -> Self {
        Self {
            storage,
            health,
            backlog: Backlog::new(MAX_BACKLOG_BYTES),
            backlog_bytes: MAX_BACKLOG_BYTES / 2,
            write_lock: RwLock::default(),
            flush_requested: Notify::new(),
            recently_written: Cache::builder().time_to_live(RECENT).max_capacity(MAX_RECENT_DAYS).build(),
        }
    }

    /// Sets the size of the backlog above which no further days are fetched.
    pub(super) fn with_backlog_bytes(self, bytes: usize) -> Self {
        Self { backlog_bytes: bytes.min(MAX_BACKLOG_BYTES / 2), ..self }
    }

    /// Waits while the backlog is too large, unless writes fail.
    pub(super) async fn wait_for_room(&self) {
        self.backlog.wait_until(|bytes| bytes <= self.backlog_bytes || self.health.is_write_failing()).await;
    }

    /// The days that wait to be written.
    pub(super) const fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Adds a final day to the backlog and starts the writer if necessary.
    pub(super) fn enqueue(self: &Arc<Self>, day: &Arc<DayTable>) {
        let added = self.backlog.push(Arc::clone(day));
        if added.dropped > 0 {
            self.health.record_dropped(added.dropped);
            tracing::warn!(days = added.dropped, "too many days wait to be archived; the earliest were dropped");
        }
        if added.needs_writer {
            tokio::spawn(Arc::clone(self).write_backlog());
        }
    }

    /// Drops the write of a day that another replica has deleted. If it may have been written after the deletion, the day is
    /// removed again.
    pub(super) fn apply_deletion(self: &Arc<Self>, key: &DayKey) {
        let may_be_written = self.backlog.get(key).is_some() || self.recently_written.contains_key(key);
        self.backlog.remove(key);
        if may_be_written {
            let (writer, key) = (Arc::clone(self), key.clone());
            tokio::spawn(async move {
                if let Err(error) = writer.remove(&key).await {
                    tracing::error!(%key, %error, "a day that another replica has deleted may be in the archive again");
                }
            });
        }
    }

    /// Removes a day from the archive and from the backlog.
    pub(super) async fn remove(&self, key: &DayKey) -> Result<(), StorageError> {
        // Waits until no write is in progress.
        let _exclusive = self.write_lock.write().await;
        self.backlog.remove(key);
        self.record_write(self.storage.remove(key).await)
    }

    /// Records the result of a write outside the backlog.
    pub(super) fn record_write(&self, done: Result<(), StorageError>) -> Result<(), StorageError> {
        match &done {
            // While days wait in the backlog, their writes decide when writes succeed again.
            Ok(()) if self.backlog.len() > 0 => {}
            Ok(()) => self.health.record_success(StorageOperation::Writing),
            Err(error) => self.health.record_failure(StorageOperation::Writing, error),
        }
        done
    }

    /// Waits until the day is written or dropped.
    pub(super) async fn wait_until_written(&self, key: &DayKey) {
        self.backlog.wait_until_removed(key).await;
    }

    /// Waits up to `limit` for the backlog to be written, and cuts short any retry wait. Called before the process
    /// ends. Days that are still not written are logged; they are fetched again on the next request.
    pub(super) async fn flush(&self, limit: Duration) {
        self.flush_requested.notify_one();
        if tokio::time::timeout(limit, self.backlog.wait_until_empty()).await.is_err() {
            let days: Vec<String> = self.backlog.keys().iter().map(DayKey::to_string).collect();
            tracing::error!(days = days.join(", "), "fetched days could not be archived before the process ended");
        }
    }

    /// Writes until the backlog is empty.
    async fn write_backlog(self: Arc<Self>) {
        let (mut failing, mut failures) = (BTreeSet::new(), 0);
        loop {
            let write_guard = self.write_lock.read().await;
            let days = self.backlog.next_batch(BATCH_DAYS, self.backlog_bytes / BATCH_BYTES_DIVISOR);
            if days.is_empty() {
                return;
            }
            let written = future::join_all(days.iter().map(|day| self.write(day))).await;
            drop(write_guard);
            for (day, written) in days.iter().zip(&written) {
                match written {
                    Ok(()) => drop(failing.remove(day.key())),
                    Err(error) => {
                        failing.insert(day.key().clone());
                        self.health.record_failure(StorageOperation::Writing, error);
                    }
                }
            }
            // A day that was removed from the backlog no longer counts as failing.
            failing.retain(|key| self.backlog.get(key).is_some());
            if failing.is_empty() {
                self.health.record_success(StorageOperation::Writing);
            }
            failures = if written.iter().any(Result::is_ok) { 0 } else { failures + 1 };
            if failures > 0 {
                // Those who wait for room wait no longer.
                self.backlog.notify();
                let wait = RETRY_BACKOFF.base.max(RETRY_BACKOFF.delay(failures, fastrand::f64()));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.flush_requested.notified() => {}
                }
            }
        }
    }

    /// Writes a day. A day that cannot be encoded is dropped.
    async fn write(&self, day: &Arc<DayTable>) -> Result<(), StorageError> {
        let encoding = run_day_task({
            let day = Arc::clone(day);
            move || parquet::encode(&day, &digest::encode_digest(&day))
        });
        let file = match encoding.await {
            Ok(Ok(file)) => file,
            failed => {
                let reason = failed.map(|encoded| encoded.err().map(|error| error.to_string()));
                tracing::error!(key = %day.key(), ?reason, "a day cannot be encoded as Parquet and is not archived");
                self.backlog.remove_written(day);
                return Ok(());
            }
        };
        let bytes = file.len();
        self.storage.write(day.key(), file).await?;
        self.recently_written.insert(day.key().clone(), ());
        tracing::debug!(key = %day.key(), rows = day.row_count(), bytes, "a day was archived");
        self.backlog.remove_written(day);
        Ok(())
    }
}
