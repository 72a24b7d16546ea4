//! The file of the fetch history, which keeps the row counts of days across restarts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::fetch_history::{DayRecord, FetchHistory};
use crate::model::json_file;

/// Interval at which a changed history is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// Writes the fetch history to a file. The last write happens on drop.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    history: Arc<FetchHistory>,
    written: Vec<DayRecord>,
}

/// The content of the file, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PersistedHistory {
    days: Vec<DayRecord>,
}

impl HistoryFile {
    /// Reads the file at `path` into `history`. A missing file is ignored. An unreadable file is logged and ignored.
    pub fn open(path: PathBuf, history: Arc<FetchHistory>) -> Self {
        match json_file::read::<PersistedHistory>(&path) {
            Ok(content) => history.restore(content.unwrap_or_default().days),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the fetch history cannot be read; it is ignored");
            }
        }
        Self { path, written: history.to_records(), history }
    }

    /// Spawns a task that writes the file whenever the history has changed, until the runtime ends.
    pub fn spawn_writer(mut self) {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WRITE_INTERVAL).await;
                self.write_if_changed();
            }
        });
    }

    fn write_if_changed(&mut self) {
        let days = self.history.to_records();
        if days == self.written {
            return;
        }
        match json_file::write(&self.path, &PersistedHistory { days: days.clone() }) {
            Ok(()) => self.written = days,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the fetch history cannot be written");
            }
        }
    }
}

impl Drop for HistoryFile {
    fn drop(&mut self) {
        self.write_if_changed();
    }
}
