//! The metadata of a file of the archive, stored in Parquet's key-value metadata.

use std::str::FromStr;

use jiff::Timestamp;
use parquet::file::metadata::KeyValue;

use super::{read_error::ParquetReadError, schema::SCHEMA_VERSION};
use crate::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    table::{DayMetadata, DayTable, FetchQuality, day_table::ContentHash},
};

/// The prefix of all keys, which distinguishes them from keys of other programs.
const PREFIX: &str = "feishu_pulse.";

/// The keys of a [`FetchQuality`].
const QUALITY_KEYS: [&str; 4] = ["broken_off", "unreadable_rows", "unreadable_values", "clock_ahead"];

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
    /// The faults of the fetch.
    pub quality: FetchQuality,
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

    fn quality(&self) -> FetchQuality {
        self.quality
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
            quality: day.quality(),
        }
    }

    pub(super) fn write(&self) -> Vec<KeyValue> {
        let FetchQuality { broken_off, unreadable_rows, unreadable_values, clock_ahead } = self.quality;
        let pairs = [
            ("schema_version", SCHEMA_VERSION.to_string()),
            ("geo", self.key.geo.to_string()),
            ("user_id_type", self.key.user_id_type.name().to_owned()),
            ("date", self.key.day.to_string()),
            ("fetched_at", self.fetched_at.to_string()),
            ("rows", self.rows.to_string()),
            ("content_hash", format_hash(&self.hash)),
            // Earlier versions of the gateway read only this mark.
            ("doubtful", self.quality.is_doubtful().to_string()),
            ("broken_off", broken_off.to_string()),
            ("unreadable_rows", unreadable_rows.to_string()),
            ("unreadable_values", unreadable_values.to_string()),
            ("clock_ahead", clock_ahead.to_string()),
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
            quality: parse_quality(pairs)?,
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

/// The faults of the fetch. A file without them was written by an earlier version, which recorded only whether the day
/// is doubtful. At that time, this meant that the chain had ended early.
fn parse_quality(pairs: &[KeyValue]) -> Result<FetchQuality, ParquetReadError> {
    let doubtful = parse_value(pairs, "doubtful")?;
    // If only some of the keys are missing, the file is damaged.
    if QUALITY_KEYS.iter().all(|name| find_pair(pairs, name).is_none()) {
        return Ok(FetchQuality { broken_off: doubtful, ..FetchQuality::default() });
    }
    Ok(FetchQuality {
        broken_off: parse_value(pairs, "broken_off")?,
        unreadable_rows: parse_value(pairs, "unreadable_rows")?,
        unreadable_values: parse_value(pairs, "unreadable_values")?,
        clock_ahead: parse_value(pairs, "clock_ahead")?,
    })
}

fn find_pair<'a>(pairs: &'a [KeyValue], name: &str) -> Option<&'a KeyValue> {
    pairs.iter().find(|pair| pair.key.strip_prefix(PREFIX) == Some(name))
}

fn parse_value<T: FromStr>(pairs: &[KeyValue], name: &str) -> Result<T, ParquetReadError> {
    let pair = find_pair(pairs, name);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metadata(quality: FetchQuality) -> FileMetadata {
        let day = Day::new(2026, 11, 1).unwrap();
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        FileMetadata { key, fetched_at: Timestamp::UNIX_EPOCH, rows: 3, hash: ContentHash::default(), quality }
    }

    #[test]
    fn a_file_of_an_earlier_version_has_only_the_mark_of_a_doubtful_day() {
        for doubtful in [true, false] {
            let mut pairs = metadata(FetchQuality { broken_off: doubtful, ..FetchQuality::default() }).write();
            pairs.retain(|pair| !QUALITY_KEYS.contains(&&pair.key[PREFIX.len()..]));
            assert_eq!(pairs.len(), 8);

            let quality = FileMetadata::read(&pairs).unwrap().quality;

            assert_eq!(quality, FetchQuality { broken_off: doubtful, ..FetchQuality::default() });
        }
    }

    proptest! {
        #[test]
        fn the_faults_of_a_fetch_are_read_back(
            broken_off: bool, unreadable_rows: u32, unreadable_values: u32, clock_ahead: bool,
        ) {
            let written = metadata(FetchQuality { broken_off, unreadable_rows, unreadable_values, clock_ahead });
            prop_assert_eq!(FileMetadata::read(&written.write()).unwrap(), written);
        }
    }
}
