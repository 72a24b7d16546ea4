//! Checks that other users of the machine cannot read the archive, its disk cache and the state.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::Path};

use super::{finding::Finding, remedy};
use crate::{app::GatewayConfig, store::ArchiveLocation};

/// The permissions of the group and of others.
const OTHER_USERS: u32 = 0o077;

/// A warning for each folder that exists and that other users may access.
pub(super) fn check(config: &GatewayConfig) -> Vec<Finding> {
    let archive = match &config.archive {
        ArchiveLocation::Folder(path) => Some(path.as_path()),
        ArchiveLocation::Bucket { .. } | ArchiveLocation::Memory | ArchiveLocation::Disabled => None,
    };
    let cache = config.archive_cache.as_ref().map(|cache| cache.folder.as_path());
    let state = config.feishu.state_file.as_deref().and_then(Path::parent);
    let folders: BTreeSet<&Path> = archive.into_iter().chain(cache).chain(state).collect();
    folders.into_iter().filter_map(check_folder).collect()
}

fn check_folder(path: &Path) -> Option<Finding> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o7777;
    let problem = || format!("{} has the permissions {mode:04o}", path.display());
    (mode & OTHER_USERS != 0).then(|| Finding::warning("permissions", problem(), remedy::wide_folder(path)))
}
