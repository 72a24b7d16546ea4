//! A folder for the archives of one or more gateways, and helpers to inspect its files.

use std::path::{Path, PathBuf};

use feishu_pulse::store::ArchiveLocation;
use feishu_simulator::SimulatorConfig;
use tempfile::TempDir;

use crate::support::{Setup, eventually};

/// Ten days that are final at the time of [`Setup`].
pub(crate) const RANGE: &str = "start_date=2026-11-11&end_date=2026-11-20";
pub(crate) const DAYS: usize = 10;

/// A temporary folder for an archive.
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

    /// A gateway that archives here. Its simulated Feishu always has the same tenant.
    pub(crate) async fn gateway(&self) -> Setup {
        self.gateway_with(SimulatorConfig { users: 60, ..SimulatorConfig::default() }).await
    }

    pub(crate) async fn gateway_with(&self, simulation: SimulatorConfig) -> Setup {
        let location = ArchiveLocation::Folder(self.root().to_owned());
        Setup::with(simulation, |config| config.archive = location).await
    }

    /// The same gateway at another time.
    pub(crate) async fn gateway_at(&self, now: &str) -> Setup {
        let gateway = self.gateway().await;
        gateway.set_time(now);
        gateway
    }

    pub(crate) fn file(&self, day: &str) -> PathBuf {
        self.root().join(format!("user_days/geo=cn/user_id_type=open_id/date={day}/part-0.parquet"))
    }

    /// The paths of all files below the folder, relative to it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            // Files that are deleted during the walk are skipped.
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

    /// The files of days.
    pub(crate) fn days(&self) -> Vec<String> {
        self.files().into_iter().filter(|name| name.starts_with("user_days/")).collect()
    }

    /// Waits until exactly `days` days have a file.
    pub(crate) async fn holds(&self, days: usize) {
        eventually(async || self.days().iter().filter(|name| name.ends_with(".parquet")).count() == days).await;
    }
}
