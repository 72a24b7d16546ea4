//! Writes what waits: off the path of every answer, however long the archive is down.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future;

use super::{Archive, NotDone, health::Exchange};
use crate::{
    model::{Backoff, DayKey},
    report::digest,
    table::{Partition, parquet},
};

/// Files written at the same time.
const WRITERS: usize = 8;

/// How long to wait before a failed archive is written to again.
const AGAIN: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

impl Archive {
    /// Writes a final day, some time soon.
    pub(super) fn keep(self: &Arc<Self>, day: &Arc<Partition>) {
        let added = self.backlog.add(Arc::clone(day));
        if added.forgone > 0 {
            self.watch.forgone(added.forgone);
            tracing::warn!(days = added.forgone, "too many days wait for the archive; some will not be in it");
        }
        if added.unattended {
            tokio::spawn(Arc::clone(self).write_backlog());
        }
    }

    /// Done when the day does not wait to be written any more.
    pub async fn settled(&self, key: &DayKey) {
        self.backlog.settled(key).await;
    }

    /// Writes what waits now, because the process is about to end. What is not written within `limit` is named in the log:
    /// it is fetched again when it is next asked for.
    pub async fn flush(&self, limit: Duration) {
        self.hurry.notify_one();
        if tokio::time::timeout(limit, self.backlog.emptied()).await.is_err() {
            let days: Vec<String> = self.backlog.keys().iter().map(DayKey::to_string).collect();
            tracing::error!(days = days.join(", "), "days that were fetched could not be archived before the end");
        }
    }

    /// Writes until nothing waits any more.
    async fn write_backlog(self: Arc<Self>) {
        let (mut failing, mut failures) = (BTreeSet::new(), 0);
        loop {
            let writing = self.writing.read().await;
            let days = self.backlog.next(WRITERS);
            if days.is_empty() {
                return;
            }
            let written = future::join_all(days.iter().map(|day| self.write(day))).await;
            drop(writing);
            for (day, written) in days.iter().zip(&written) {
                match written {
                    Ok(()) => drop(failing.remove(day.key())),
                    Err(error) => {
                        failing.insert(day.key().clone());
                        self.watch.ill(Exchange::Writing, error);
                    }
                }
            }
            // A day that was forgotten fails no more.
            failing.retain(|key| self.backlog.get(key).is_some());
            if failing.is_empty() {
                self.watch.well(Exchange::Writing);
            }
            failures = if written.iter().any(Result::is_ok) { 0 } else { failures + 1 };
            if failures > 0 {
                let wait = AGAIN.base.max(AGAIN.wait(failures, fastrand::f64()));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.hurry.notified() => {}
                }
            }
        }
    }

    /// Writes a day. One that cannot even be encoded is given up.
    async fn write(&self, day: &Arc<Partition>) -> Result<(), NotDone> {
        let encoding = tokio::task::spawn_blocking({
            let day = Arc::clone(day);
            move || parquet::encode(&day, &digest::store(&day))
        });
        let file = match encoding.await {
            Ok(Ok(file)) => file,
            failed => {
                let reason = failed.map(|encoded| encoded.err().map(|error| error.to_string()));
                tracing::error!(key = %day.key(), ?reason, "a day cannot be written as Parquet and is not archived");
                self.backlog.written(day);
                return Ok(());
            }
        };
        let bytes = file.len();
        self.shelves.write(day.key(), file).await?;
        tracing::debug!(key = %day.key(), rows = day.rows(), bytes, "a day was archived");
        self.backlog.written(day);
        Ok(())
    }
}
