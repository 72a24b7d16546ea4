//! Errors of storage operations.

use std::{fmt, sync::Arc};

/// A storage operation failed or timed out. A later attempt may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(Arc<str>);

impl StorageError {
    pub(super) fn from_display(error: &impl fmt::Display) -> Self {
        Self(error.to_string().into())
    }
}
