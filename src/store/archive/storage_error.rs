//! Errors of storage operations.

use std::{error::Error, fmt, io, sync::Arc};

use object_store::client::{HttpError, HttpErrorKind};
use strum::{Display, IntoStaticStr};

use crate::model::redact::without_userinfo;

/// A storage operation failed or timed out. A later attempt may succeed. The text is for operators: it contains
/// addresses and paths, but no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct StorageError {
    fault: StorageFault,
    detail: Arc<str>,
}

/// The kind of a failure, in one word that reveals nothing about the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum StorageFault {
    /// There is no connection to the storage.
    Unreachable,
    /// The storage does not answer in time.
    Timeout,
    /// The storage rejects the credentials, or this user may not read or write the files.
    Denied,
    /// The bucket or the folder does not exist.
    NotFound,
    /// The storage is full.
    Full,
    /// The storage can only be read.
    ReadOnly,
    /// A file is cut short each time it is read.
    Incomplete,
    /// The archive belongs to another app.
    OtherOwner,
    /// The archive has a newer format.
    NewerFormat,
    /// Any other failure.
    Failed,
}

impl StorageError {
    pub(super) fn new(fault: StorageFault, detail: &impl fmt::Display) -> Self {
        Self { fault, detail: without_userinfo(&detail.to_string()).into() }
    }

    /// An error of no particular kind.
    pub(super) fn from_display(error: &impl fmt::Display) -> Self {
        Self::new(StorageFault::Failed, error)
    }

    /// An error of a local disk.
    pub(super) fn of_io(error: &io::Error) -> Self {
        Self::new(io_fault(error).unwrap_or(StorageFault::Failed), error)
    }

    /// The kind of the failure.
    #[must_use]
    pub const fn fault(&self) -> StorageFault {
        self.fault
    }
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        let fault = match &error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                StorageFault::Denied
            }
            object_store::Error::NotFound { .. } => StorageFault::NotFound,
            other => fault_of_causes(other).unwrap_or(StorageFault::Failed),
        };
        Self::new(fault, &error)
    }
}

/// The kind of the first cause that has one.
fn fault_of_causes(error: &(dyn Error + 'static)) -> Option<StorageFault> {
    let fault = http_fault(error).or_else(|| io_fault(error));
    fault.or_else(|| fault_of_causes(error.source()?))
}

fn http_fault(cause: &(dyn Error + 'static)) -> Option<StorageFault> {
    match cause.downcast_ref::<HttpError>()?.kind() {
        HttpErrorKind::Connect => Some(StorageFault::Unreachable),
        HttpErrorKind::Timeout => Some(StorageFault::Timeout),
        _ => None,
    }
}

fn io_fault(cause: &(dyn Error + 'static)) -> Option<StorageFault> {
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::PermissionDenied => Some(StorageFault::Denied),
        io::ErrorKind::NotFound => Some(StorageFault::NotFound),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(StorageFault::Full),
        io::ErrorKind::ReadOnlyFilesystem => Some(StorageFault::ReadOnly),
        io::ErrorKind::TimedOut => Some(StorageFault::Timeout),
        _ => None,
    }
}
