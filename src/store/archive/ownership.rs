//! Ownership of the archive: claims it for this app.

use super::{
    core::Archive,
    health::StorageOperation,
    owner::{OwnershipClaim, OwnershipError},
};

impl Archive {
    /// Checks that no other app owns the archive, and writes an owner record if there is none.
    ///
    /// Every storage operation does this first. Call it at startup, so that a fault is found before a request waits.
    ///
    /// # Errors
    /// [`OwnershipError`] if another app owns the archive, or if its owner cannot be determined.
    pub async fn claim(&self) -> Result<(), OwnershipError> {
        self.storage
            .claim()
            .await
            .inspect_err(|error| self.health_monitor.record_failure(StorageOperation::Reading, error))
    }

    /// Determines the owner without claiming the archive.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn inspect_owner(&self) -> Result<OwnershipClaim, OwnershipError> {
        self.storage.inspect_owner().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, memory::InMemory, path::Path};

    use super::*;
    use crate::store::archive::owner::ArchiveOwner;

    fn archive(store: &Arc<InMemory>, app_id: &str, upstream: &str) -> Archive {
        let owner = ArchiveOwner { app_id: app_id.to_owned(), upstream: upstream.to_owned() };
        let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
        Archive::new(store, Arc::default(), owner)
    }

    #[tokio::test]
    async fn the_first_app_claims_the_archive_and_can_use_it_again() {
        let store = Arc::new(InMemory::new());
        let first = archive(&store, "cli_a", "https://open.feishu.cn");

        assert_eq!(first.inspect_owner().await, Ok(OwnershipClaim::Unowned));
        assert_eq!(first.claim().await, Ok(()));

        let again = archive(&store, "cli_a", "https://open.feishu.cn");
        assert_eq!((again.inspect_owner().await, again.claim().await), (Ok(OwnershipClaim::Ours), Ok(())));
    }

    #[tokio::test]
    async fn another_app_or_another_feishu_is_refused_with_the_owners_name() {
        let store = Arc::new(InMemory::new());
        archive(&store, "cli_a", "https://open.feishu.cn").claim().await.unwrap();

        for (app_id, upstream) in [("cli_b", "https://open.feishu.cn"), ("cli_a", "http://127.0.0.1:9")] {
            let refused = archive(&store, app_id, upstream);
            let error = refused.claim().await.unwrap_err().to_string();
            assert!(
                error.contains("cli_a from https://open.feishu.cn") && error.contains("owners/cli_a.json"),
                "{error}"
            );
            assert!(refused.health().fault.is_some());
            assert!(refused.control_records("backfills").await.is_err(), "reads are refused as well");
        }
    }

    #[tokio::test]
    async fn an_owner_record_of_a_later_version_is_refused() {
        let store = Arc::new(InMemory::new());
        let text = r#"{"format_version": 2, "app_id": "cli_a", "upstream": "https://open.feishu.cn"}"#;
        store.put(&Path::from("owners/cli_a.json"), PutPayload::from_static(text.as_bytes())).await.unwrap();

        let refused = archive(&store, "cli_a", "https://open.feishu.cn").claim().await;

        assert!(matches!(refused, Err(OwnershipError::UnknownRecord { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn of_two_simultaneous_claims_the_later_withdraws() {
        let store = Arc::new(InMemory::new());
        let (one, other) = (archive(&store, "cli_a", "x"), archive(&store, "cli_b", "x"));

        let (first_seen, second_seen) = (one.inspect_owner().await, other.inspect_owner().await);
        let (first, second) = (one.storage.write_owner().await, other.storage.write_owner().await);

        assert_eq!((first_seen, second_seen), (Ok(OwnershipClaim::Unowned), Ok(OwnershipClaim::Unowned)));
        assert!(first.is_ok() && second.is_err(), "{second:?}");
        assert_eq!(one.inspect_owner().await, Ok(OwnershipClaim::Ours));
    }
}
