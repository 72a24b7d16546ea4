//! Temporary files: deletes the unfinished files that a process leaves in a folder when it is killed during a write.
//!
//! The object store never lists such files. Other readers of the folder may take them for data.

use std::{fs, io, path::Path};

use jiff::{SignedDuration, Timestamp};

use super::layout::DAYS_FOLDER;

/// Only files older than this are deleted. A write takes at most one minute, so no process is still writing them.
const MIN_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Deletes the temporary files of killed processes in the folder of an archive, as of `now`.
pub(super) async fn remove_temp_files(archive: &Path, now: Timestamp) {
    let folder = archive.join(DAYS_FOLDER);
    if !folder.exists() {
        return;
    }
    match tokio::task::spawn_blocking(move || remove_old_temp_files(&folder, now)).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(files)) => tracing::info!(files, "unfinished files in the archive were deleted"),
        Ok(Err(error)) => tracing::warn!(%error, "the archive could not be searched for unfinished files"),
    }
}

/// Deletes old temporary files below a folder, as of `now`, and returns their number.
///
/// # Errors
/// The first error of the operating system.
fn remove_old_temp_files(folder: &Path, now: Timestamp) -> io::Result<usize> {
    let mut deleted = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            deleted += remove_old_temp_files(&entry.path(), now)?;
        } else if is_temp_file(&entry.path()) && is_old(&entry.metadata()?, now) {
            fs::remove_file(entry.path())?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Whether this is a temporary name of the object store: the final name, `#`, and a number.
fn is_temp_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_old(metadata: &fs::Metadata, now: Timestamp) -> bool {
    let written = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    written.is_some_and(|written| now.duration_since(written) > MIN_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_temporary_files_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("user_days/date=2026-11-01");
        fs::create_dir_all(&day).unwrap();
        for name in ["part-0.parquet", "part-0.parquet#1", "part-0.parquet#12", "notes #one"] {
            fs::write(day.join(name), "x").unwrap();
        }
        let written = Timestamp::try_from(day.join("part-0.parquet").metadata().unwrap().modified().unwrap()).unwrap();

        let early = remove_old_temp_files(folder.path(), written + SignedDuration::from_mins(5)).unwrap();
        let late = remove_old_temp_files(folder.path(), written + SignedDuration::from_mins(15)).unwrap();

        assert_eq!((early, late), (0, 2));
        assert!(day.join("part-0.parquet").exists() && day.join("notes #one").exists());
    }
}
