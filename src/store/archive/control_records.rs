//! Control records: small files in the archive for the gateway itself, such as the list of backfills in progress.

use bytes::Bytes;

use super::{core::Archive, storage_error::StorageError};

impl Archive {
    /// Writes or replaces a control record.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn put_control_record(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), StorageError> {
        self.record_write(self.storage.put_control_record(folder, name, text).await)
    }

    /// The contents of all control records of a folder.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn control_records(&self, folder: &str) -> Result<Vec<Bytes>, StorageError> {
        self.record_read(self.storage.control_records(folder).await)
    }

    /// Removes a control record. A missing record is not an error.
    ///
    /// # Errors
    /// If the storage operation fails.
    pub async fn remove_control_record(&self, folder: &str, name: &str) -> Result<(), StorageError> {
        self.record_write(self.storage.remove_control_record(folder, name).await)
    }
}
