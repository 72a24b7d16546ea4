//! The metadata of a file of the archive, stored in Parquet's key-value metadata.

use std::str::FromStr;

use jiff::Timestamp;
use parquet::file::metadata::KeyValue;

use super::{read_error::ParquetReadError, schema::SCHEMA_VERSION};
use crate::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    table::{DayMetadata, DayTable, day_table::ContentHash},
};

/// The prefix of all keys, which distinguishes them from keys of other programs.
const PREFIX: &str = "feishu_pulse.";

/// The metadata of a file: the key of the day, and the row count and hash for verifying the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMetadata {
    /// The key of the day. Its scope is always [`DataScope::Everyone`].
    pub key: DayKey,
    /// When the day was requested from Feishu.
    pub fetched_at: Timestamp,
    /// The number of rows.
    pub rows: usize,
    /// The content hash of the rows.
    pub hash: ContentHash,
    /// Whether rows may be missing although Feishu reported no failure.
    pub doubtful: bool,
}

impl DayMetadata for FileMetadata {
    fn key(&self) -> &DayKey {
        &self.key
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched_at
    }

    fn row_count(&self) -> usize {
        self.rows
    }

    fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    fn hash(&self) -> &ContentHash {
        &self.hash
    }
}

impl FileMetadata {
    /// The metadata of a day.
    #[must_use]
    pub fn of(day: &DayTable) -> Self {
        Self {
            key: day.key().everyone(),
            fetched_at: day.fetched_at(),
            rows: day.row_count(),
            hash: *day.hash(),
            doubtful: day.is_doubtful(),
        }
    }

    pub(super) fn write(&self) -> Vec<KeyValue> {
        let pairs = [
            ("schema_version", SCHEMA_VERSION.to_string()),
            ("geo", self.key.geo.to_string()),
            ("user_id_type", self.key.user_id_type.name().to_owned()),
            ("date", self.key.day.to_string()),
            ("fetched_at", self.fetched_at.to_string()),
            ("rows", self.rows.to_string()),
            ("content_hash", format_hash(&self.hash)),
            ("doubtful", self.doubtful.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| KeyValue::new(format!("{PREFIX}{name}"), value)).collect()
    }

    pub(super) fn read(pairs: &[KeyValue]) -> Result<Self, ParquetReadError> {
        let version = parse_value::<u32>(pairs, "schema_version")?;
        if version > SCHEMA_VERSION {
            return Err(ParquetReadError::TooNew { found: version });
        }
        let key = DayKey {
            geo: parse_value::<Geo>(pairs, "geo")?,
            user_id_type: parse_value::<UserIdType>(pairs, "user_id_type")?,
            scope: DataScope::Everyone,
            day: parse_value::<Day>(pairs, "date")?,
        };
        Ok(Self {
            key,
            fetched_at: parse_value(pairs, "fetched_at")?,
            rows: parse_value(pairs, "rows")?,
            hash: parse_hash(&parse_value::<String>(pairs, "content_hash")?)
                .ok_or_else(|| invalid_key("content_hash"))?,
            doubtful: parse_value(pairs, "doubtful")?,
        })
    }
}

/// The byte range of the attachment in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttachmentRange {
    pub(super) offset: usize,
    pub(super) length: usize,
}

impl AttachmentRange {
    pub(super) fn write(self) -> KeyValue {
        KeyValue::new(format!("{PREFIX}attachment"), format!("{}+{}", self.offset, self.length))
    }

    pub(super) fn read(pairs: &[KeyValue]) -> Option<Self> {
        let value = parse_value::<String>(pairs, "attachment").ok()?;
        let (offset, length) = value.split_once('+')?;
        Some(Self { offset: offset.parse().ok()?, length: length.parse().ok()? })
    }
}

fn parse_value<T: FromStr>(pairs: &[KeyValue], name: &str) -> Result<T, ParquetReadError> {
    let pair = pairs.iter().find(|pair| pair.key.strip_prefix(PREFIX) == Some(name));
    let value = pair.and_then(|pair| pair.value.as_ref()).and_then(|value| value.parse().ok());
    value.ok_or_else(|| invalid_key(name))
}

fn invalid_key(name: &str) -> ParquetReadError {
    ParquetReadError::damaged(format_args!("the metadata {PREFIX}{name} is missing or invalid"))
}

fn format_hash(hash: &ContentHash) -> String {
    format!("{:032x}", u128::from_be_bytes(*hash))
}

fn parse_hash(text: &str) -> Option<ContentHash> {
    let is_valid = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_valid.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}
