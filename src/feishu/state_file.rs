//! What a restart must not forget of the upstream: the month's calls and the limit that was found. One small file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    quota::{MonthlyCalls, Quota},
    throttle::{Learned, Throttle},
};
use crate::model::Clock;

/// How often what has changed is written.
const EVERY: Duration = Duration::from_secs(10);

/// Keeps the memo up to date. Dropping it writes it once more.
#[derive(Debug)]
pub struct Memo {
    path: PathBuf,
    quota: Arc<Quota>,
    throttle: Throttle,
    clock: Arc<dyn Clock>,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Content {
    calls: MonthlyCalls,
    limit: Option<Learned>,
}

impl Memo {
    /// Reads what a former process left at `path`, and hands it to those whom it concerns. A file that is missing or
    /// makes no sense is as good as none.
    pub fn open(path: PathBuf, quota: Arc<Quota>, throttle: Throttle, clock: Arc<dyn Clock>) -> Self {
        match read(&path) {
            Ok(Some(content)) => {
                quota.resume(&content.calls);
                if let Some(limit) = &content.limit {
                    throttle.recall(limit, clock.now());
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what is known of the upstream cannot be read");
            }
        }
        Self { path, quota, throttle, clock }
    }

    /// Writes the memo again and again, for as long as the runtime lives.
    pub fn keep(self) {
        tokio::spawn(async move {
            let mut written = None;
            loop {
                tokio::time::sleep(EVERY).await;
                let content = self.content();
                if written.as_ref() != Some(&content) {
                    self.write(&content);
                    written = Some(content);
                }
            }
        });
    }

    fn content(&self) -> Content {
        Content { calls: self.quota.made(), limit: self.throttle.learned(self.clock.now()) }
    }

    fn write(&self, content: &Content) {
        if let Err(error) = write(&self.path, content) {
            tracing::warn!(path = %self.path.display(), %error, "what is known of the upstream cannot be written");
        }
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.write(&self.content());
    }
}

/// The calls that a gateway has noted at `path`; `None` where there is no such file yet.
///
/// # Errors
/// Where the file cannot be read, or makes no sense.
pub fn noted_calls(path: &Path) -> io::Result<Option<MonthlyCalls>> {
    Ok(read(path)?.map(|content| content.calls))
}

fn read(path: &Path) -> io::Result<Option<Content>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole or not at all: a process that is killed half-way leaves the file as it was.
fn write(path: &Path, content: &Content) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec_pretty(content)?)?;
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feishu::{quota::QuotaConfig, throttle::ThrottleConfig},
        model::ManualClock,
        source::Priority,
    };

    fn memo(path: &Path) -> Memo {
        let now = "2026-11-22T04:00:00Z".parse().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        let quota = Arc::new(Quota::new(QuotaConfig::default(), clock.clone()));
        Memo::open(path.into(), quota, Throttle::new(&ThrottleConfig::default()), clock)
    }

    #[test]
    fn calls_are_counted_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/upstream.json");

        let first = memo(&path);
        first.quota.charge(Priority::Interactive).unwrap().spend();
        drop(first);

        assert_eq!(memo(&path).quota.made().calls, 1);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("upstream.json");
        fs::write(&path, "{\"calls\":").unwrap();

        assert_eq!(memo(&path).quota.made().calls, 0);
    }
}
