//! Trailing counts, kept for whoever asks for the same days again: sliding over a year unites a thousand sets.

use std::{fmt, ops::Deref, sync::Arc};

use moka::sync::Cache;
use sha2::Digest as _;

use super::basis::Basis;
use crate::{
    report::{FiguresByDay, Trailing},
    table::Selection,
};

/// Answers that are kept. One of a year takes some 20 KB.
const KEPT: u64 = 256;

/// Counts by the data that they were made from.
#[derive(Clone)]
pub struct Trails {
    kept: Cache<[u8; 16], Arc<Trailing>>,
}

impl Default for Trails {
    fn default() -> Self {
        Self { kept: Cache::new(KEPT) }
    }
}

impl fmt::Debug for Trails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trails").finish_non_exhaustive()
    }
}

impl Trails {
    /// The counts that trail to each of `days`, which are those of `basis` and `selection`, and are looked at only where
    /// the counts are not kept. Several callers at once wait for the first of them, so call it where waiting is no harm.
    #[must_use]
    pub fn over(
        &self,
        basis: &Basis,
        selection: &Selection,
        days: &impl Deref<Target = FiguresByDay>,
    ) -> Arc<Trailing> {
        self.kept.get_with(key(basis, selection), || Arc::new(Trailing::over(days)))
    }
}

/// Tells the selected rows of these days from any other.
fn key(basis: &Basis, selection: &Selection) -> [u8; 16] {
    let mut hash = basis.hash();
    // Days that are not there in every geo count for nothing.
    for geo in &basis.plan().geos {
        hash.update([*geo as u8]);
    }
    for text in [&selection.department_path, &selection.user_id] {
        let text = text.as_deref();
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    let hash = hash.finalize();
    std::array::from_fn(|byte| hash[byte])
}
