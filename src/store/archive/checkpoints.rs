//! Checkpoints of chains of pages, as control records of the archive: JSON with the rows of each day as a Parquet file.
//!
//! A record is ignored and removed if it is too old, damaged, of another version, or about another chain.

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    core::Archive,
    layout::{CHECKPOINTS_FOLDER, checkpoint_name},
};
use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    source::{ChainCheckpoint, ChainCheckpoints, ChainKey, MAX_CHECKPOINT_AGE, run_day_task},
    table::{DayTable, Dictionaries, parquet},
};

/// The version of the format.
const VERSION: u32 = 1;

/// A checkpoint as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct CheckpointRecord {
    version: u32,
    geo: Geo,
    user_id_type: UserIdType,
    first_date: Day,
    last_date: Day,
    saved_at: Timestamp,
    page_token: String,
    page_size: usize,
    pages: usize,
    /// The file of each day, in order, in Base64.
    days: Vec<String>,
}

impl CheckpointRecord {
    fn new(key: ChainKey, checkpoint: &ChainCheckpoint, saved_at: Timestamp) -> Option<Self> {
        let encode = |day: &DayTable| Some(BASE64_STANDARD.encode(parquet::encode(day, &[]).ok()?));
        Some(Self {
            version: VERSION,
            geo: key.geo,
            user_id_type: key.user_id_type,
            first_date: key.range.first(),
            last_date: key.range.last(),
            saved_at,
            page_token: checkpoint.page_token.to_string(),
            page_size: checkpoint.page_size,
            pages: checkpoint.pages,
            days: checkpoint.days.iter().map(encode).collect::<Option<_>>()?,
        })
    }

    /// The checkpoint, if the record is one of this chain, is not too old, and its rows match their hashes.
    fn checkpoint(self, key: ChainKey, now: Timestamp, dictionaries: &Dictionaries) -> Option<ChainCheckpoint> {
        // The clock of another replica can be ahead.
        let age = now.duration_since(self.saved_at).abs();
        let is_of_chain = (self.version, self.geo, self.user_id_type) == (VERSION, key.geo, key.user_id_type)
            && DayRange::new(self.first_date, self.last_date) == Some(key.range);
        if !is_of_chain || age > MAX_CHECKPOINT_AGE || self.days.len() != key.range.len() {
            return None;
        }
        let dictionary = dictionaries.for_id_type(key.user_id_type);
        let decode = |(file, day): (&String, Day)| {
            let key = DayKey { geo: key.geo, user_id_type: key.user_id_type, scope: DataScope::Everyone, day };
            parquet::decode(Bytes::from(BASE64_STANDARD.decode(file).ok()?), &key, &dictionary).ok()
        };
        let days = self.days.iter().zip(key.range.days()).map(decode).collect::<Option<_>>()?;
        Some(ChainCheckpoint { page_token: self.page_token.into(), page_size: self.page_size, pages: self.pages, days })
    }
}

#[async_trait]
impl ChainCheckpoints for Archive {
    async fn find_checkpoint(&self, key: ChainKey, now: Timestamp) -> Option<ChainCheckpoint> {
        if self.is_paused() {
            return None;
        }
        let name = checkpoint_name(key);
        let record = self.control_record(CHECKPOINTS_FOLDER, &name).await.ok().flatten()?;
        let dictionaries = self.dictionaries().clone();
        let read = run_day_task(move || {
            let record: CheckpointRecord = serde_json::from_slice(&record).ok()?;
            record.checkpoint(key, now, &dictionaries)
        });
        // Parquet's reader may panic if the rows are damaged.
        let found = read.await.ok().flatten();
        if found.is_none() {
            tracing::info!(name, "a saved fetch is outdated or damaged; it is removed");
            self.remove_checkpoint(key).await;
        }
        found
    }

    async fn save_checkpoint(&self, key: ChainKey, checkpoint: ChainCheckpoint, now: Timestamp) {
        if !self.may_write() {
            return;
        }
        let encoding = run_day_task(move || {
            let record = CheckpointRecord::new(key, &checkpoint, now)?;
            serde_json::to_vec(&record).ok()
        });
        let Some(record) = encoding.await.ok().flatten() else {
            tracing::error!(geo = %key.geo, span = %key.range, "the pages of a fetch cannot be encoded and are not saved");
            return;
        };
        let bytes = record.len();
        match self.put_control_record(CHECKPOINTS_FOLDER, &checkpoint_name(key), record).await {
            Ok(()) => tracing::debug!(geo = %key.geo, span = %key.range, bytes, "the pages of a fetch were saved"),
            Err(error) => {
                tracing::warn!(%error, geo = %key.geo, span = %key.range, "the pages of a fetch were not saved");
            }
        }
    }

    async fn remove_checkpoint(&self, key: ChainKey) {
        if let Err(error) = self.remove_control_record(CHECKPOINTS_FOLDER, &checkpoint_name(key)).await {
            tracing::warn!(%error, geo = %key.geo, span = %key.range, "the saved pages of a fetch were not removed");
        }
    }
}
