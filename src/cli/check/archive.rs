//! Checks that the archive is reachable and belongs to this app. Nothing is written.

use std::sync::Arc;

use super::{finding::Finding, remedy};
use crate::{
    app::GatewayConfig,
    store::{
        Archive, ArchiveLocation,
        archive::{OwnershipClaim, OwnershipError},
    },
};

pub(super) async fn check(config: &GatewayConfig) -> Finding {
    let (subject, location) = ("archive", &config.archive);
    match location {
        ArchiveLocation::Disabled => {
            return Finding::passed(subject, "none: after a restart all days are fetched again");
        }
        // Opening a folder would create it.
        ArchiveLocation::Folder(path) if !path.exists() => {
            return Finding::passed(subject, format!("{location} does not exist yet and will be created"));
        }
        _ => {}
    }
    let store = match location.open() {
        Ok(store) => store,
        Err(error) => return Finding::failed_with(subject, error.to_string(), remedy::ARCHIVE_UNREACHABLE.to_owned()),
    };
    let Some(store) = store else { return Finding::passed(subject, "none") };
    match Archive::new(store, Arc::default(), config.owner.clone()).inspect_owner().await {
        Ok(OwnershipClaim::Ours) => Finding::passed(subject, format!("{location} belongs to this app")),
        Ok(OwnershipClaim::Unowned) => {
            Finding::passed(subject, format!("{location} has no owner yet and will belong to this app"))
        }
        Err(error @ OwnershipError::Storage(_)) => Finding::failed_with(
            subject,
            format!("{location} cannot be read: {error}"),
            remedy::ARCHIVE_UNREACHABLE.to_owned(),
        ),
        Err(OwnershipError::OtherOwner { app_id, upstream, record }) => Finding::failed_with(
            subject,
            format!("{location} belongs to app {app_id} at {upstream}"),
            remedy::other_owner(&record),
        ),
        Err(error @ OwnershipError::UnknownRecord { .. }) => {
            Finding::failed_with(subject, format!("{location}: {error}"), remedy::ARCHIVE_FORMAT.to_owned())
        }
    }
}
