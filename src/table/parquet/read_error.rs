//! The error of reading a Parquet file of the archive.

use std::sync::Arc;

/// Why a file could not be read as a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParquetReadError {
    /// A later version of this program wrote the file or its digest. The file may be intact.
    #[error("it has version {found}, which is later than what this version of feishu-pulse reads")]
    TooNew {
        /// The version of the schema, or of the digest.
        found: u32,
    },
    /// The file is truncated or changed, contains another day, or is not such a file.
    #[error("it is damaged: {reason}")]
    Damaged {
        /// What is wrong with the file.
        reason: Arc<str>,
    },
}

impl ParquetReadError {
    /// The error for a damaged file.
    pub fn damaged(reason: impl std::fmt::Display) -> Self {
        Self::Damaged { reason: reason.to_string().into() }
    }
}

impl From<parquet::errors::ParquetError> for ParquetReadError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::damaged(error)
    }
}

impl From<arrow_schema::ArrowError> for ParquetReadError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::damaged(error)
    }
}
