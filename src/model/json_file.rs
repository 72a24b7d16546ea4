//! Small state files in JSON, written atomically.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

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

/// Writes the file atomically: if the process is killed or the power fails during the write, the file has its old or its
/// new content. Only this user can read it. Creates missing folders.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temp_path = path.with_extension("new");
    // A file that is left over would keep its permissions.
    match fs::remove_file(&temp_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temp_path)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    // Otherwise the new name can become durable before the content.
    file.sync_all()?;
    fs::rename(temp_path, path)
}
