//! What a process that was killed in the middle of a write leaves in a folder: the file that had not got its name yet.
//!
//! The store never shows such files. Others who list the folder do, and some take every file in it for data.

use std::{fs, io, path::Path};

use jiff::{SignedDuration, Timestamp};

use super::{Archive, layout::DAYS};

/// A write takes no longer than a minute: what is older belongs to nobody who is still at it.
const OLD: SignedDuration = SignedDuration::from_mins(10);

impl Archive {
    /// Deletes what killed processes left behind, as of `now`. In a bucket they leave nothing.
    pub async fn sweep(&self, now: Timestamp) {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.join(DAYS)).filter(|folder| folder.exists()) else {
            return;
        };
        match tokio::task::spawn_blocking(move || sweep(&folder, now)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(files)) => tracing::info!(files, "files that were left unfinished in the archive were deleted"),
            Ok(Err(error)) => tracing::warn!(%error, "the archive could not be searched for unfinished files"),
        }
    }
}

/// Deletes what was left behind below a folder, as of `now`, and tells how many files that were.
///
/// # Errors
/// The first that the operating system reports.
fn sweep(folder: &Path, now: Timestamp) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            swept += sweep(&entry.path(), now)?;
        } else if is_unfinished(&entry.path()) && is_old(&entry.metadata()?, now) {
            fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Whether the store writes under that name what is to get another: the name, `#`, and a number.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_old(metadata: &fs::Metadata, now: Timestamp) -> bool {
    let written = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    written.is_some_and(|written| now.duration_since(written) > OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unfinished_and_old_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("user_days/date=2026-11-01");
        fs::create_dir_all(&day).unwrap();
        for name in ["part-0.parquet", "part-0.parquet#1", "part-0.parquet#12", "notes #one"] {
            fs::write(day.join(name), "x").unwrap();
        }
        let written = Timestamp::try_from(day.join("part-0.parquet").metadata().unwrap().modified().unwrap()).unwrap();

        let early = sweep(folder.path(), written + SignedDuration::from_mins(5)).unwrap();
        let late = sweep(folder.path(), written + SignedDuration::from_mins(15)).unwrap();

        assert_eq!((early, late), (0, 2));
        assert!(day.join("part-0.parquet").exists() && day.join("notes #one").exists());
    }
}
