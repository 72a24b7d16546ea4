//! [`BucketStore`]: the record as an object of a bucket, replaced by conditional writes (`If-None-Match`, `If-Match`).

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion, path::Path,
};

use super::{
    lease_store::{LeaseStore, LeaseStoreError, RecordVersion, SwapOutcome},
    record::FleetRecord,
};
use crate::model::redact::without_userinfo;

/// Time limit of one operation.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Holds the record in an object of a bucket. The version is the entity tag of the object.
#[derive(Debug)]
pub struct BucketStore {
    bucket: Arc<dyn ObjectStore>,
    object: Path,
}

impl BucketStore {
    /// The object of this name. The bucket must not repeat requests by itself: a repeated write would find the record that
    /// it wrote itself, and the answer would come late.
    #[must_use]
    pub fn new(bucket: Arc<dyn ObjectStore>, object: &str) -> Self {
        Self { bucket, object: Path::from(object) }
    }

    async fn read_object(&self) -> object_store::Result<Option<(Vec<u8>, Option<String>)>> {
        match self.bucket.get(&self.object).await {
            Ok(found) => {
                let tag = found.meta.e_tag.clone();
                Ok(Some((found.bytes().await?.to_vec(), tag)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl LeaseStore for BucketStore {
    async fn read(&mut self) -> Result<Option<(FleetRecord, RecordVersion)>, LeaseStoreError> {
        let Some((text, tag)) = with_timeout(self.read_object()).await?.map_err(|error| failure(&error))? else {
            return Ok(None);
        };
        let tag = tag.ok_or_else(|| failure(&"the bucket sends no entity tag"))?;
        let record = serde_json::from_slice(&text);
        let record = record.map_err(|error| failure(&format!("the record {} is invalid: {error}", self.object)))?;
        Ok(Some((record, RecordVersion(tag))))
    }

    async fn swap(&mut self, expected: Option<&RecordVersion>, record: &FleetRecord) -> SwapOutcome {
        let text = match serde_json::to_vec(record) {
            Ok(text) => text,
            Err(error) => return SwapOutcome::Unknown(failure(&error)),
        };
        let mode = match expected {
            None => PutMode::Create,
            Some(version) => PutMode::Update(UpdateVersion { e_tag: Some(version.0.clone()), version: None }),
        };
        let write = self.bucket.put_opts(&self.object, PutPayload::from(text), PutOptions::from(mode));
        match with_timeout(write).await {
            Ok(Ok(written)) => match written.e_tag {
                Some(tag) => SwapOutcome::Done(RecordVersion(tag)),
                None => SwapOutcome::Unknown(failure(&"the bucket sends no entity tag")),
            },
            // 412, and 409 if two conditional writes meet.
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => SwapOutcome::Lost,
            Ok(Err(error)) => SwapOutcome::Unknown(failure(&error)),
            Err(error) => SwapOutcome::Unknown(error),
        }
    }

    async fn remove(&mut self) -> Result<(), LeaseStoreError> {
        match with_timeout(self.bucket.delete(&self.object)).await? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}

async fn with_timeout<T>(operation: impl Future<Output = T>) -> Result<T, LeaseStoreError> {
    let ended = tokio::time::timeout(TIMEOUT, operation).await;
    ended.map_err(|_| failure(&format!("the bucket does not answer within {} s", TIMEOUT.as_secs())))
}

fn failure(error: &impl fmt::Display) -> LeaseStoreError {
    LeaseStoreError(without_userinfo(&error.to_string()).into())
}
