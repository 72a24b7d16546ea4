//! The keys file as it is now: read again when it changes.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use super::keys::{Keys, LineFault};
use crate::meter::{Exposition, Meter};

/// How often it is looked whether the file has changed. Reading it is cheaper than being told, and works on every file
/// system, and where a whole folder is exchanged, as Kubernetes does.
const POLL: Duration = Duration::from_secs(5);

/// The keys of a file.
#[derive(Debug)]
pub struct KeysFile {
    path: PathBuf,
    has_pseudonyms: bool,
    keys: RwLock<Arc<Keys>>,
    /// What was read last, and whether it was faulty.
    last: Mutex<(String, Option<UnusableKeys>)>,
}

/// Why a keys file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusableKeys {
    /// It cannot be read.
    Unreadable(Arc<str>),
    /// These lines are faulty.
    Faulty(Arc<[LineFault]>),
}

impl KeysFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Where it cannot be read, or a line is faulty.
    pub fn open(path: &Path, has_pseudonyms: bool) -> Result<Self, UnusableKeys> {
        let text = read(std::fs::read_to_string(path))?;
        let keys = parse(&text, has_pseudonyms)?;
        let (path, keys) = (path.to_owned(), RwLock::new(Arc::new(keys)));
        Ok(Self { path, has_pseudonyms, keys, last: Mutex::new((text, None)) })
    }

    /// The keys that count now.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file was found faulty when it was last read, so that the keys before it still count.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).1.is_some()
    }

    /// Reads the file again whenever it has changed, for ever.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            self.look(tokio::fs::read_to_string(&self.path).await);
        }
    }

    /// Takes up what was read. A faulty file changes nothing but what is told of it.
    fn look(&self, text: io::Result<String>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(text).and_then(|text| {
            if last.0 == text {
                return Ok(None);
            }
            last.0 = text;
            parse(&last.0, self.has_pseudonyms).map(Some)
        });
        match read {
            Ok(Some(keys)) => {
                tracing::info!(keys = keys.len(), "the keys file has changed and counts from now on");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                last.1 = None;
            }
            // As it was when it was read last, but for an interval at which it could not be read.
            Ok(None) if matches!(last.1, Some(UnusableKeys::Unreadable(_))) => last.1 = None,
            Ok(None) => {}
            Err(fault) if last.1.as_ref() == Some(&fault) => {}
            Err(fault) => {
                tracing::error!(%fault, "the keys file cannot be used as it is now; the keys before it still count");
                last.1 = Some(fault);
            }
        }
    }
}

fn read(text: io::Result<String>) -> Result<String, UnusableKeys> {
    text.map_err(|error| UnusableKeys::Unreadable(error.to_string().into()))
}

fn parse(text: &str, has_pseudonyms: bool) -> Result<Keys, UnusableKeys> {
    Keys::parse(text, has_pseudonyms).map_err(|faults| UnusableKeys::Faulty(faults.into()))
}

impl fmt::Display for UnusableKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::Faulty(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                f.write_str(&faults.join("; "))
            }
        }
    }
}

impl std::error::Error for UnusableKeys {}

impl Meter for KeysFile {
    fn write(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_access_keys", "Access keys that count now.").value(self.keys().len() as f64);
        page.gauge(
            "feishu_pulse_access_keys_file_faulty",
            "1 where the keys file was faulty when it was last read, so that the keys before it still count.",
        )
        .value(f64::from(u8::from(self.is_faulty())));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::access::{Fingerprint, KeyLine, Scope};

    fn line(name: &str) -> String {
        let (sha256, scopes) = (Fingerprint::of(name).to_string(), vec![Scope::ReportsRead]);
        KeyLine { name: name.to_owned(), sha256, scopes, departments: None, pseudonymous: false }.to_string()
    }

    fn knows(file: &KeysFile, name: &str) -> bool {
        file.keys().holder(name).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_counts_within_seconds_and_a_faulty_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, line("one")).unwrap();
        let file = Arc::new(KeysFile::open(&path, false).unwrap());
        assert!(knows(&file, "one"));
        let look = || file.look(fs::read_to_string(&path));

        fs::write(&path, line("two")).unwrap();
        look();
        assert!(knows(&file, "two") && !knows(&file, "one") && !file.is_faulty());

        fs::write(&path, "nonsense").unwrap();
        look();
        assert!(knows(&file, "two") && file.is_faulty());

        fs::remove_file(&path).unwrap();
        look();
        assert!(knows(&file, "two") && file.is_faulty());

        fs::write(&path, line("three")).unwrap();
        look();
        assert!(knows(&file, "three") && !file.is_faulty());
    }

    #[test]
    fn a_gateway_does_not_start_with_a_faulty_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert!(matches!(KeysFile::open(&path, false), Err(UnusableKeys::Unreadable(_))));
        fs::write(&path, "nonsense\n\nmore").unwrap();
        let fault = KeysFile::open(&path, false).unwrap_err().to_string();
        assert!(fault.contains("line 1") && fault.contains("line 3"), "{fault}");
    }
}
