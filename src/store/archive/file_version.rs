//! Version of a file in the object store.

use std::fmt::Write as _;

use object_store::ObjectMeta;
use sha2::{Digest as _, Sha256};

/// A version of a file. Two versions with different content differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    /// The entity tag, without quotes: one tested server sends them only in some responses.
    tag: Box<str>,
    /// Size of the file in bytes.
    pub(super) size: u64,
}

impl FileVersion {
    /// The version with this entity tag.
    pub(super) fn new(tag: &str, size: u64) -> Self {
        Self { tag: tag.trim_matches('"').into(), size }
    }

    /// The version in the metadata of an object; `None` if the store sends no strong entity tag. The time of a change has a
    /// precision of a second, so it does not distinguish versions.
    pub(super) fn of(object: &ObjectMeta) -> Option<Self> {
        let tag = object.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))?;
        Some(Self::new(tag, object.size))
    }

    /// A short name for file names.
    pub(super) fn name(&self) -> String {
        let hash = Sha256::digest(format!("{}+{}", self.tag, self.size));
        hash[..8].iter().fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })
    }
}
