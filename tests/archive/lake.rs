//! A folder that gateways archive into, one after another or side by side, and a look at its files.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use feishu_pulse::{sim::SimConfig, store::Location};
use tempfile::TempDir;

use crate::support::Setup;

/// Ten final days, by the clock of [`Setup`].
pub(crate) const RANGE: &str = "start_date=2026-11-11&end_date=2026-11-20";
pub(crate) const DAYS: usize = 10;

/// A folder for an archive; it vanishes with the test.
pub(crate) struct Lake {
    folder: TempDir,
}

impl Lake {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A gateway that archives here, before a simulated Feishu of its own: always the same tenant.
    pub(crate) async fn gateway(&self) -> Setup {
        self.gateway_before(SimConfig { users: 60, ..SimConfig::default() }).await
    }

    pub(crate) async fn gateway_before(&self, simulation: SimConfig) -> Setup {
        let location = Location::Folder(self.root().to_owned());
        Setup::with(simulation, |config| config.archive = location).await
    }

    /// The same, at another time.
    pub(crate) async fn gateway_at(&self, now: &str) -> Setup {
        let gateway = self.gateway().await;
        gateway.set_time(now);
        gateway
    }

    pub(crate) fn file(&self, day: &str) -> PathBuf {
        self.root().join(format!("user_days/geo=cn/user_id_type=open_id/date={day}/part-0.parquet"))
    }

    /// All files below the folder, by their names relative to it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            // What is deleted meanwhile is not there.
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let Ok(path) = entry.map(|entry| entry.path()) else { continue };
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let relative = path.strip_prefix(self.root()).expect("a path below");
                    found.push(relative.to_str().expect("UTF-8").to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// The files of days among them.
    pub(crate) fn days(&self) -> Vec<String> {
        self.files().into_iter().filter(|name| name.starts_with("user_days/")).collect()
    }

    /// Waits until so many days have a file.
    pub(crate) async fn holds(&self, days: usize) {
        eventually(async || self.days().iter().filter(|name| name.ends_with(".parquet")).count() == days).await;
    }
}

/// Waits for what is done in the background.
pub(crate) async fn eventually(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come to that within 20 s");
}
