//! Small state files in JSON, written atomically.

use std::{fs, io, path::Path};

use serde::{Serialize, de::DeserializeOwned};

/// The content of the file at `path`. `None` if there is no file.
///
/// # Errors
/// If the file cannot be read or parsed.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the file atomically, so that a process that is killed during the write leaves the old file intact. Creates
/// missing folders.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temp_path = path.with_extension("new");
    fs::write(&temp_path, serde_json::to_vec_pretty(content)?)?;
    fs::rename(temp_path, path)
}
