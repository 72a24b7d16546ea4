//! Digests of archived days, read without the rows.

use std::sync::Arc;

use bytes::Bytes;

use super::{archive_read::ArchiveRead, core::Archive};
use crate::{
    model::{DataScope, DayKey},
    report::{
        DayDigest,
        digest::{self, MembershipCache},
    },
    table::{
        DayTable, Dictionary,
        parquet::{ParquetDay, ParquetReadError},
    },
};

/// How the digest of a file was obtained.
enum DigestRead {
    /// The file has a valid digest.
    Stored(Arc<DayDigest>),
    /// The file has no digest or an invalid one. The digest was computed from the rows.
    Recomputed(Arc<DayDigest>, Arc<DayTable>),
    /// A later version of this program wrote the file's digest. The digest was computed from the rows.
    OtherVersion(Arc<DayDigest>),
}

impl Archive {
    /// The digest of a day; `None` if the day is not archived or cannot be read now.
    ///
    /// If the file has no digest or an invalid one, the digest is computed from the rows and the file is written again.
    pub async fn digest(self: &Arc<Self>, key: &DayKey) -> Option<Arc<DayDigest>> {
        // Rows in the backlog are newer and are read by `find`.
        if key.scope != DataScope::Everyone || self.backlog.get(key).is_some() || self.health_monitor.is_paused() {
            return None;
        }
        let list = async {
            if self.health_monitor.is_paused() {
                return Ok(None);
            }
            self.record_read(self.storage.list(key.geo, key.user_id_type).await).map(Some)
        };
        let is_listed = self.listings.contains(key, list).await;
        is_listed.ok().filter(|is_listed| *is_listed)?;
        let _permit = self.read_permits.acquire().await;
        // Another read may have failed while this one waited for its permit.
        if self.health_monitor.is_paused() {
            return None;
        }
        let file = self.record_read(self.storage.read(key).await).ok().flatten()?;
        let dictionary = Arc::clone(self.dictionaries.for_id_type(key.user_id_type));
        let memberships = Arc::clone(&self.membership_cache);
        let wanted = key.clone();
        let reading = tokio::task::spawn_blocking(move || read_digest(file, &wanted, &dictionary, &memberships));
        // The Parquet reader may panic on a damaged file.
        match reading.await.unwrap_or_else(|panic| Err(ParquetReadError::damaged(panic))) {
            Ok(DigestRead::Stored(digest)) => {
                self.reads.increment(ArchiveRead::Digest);
                Some(digest)
            }
            Ok(DigestRead::OtherVersion(digest)) => {
                self.reads.increment(ArchiveRead::Rows);
                Some(digest)
            }
            Ok(DigestRead::Recomputed(digest, day)) => {
                self.reads.increment(ArchiveRead::Rows);
                self.enqueue(&day);
                Some(digest)
            }
            // The next load of the rows reports the damage.
            Err(_) => None,
        }
    }
}

fn read_digest(
    file: Bytes,
    key: &DayKey,
    dictionary: &Arc<Dictionary>,
    memberships: &MembershipCache,
) -> Result<DigestRead, ParquetReadError> {
    let file = ParquetDay::new(file, key)?;
    let is_other_version = match digest::decode_digest(&file, dictionary, memberships) {
        Ok(digest) => return Ok(DigestRead::Stored(Arc::new(digest))),
        Err(ParquetReadError::TooNew { .. }) => true,
        Err(error) => {
            tracing::info!(%key, %error, "the digest of an archived day is computed again from its rows");
            false
        }
    };
    let day = file.day(dictionary)?;
    let digest = Arc::new(DayDigest::from_day(&day, None));
    Ok(if is_other_version { DigestRead::OtherVersion(digest) } else { DigestRead::Recomputed(digest, Arc::new(day)) })
}
