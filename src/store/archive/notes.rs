//! Notes: small records that belong to the archive and share its fate, such as which backfills are under way.

use bytes::Bytes;

use super::{Archive, NotDone};

impl Archive {
    /// Writes a note, or replaces it whole.
    ///
    /// # Errors
    /// Where the store does not do it.
    pub async fn put_note(&self, folder: &str, name: &str, text: Vec<u8>) -> Result<(), NotDone> {
        self.written(self.shelves.put_note(folder, name, text).await)
    }

    /// All notes of a folder.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn notes(&self, folder: &str) -> Result<Vec<Bytes>, NotDone> {
        self.read(self.shelves.notes(folder).await)
    }

    /// Removes a note. It is no failure where there is none.
    ///
    /// # Errors
    /// Where the store does not do it.
    pub async fn remove_note(&self, folder: &str, name: &str) -> Result<(), NotDone> {
        self.written(self.shelves.remove_note(folder, name).await)
    }
}
