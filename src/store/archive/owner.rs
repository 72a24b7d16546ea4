//! Owner of an archive: the app whose days it holds.
//!
//! Feishu gives a person a different id in each app. If two apps shared an archive, its readers would count one person
//! as two. So each archive has an ownership marker: a control record with the id of its app, the owner record.

use serde::{Deserialize, Serialize};

use super::storage_error::StorageError;

/// The version of the archive's layout, that is, of its object names. The content of a day's file has its own version.
pub(super) const FORMAT_VERSION: u32 = 1;

/// The owner of an archive: an app at one Feishu address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveOwner {
    /// The app's id.
    pub app_id: String,
    /// The base URL of Feishu, without a trailing slash.
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
    /// The archive belongs to another app, or to this app at another Feishu address.
    #[error(
        "it holds the days of {app_id} from {upstream}, and each app has different user ids: give this app an archive \
         of its own. If it is the same app at another address of the same Feishu, delete {record} in the archive"
    )]
    OtherOwner {
        /// The other app's id.
        app_id: String,
        /// The base URL of Feishu for that app.
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

/// The content of an owner record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OwnerRecord {
    pub(super) format_version: u32,
    #[serde(flatten)]
    pub(super) owner: ArchiveOwner,
}
