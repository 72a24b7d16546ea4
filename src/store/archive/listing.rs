//! [`Listing`], the files of a series with their versions.

use std::{collections::BTreeMap, ops::Range};

use object_store::ObjectMeta;

use super::file_version::FileVersion;
use crate::model::Day;

/// Bytes to read for a file's footer, with the index of its pages before it, which takes about 75 bytes for a thousand people. Above
/// about 700,000 people the index is longer, and whole columns are read instead of pages.
const MAX_FOOTER_BYTES: u64 = 64 << 10;

/// The files of a series, by day.
pub(super) type Listing = BTreeMap<Day, ListedFile>;

/// A file in a listing. Different versions of a file compare as unequal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedFile {
    /// The entity tag, or the time of the last change.
    tag: String,
    /// Size in bytes.
    pub(super) size: u64,
    /// `None` if the store sends no entity tags.
    pub(super) version: Option<FileVersion>,
}

impl ListedFile {
    /// The file of this object.
    pub(super) fn of(object: ObjectMeta) -> Self {
        let version = FileVersion::of(&object);
        let tag = object.e_tag.unwrap_or_else(|| object.last_modified.to_string());
        Self { tag, size: object.size, version }
    }

    /// The end of the file, with its whole footer. It is an absolute range, because a tested store returns wrong data for a
    /// suffix range that is longer than the file.
    pub(super) fn footer(&self) -> Range<u64> {
        self.size.saturating_sub(MAX_FOOTER_BYTES)..self.size
    }
}
