//! What a file says of itself besides its rows, in Parquet's key-value metadata.

use std::str::FromStr;

use jiff::Timestamp;
use parquet::file::metadata::KeyValue;

use super::{Unreadable, schema::VERSION};
use crate::{
    model::{Day, DayKey, Geo, Scope, UserIdType},
    table::{Partition, partition::ContentHash},
};

/// All keys begin with this, so that nobody else's are taken for ours.
const PREFIX: &str = "feishu_pulse.";

/// Where the rows of a file come from, and how to know that they are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which day it is. Always of everyone.
    pub key: DayKey,
    /// When upstream was asked.
    pub fetched_at: Timestamp,
    /// How many rows.
    pub rows: usize,
    /// The hash over their content.
    pub hash: ContentHash,
    /// Whether rows may be missing, though upstream reported no failure.
    pub doubtful: bool,
}

impl Label {
    /// The label of a day.
    #[must_use]
    pub fn of(day: &Partition) -> Self {
        Self {
            key: day.key().everyone(),
            fetched_at: day.fetched_at(),
            rows: day.rows(),
            hash: *day.hash(),
            doubtful: day.is_doubtful(),
        }
    }

    pub(super) fn write(&self) -> Vec<KeyValue> {
        let pairs = [
            ("schema_version", VERSION.to_string()),
            ("geo", self.key.geo.to_string()),
            ("user_id_type", self.key.user_id_type.name().to_owned()),
            ("date", self.key.day.to_string()),
            ("fetched_at", self.fetched_at.to_string()),
            ("rows", self.rows.to_string()),
            ("content_hash", hex(&self.hash)),
            ("doubtful", self.doubtful.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| KeyValue::new(format!("{PREFIX}{name}"), value)).collect()
    }

    pub(super) fn read(pairs: &[KeyValue]) -> Result<Self, Unreadable> {
        let version = value::<u32>(pairs, "schema_version")?;
        if version > VERSION {
            return Err(Unreadable::TooNew { found: version });
        }
        let key = DayKey {
            geo: value::<Geo>(pairs, "geo")?,
            user_id_type: value::<UserIdType>(pairs, "user_id_type")?,
            scope: Scope::Everyone,
            day: value::<Day>(pairs, "date")?,
        };
        Ok(Self {
            key,
            fetched_at: value(pairs, "fetched_at")?,
            rows: value(pairs, "rows")?,
            hash: unhex(&value::<String>(pairs, "content_hash")?).ok_or_else(|| missing("content_hash"))?,
            doubtful: value(pairs, "doubtful")?,
        })
    }
}

/// Where in a file its attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) length: usize,
}

impl Place {
    pub(super) fn write(self) -> KeyValue {
        KeyValue::new(format!("{PREFIX}attachment"), format!("{}+{}", self.offset, self.length))
    }

    pub(super) fn read(pairs: &[KeyValue]) -> Option<Self> {
        let value = value::<String>(pairs, "attachment").ok()?;
        let (offset, length) = value.split_once('+')?;
        Some(Self { offset: offset.parse().ok()?, length: length.parse().ok()? })
    }
}

fn value<T: FromStr>(pairs: &[KeyValue], name: &str) -> Result<T, Unreadable> {
    let pair = pairs.iter().find(|pair| pair.key.strip_prefix(PREFIX) == Some(name));
    let value = pair.and_then(|pair| pair.value.as_ref()).and_then(|value| value.parse().ok());
    value.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Unreadable {
    Unreadable::damaged(format_args!("the metadata {PREFIX}{name} is missing or makes no sense"))
}

fn hex(hash: &ContentHash) -> String {
    format!("{:032x}", u128::from_be_bytes(*hash))
}

fn unhex(text: &str) -> Option<ContentHash> {
    let sound = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    sound.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}
