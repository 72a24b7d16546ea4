//! Cache of trailing counts. Computing them for a year unites about a thousand sets of people.

use std::{fmt, ops::Deref, sync::Arc};

use moka::sync::Cache;
use sha2::Digest as _;

use super::report_input::ReportInput;
use crate::{
    report::{FiguresByDay, TrailingCounts},
    store::lru::ViewId,
    table::RowSelection,
};

/// Number of cached entries. One for a year takes about 20 KB.
const MAX_ENTRIES: u64 = 256;

/// Trailing counts by a hash of the view, the days and the selection that they were computed from. All views share the limit.
#[derive(Clone)]
pub struct TrailingCountCache {
    counts: Cache<[u8; 16], Arc<TrailingCounts>>,
    view: ViewId,
}

impl Default for TrailingCountCache {
    fn default() -> Self {
        Self { counts: Cache::new(MAX_ENTRIES), view: ViewId::default() }
    }
}

impl fmt::Debug for TrailingCountCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrailingCountCache").finish_non_exhaustive()
    }
}

impl TrailingCountCache {
    /// The same cache for a view.
    pub(super) fn for_view(&self, view: ViewId) -> Self {
        Self { view, ..self.clone() }
    }

    /// The trailing counts of the days of `input` under `selection`. On a miss they are computed from `days`, the
    /// figures of the same input and selection. Concurrent callers block until the first one has computed them, so call
    /// this from a thread that may block.
    #[must_use]
    pub fn get_or_compute(
        &self,
        input: &ReportInput,
        selection: &RowSelection,
        days: &impl Deref<Target = FiguresByDay>,
    ) -> Arc<TrailingCounts> {
        self.counts.get_with(cache_key(self.view, input, selection), || {
            Arc::new(TrailingCounts::new(days, &input.empty_dates()))
        })
    }
}

/// A hash of these days and the selection.
fn cache_key(view: ViewId, input: &ReportInput, selection: &RowSelection) -> [u8; 16] {
    let mut hash = input.hash();
    hash.update(view.to_le_bytes());
    // The geos are part of the key because a day counts only if every geo has it.
    for geo in &input.plan.geos {
        hash.update([*geo as u8]);
    }
    for day in input.empty_dates() {
        hash.update(day.days_since_year_zero().to_le_bytes());
    }
    for text in [&selection.department_path, &selection.user_id] {
        let text = text.as_deref();
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(text.unwrap_or_default());
    }
    let hash = hash.finalize();
    std::array::from_fn(|byte| hash[byte])
}
