//! The state file: keeps the call count of the month, whether the quota is exhausted, and the learned rate limit across
//! restarts.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adaptive_throttle::{LearnedLimit, Throttle};
use serde::{Deserialize, Serialize};

use super::quota::{MonthlyCalls, MonthlyQuota};
use crate::{
    model::{Clock, json_file},
    source::CallerId,
};

/// Interval at which changed state is written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// Writes the state file. The last write happens on drop.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    quota: Arc<MonthlyQuota>,
    throttle: Throttle<CallerId>,
    clock: Arc<dyn Clock>,
}

/// The content of the file, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PersistedState {
    calls: MonthlyCalls,
    limit: Option<LearnedLimit>,
}

impl StateFile {
    /// Reads the file at `path` and restores `quota` and `throttle` from it. A missing file is ignored. An unreadable
    /// file is logged and ignored.
    pub fn open(path: PathBuf, quota: Arc<MonthlyQuota>, throttle: Throttle<CallerId>, clock: Arc<dyn Clock>) -> Self {
        match json_file::read::<PersistedState>(&path) {
            Ok(Some(content)) => {
                quota.restore(&content.calls);
                if let Some(limit) = &content.limit {
                    throttle.restore(limit, clock.now());
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the state file cannot be read; it is ignored");
            }
        }
        Self { path, quota, throttle, clock }
    }

    /// Spawns a task that writes the file whenever the state has changed, until the runtime ends.
    pub fn spawn_writer(self) {
        tokio::spawn(async move {
            let mut written = None;
            loop {
                tokio::time::sleep(WRITE_INTERVAL).await;
                let content = self.content();
                if written.as_ref() != Some(&content) {
                    self.write(&content);
                    written = Some(content);
                }
            }
        });
    }

    fn content(&self) -> PersistedState {
        PersistedState { calls: self.quota.calls_this_month(), limit: self.throttle.learned_limit(self.clock.now()) }
    }

    fn write(&self, content: &PersistedState) {
        if let Err(error) = json_file::write(&self.path, content) {
            tracing::warn!(path = %self.path.display(), %error, "the state file cannot be written");
        }
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        self.write(&self.content());
    }
}

/// The call count in the state file at `path`. `None` if there is no file.
///
/// # Errors
/// If the file cannot be read or parsed.
pub fn recorded_calls(path: &Path) -> io::Result<Option<MonthlyCalls>> {
    Ok(json_file::read::<PersistedState>(path)?.map(|content| content.calls))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use adaptive_throttle::ThrottleConfig;

    use super::*;
    use crate::{feishu::quota::QuotaConfig, model::ManualClock, source::Priority};

    fn open(path: &Path) -> StateFile {
        let now = "2026-11-22T04:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let quota = Arc::new(MonthlyQuota::new(QuotaConfig::default(), clock.clone()));
        StateFile::open(path.into(), quota, Throttle::new(&ThrottleConfig::default()), clock)
    }

    #[test]
    fn the_call_count_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/upstream.json");

        let first = open(&path);
        first.quota.charge(Priority::Interactive).unwrap().commit();
        drop(first);

        assert_eq!(open(&path).quota.calls_this_month().calls, 1);
    }

    #[test]
    fn an_unreadable_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upstream.json");
        fs::write(&path, "{\"calls\":").unwrap();

        assert_eq!(open(&path).quota.calls_this_month().calls, 0);
    }
}
