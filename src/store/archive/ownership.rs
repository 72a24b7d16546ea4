//! Ownership of an archive: the app whose days it holds.
//!
//! Feishu gives a person a different id in each app. If two apps shared an archive, its readers would count one person
//! as two. So each archive has an owner record, a control record with the id of its app.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::{
    layout::{self, OWNERS_FOLDER},
    storage_error::{StorageError, StorageFault},
    timed_store::TimedStore,
};

/// The version of the archive's layout, that is, of its object names. The content of a day's file has its own version.
const FORMAT_VERSION: u32 = 1;

/// The owner of an archive: an app of one Feishu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveOwner {
    /// The app's id.
    pub app_id: String,
    /// The base URL of its Feishu, without a trailing slash.
    pub upstream: String,
}

/// Whether this process may use an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnershipClaim {
    /// The archive has our owner record.
    Ours,
    /// The archive has no owner record.
    Unowned,
}

/// Why this process may not use an archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// The archive belongs to another app, or to this app at another Feishu.
    #[error(
        "it holds the days of {app_id} from {upstream}, and each app has different user ids: give this app an archive \
         of its own, or delete {record} in it if both are the same"
    )]
    OtherOwner {
        /// The other app's id.
        app_id: String,
        /// The base URL of the other app's Feishu.
        upstream: String,
        /// The name of the owner record.
        record: String,
    },
    /// This version cannot read the owner record.
    #[error(
        "its owner record {record} was written by a later version of feishu-pulse or by another program: use that \
         version, or another archive"
    )]
    UnknownRecord {
        /// The name of the owner record.
        record: String,
    },
    /// The owner record cannot be read or written now.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<OwnershipError> for StorageError {
    fn from(error: OwnershipError) -> Self {
        match error {
            OwnershipError::Storage(error) => error,
            OwnershipError::OtherOwner { .. } => Self::new(StorageFault::OtherOwner, &error),
            OwnershipError::UnknownRecord { .. } => Self::new(StorageFault::NewerFormat, &error),
        }
    }
}

/// The content of an owner record.
#[derive(Debug, Serialize, Deserialize)]
struct OwnerRecord {
    format_version: u32,
    #[serde(flatten)]
    owner: ArchiveOwner,
}

/// Claims an archive for one app.
#[derive(Debug)]
pub(super) struct ArchiveOwnership {
    store: TimedStore,
    owner: ArchiveOwner,
    claimed: OnceLock<()>,
}

impl ArchiveOwnership {
    pub(super) const fn new(store: TimedStore, owner: ArchiveOwner) -> Self {
        Self { store, owner, claimed: OnceLock::new() }
    }

    /// Checks the owner, and writes our owner record if there is none. Later calls return at once.
    ///
    /// Concurrent first calls are harmless: each finds or writes the same record.
    pub(super) async fn claim(&self) -> Result<(), OwnershipError> {
        if self.claimed.get().is_none() {
            if self.inspect().await? == OwnershipClaim::Unowned {
                self.write_record().await?;
            }
            let _ = self.claimed.set(());
        }
        Ok(())
    }

    /// Reads the owner records.
    pub(super) async fn inspect(&self) -> Result<OwnershipClaim, OwnershipError> {
        let mut claim = OwnershipClaim::Unowned;
        for (name, text) in self.store.read_folder(OWNERS_FOLDER).await? {
            let unknown = || OwnershipError::UnknownRecord { record: name.clone() };
            let record: OwnerRecord = serde_json::from_slice(&text).map_err(|_| unknown())?;
            if record.format_version > FORMAT_VERSION {
                return Err(unknown());
            }
            if record.owner != self.owner {
                let ArchiveOwner { app_id, upstream } = record.owner;
                return Err(OwnershipError::OtherOwner { app_id, upstream, record: name });
            }
            claim = OwnershipClaim::Ours;
        }
        Ok(claim)
    }

    /// Writes our owner record, and removes it again if another app has written its own in the meantime.
    ///
    /// Each app writes before it checks again, so of two simultaneous claims at least one sees the other. This does not
    /// rely on conditional writes, which some stores ignore.
    async fn write_record(&self) -> Result<(), OwnershipError> {
        let record = OwnerRecord { format_version: FORMAT_VERSION, owner: self.owner.clone() };
        let path = layout::control_record(OWNERS_FOLDER, &self.owner.app_id);
        let text = serde_json::to_vec_pretty(&record).map_err(|error| StorageError::from_display(&error))?;
        self.store.put(&path, text.into()).await?;
        let inspected = self.inspect().await;
        if let Err(OwnershipError::OtherOwner { .. }) = inspected {
            // The other app claimed the archive at the same time. Neither has archived a day yet.
            self.store.remove(&path).await?;
        }
        inspected.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, memory::InMemory, path::Path};

    use super::*;

    fn ownership(store: &Arc<InMemory>, app_id: &str, upstream: &str) -> ArchiveOwnership {
        let owner = ArchiveOwner { app_id: app_id.to_owned(), upstream: upstream.to_owned() };
        let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
        ArchiveOwnership::new(TimedStore::new(store), owner)
    }

    #[tokio::test]
    async fn the_first_app_claims_the_archive_and_can_use_it_again() {
        let store = Arc::new(InMemory::new());
        let first = ownership(&store, "cli_a", "https://open.feishu.cn");

        assert_eq!(first.inspect().await, Ok(OwnershipClaim::Unowned));
        assert_eq!(first.claim().await, Ok(()));

        let again = ownership(&store, "cli_a", "https://open.feishu.cn");
        assert_eq!((again.inspect().await, again.claim().await), (Ok(OwnershipClaim::Ours), Ok(())));
    }

    #[tokio::test]
    async fn another_app_or_another_feishu_is_refused_with_the_owners_name() {
        let store = Arc::new(InMemory::new());
        ownership(&store, "cli_a", "https://open.feishu.cn").claim().await.unwrap();

        for (app_id, upstream) in [("cli_b", "https://open.feishu.cn"), ("cli_a", "http://127.0.0.1:9")] {
            let refused = ownership(&store, app_id, upstream);
            let error = refused.claim().await.unwrap_err().to_string();
            assert!(
                error.contains("cli_a from https://open.feishu.cn") && error.contains("owners/cli_a.json"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn an_owner_record_of_a_later_version_is_refused() {
        let store = Arc::new(InMemory::new());
        let text = r#"{"format_version": 2, "app_id": "cli_a", "upstream": "https://open.feishu.cn"}"#;
        store.put(&Path::from("owners/cli_a.json"), PutPayload::from_static(text.as_bytes())).await.unwrap();

        let refused = ownership(&store, "cli_a", "https://open.feishu.cn").claim().await;

        assert!(matches!(refused, Err(OwnershipError::UnknownRecord { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn of_two_simultaneous_claims_the_later_withdraws() {
        let store = Arc::new(InMemory::new());
        let (one, other) = (ownership(&store, "cli_a", "x"), ownership(&store, "cli_b", "x"));

        let (first_seen, second_seen) = (one.inspect().await, other.inspect().await);
        let (first, second) = (one.write_record().await, other.write_record().await);

        assert_eq!((first_seen, second_seen), (Ok(OwnershipClaim::Unowned), Ok(OwnershipClaim::Unowned)));
        assert!(first.is_ok() && second.is_err(), "{second:?}");
        assert_eq!(one.inspect().await, Ok(OwnershipClaim::Ours));
    }
}
