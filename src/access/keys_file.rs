//! The keys file on disk, reloaded when it changes.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::access_keys::{AccessKeys, LineFault};
use crate::prometheus::{Collector, Exposition};

/// Interval at which the file is read. Polling works on every file system and also if a whole directory is exchanged,
/// as Kubernetes does with mounted secrets.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A keys file and the keys that were last read from it without a fault.
#[derive(Debug)]
pub struct KeysFile {
    path: PathBuf,
    has_pseudonym_key: bool,
    keys: RwLock<Arc<AccessKeys>>,
    /// What was read last; `error` is set if it was unusable.
    last_read: Mutex<LastRead>,
}

#[derive(Debug)]
struct LastRead {
    text: String,
    error: Option<KeysFileError>,
}

/// Why a keys file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFileError {
    /// The file cannot be read; the message of the operating system.
    Unreadable(Arc<str>),
    /// Lines are faulty.
    Faulty(Arc<[LineFault]>),
}

impl KeysFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`KeysFileError`], if it cannot be read or a line is faulty.
    pub fn open(path: &Path, has_pseudonym_key: bool) -> Result<Self, KeysFileError> {
        let text = readable(std::fs::read_to_string(path))?;
        let keys = parse(&text, has_pseudonym_key)?;
        let (path, keys) = (path.to_owned(), RwLock::new(Arc::new(keys)));
        Ok(Self { path, has_pseudonym_key, keys, last_read: Mutex::new(LastRead { text, error: None }) })
    }

    /// The keys in force.
    #[must_use]
    pub fn keys(&self) -> Arc<AccessKeys> {
        Arc::clone(&self.keys.read())
    }

    /// Whether the file was unusable when it was last read. The previous keys stay in force then.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.last_read.lock().error.is_some()
    }

    /// Reloads the file whenever it changes; never returns.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            self.apply(tokio::fs::read_to_string(&self.path).await);
        }
    }

    /// Applies what was read. On an error the previous keys stay in force and the error is logged, once until it
    /// changes.
    fn apply(&self, text: io::Result<String>) {
        let mut last = self.last_read.lock();
        let keys = readable(text).and_then(|text| {
            if last.text == text {
                return Ok(None);
            }
            last.text = text;
            parse(&last.text, self.has_pseudonym_key).map(Some)
        });
        match keys {
            Ok(Some(keys)) => {
                tracing::info!(keys = keys.len(), "reloaded the keys file");
                *self.keys.write() = Arc::new(keys);
                last.error = None;
            }
            // The file is readable again and has the same text as before.
            Ok(None) if matches!(last.error, Some(KeysFileError::Unreadable(_))) => last.error = None,
            Ok(None) => {}
            Err(fault) if last.error.as_ref() == Some(&fault) => {}
            Err(fault) => {
                tracing::error!(%fault, "the keys file is unusable; the previous keys stay in force until the file is corrected");
                last.error = Some(fault);
            }
        }
    }
}

fn readable(text: io::Result<String>) -> Result<String, KeysFileError> {
    text.map_err(|error| KeysFileError::Unreadable(error.to_string().into()))
}

fn parse(text: &str, has_pseudonym_key: bool) -> Result<AccessKeys, KeysFileError> {
    AccessKeys::parse(text, has_pseudonym_key).map_err(|faults| KeysFileError::Faulty(faults.into()))
}

impl fmt::Display for KeysFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "the file cannot be read: {error}"),
            Self::Faulty(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&faults.join("; "))
            }
        }
    }
}

impl std::error::Error for KeysFileError {}

impl Collector for KeysFile {
    fn collect(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_access_keys", "Access keys in force.").sample(self.keys().len() as f64);
        page.gauge(
            "feishu_pulse_access_keys_file_faulty",
            "1 if the keys file was unusable when it was last read; the previous keys stay in force.",
        )
        .sample(f64::from(u8::from(self.is_faulty())));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::access::{KeyHash, KeyLine, Scope};

    fn line(name: &str) -> String {
        let (sha256, scopes) = (KeyHash::of(name).to_string(), vec![Scope::ReportsRead]);
        KeyLine { name: name.to_owned(), sha256, scopes, departments: None, pseudonymous: false }.to_string()
    }

    fn accepts(file: &KeysFile, name: &str) -> bool {
        file.keys().caller_with_key(name).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_applied_and_a_faulty_one_leaves_the_previous_keys_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, line("one")).unwrap();
        let file = Arc::new(KeysFile::open(&path, false).unwrap());
        assert!(accepts(&file, "one"));
        let reload = || file.apply(fs::read_to_string(&path));

        fs::write(&path, line("two")).unwrap();
        reload();
        assert!(accepts(&file, "two") && !accepts(&file, "one") && !file.is_faulty());

        fs::write(&path, "nonsense").unwrap();
        reload();
        assert!(accepts(&file, "two") && file.is_faulty());

        fs::remove_file(&path).unwrap();
        reload();
        assert!(accepts(&file, "two") && file.is_faulty());

        fs::write(&path, line("three")).unwrap();
        reload();
        assert!(accepts(&file, "three") && !file.is_faulty());
    }

    #[test]
    fn a_gateway_does_not_start_with_a_faulty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(matches!(KeysFile::open(&path, false), Err(KeysFileError::Unreadable(_))));
        fs::write(&path, "nonsense\n\nmore").unwrap();
        let fault = KeysFile::open(&path, false).unwrap_err().to_string();
        assert!(fault.contains("line 1") && fault.contains("line 3"), "{fault}");
    }
}
