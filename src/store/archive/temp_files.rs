//! Temporary files: deletes the unfinished files that a process leaves in a folder when it is killed during a write.
//!
//! Unfinished files are in the staging folder. Earlier versions had them beside the files of days, under the final name
//! with `#` and a number, where other readers may take them for data.

use std::{fs, io, path::Path};

use super::layout::{DAYS_FOLDER, STAGING_FOLDER};

/// Deletes the unfinished files in the folder of an archive. Another gateway that is writing one of them writes it again.
pub(super) async fn remove_temp_files(archive: &Path) {
    let (staging, days) = (archive.join(STAGING_FOLDER), archive.join(DAYS_FOLDER));
    let removal = tokio::task::spawn_blocking(move || {
        Ok(remove_files(&staging, &|_| true)? + remove_files(&days, &is_temp_file)?)
    });
    match removal.await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(files)) => tracing::info!(files, "unfinished files in the archive were deleted"),
        Ok::<io::Result<usize>, _>(Err(error)) => {
            tracing::warn!(%error, "the archive could not be searched for unfinished files");
        }
    }
}

/// Deletes the files below a folder that `is_unfinished` accepts, and returns their number. Files and folders that
/// another process deletes meanwhile are skipped.
///
/// # Errors
/// The first error of the operating system.
fn remove_files(folder: &Path, is_unfinished: &dyn Fn(&Path) -> bool) -> io::Result<usize> {
    let Some(entries) = found(fs::read_dir(folder))? else { return Ok(0) };
    let mut deleted = 0;
    for entry in entries {
        let Some(entry) = found(entry)? else { continue };
        let Some(file_type) = found(entry.file_type())? else { continue };
        if file_type.is_dir() {
            deleted += remove_files(&entry.path(), is_unfinished)?;
        } else if is_unfinished(&entry.path()) {
            deleted += usize::from(found(fs::remove_file(entry.path()))?.is_some());
        }
    }
    Ok(deleted)
}

/// The result of an operation; `None` if the file does not exist.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        result => result.map(Some),
    }
}

/// Whether this is a temporary name of the object store: the final name, `#`, and a number.
fn is_temp_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_unfinished_files_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (day, staging) = (folder.path().join("user_days/date=2026-11-01"), folder.path().join("_staging"));
        for folder in [&day, &staging] {
            fs::create_dir_all(folder).unwrap();
        }
        for name in ["part-0.parquet", "part-0.parquet#1", "part-0.parquet#12", "notes #one"] {
            fs::write(day.join(name), "x").unwrap();
        }
        for name in ["_0123", "_0123#1"] {
            fs::write(staging.join(name), "x").unwrap();
        }

        remove_temp_files(folder.path()).await;

        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&day), ["notes #one", "part-0.parquet"]);
        assert!(names(&staging).is_empty());
    }
}
