//! View engines: one query engine for each view, which answers queries from filtered days.

use std::sync::Arc;

use moka::future::Cache;

use super::engine::QueryEngine;
use crate::{
    model::DayKey,
    store::{FilteredView, Memory, read_path},
    table::{AccessView, pseudonymizer::Pseudonymizer},
};

/// Number of cached engines. An evicted engine is built again on the next request, and its days are filtered again from
/// stored days, without upstream calls.
const MAX_VIEWS: u64 = 256;

/// Query engines by view. Clones share them.
#[derive(Clone)]
pub struct ViewEngines {
    unfiltered: QueryEngine,
    memory: Arc<Memory>,
    pseudonyms: Option<Pseudonymizer>,
    engines: Cache<AccessView, QueryEngine>,
}

impl ViewEngines {
    /// View engines over the days of `unfiltered`, which are cached in `memory`.
    #[must_use]
    pub fn new(unfiltered: QueryEngine, memory: Arc<Memory>, pseudonyms: Option<Pseudonymizer>) -> Self {
        Self { unfiltered, memory, pseudonyms, engines: Cache::new(MAX_VIEWS) }
    }

    /// The engine of the unfiltered days.
    #[must_use]
    pub const fn unfiltered(&self) -> &QueryEngine {
        &self.unfiltered
    }

    /// The engine of a view, built on first use.
    pub async fn engine(&self, view: &AccessView) -> QueryEngine {
        if view.is_unrestricted() {
            return self.unfiltered.clone();
        }
        self.engines.get_with_by_ref(view, async { self.build_engine(view) }).await
    }

    /// Removes a day of one geo and id type from memory in all scopes and views.
    pub fn remove_day(&self, key: &DayKey) {
        self.memory.remove(key);
        self.unfiltered.monthly_rollups().remove(key);
    }

    fn build_engine(&self, view: &AccessView) -> QueryEngine {
        let memory = Arc::new(self.memory.for_new_view());
        let filtered = FilteredView::new(view.clone(), self.pseudonyms.clone(), Arc::clone(self.unfiltered.source()));
        // The layers of whole days: concurrent requests filter a day once and the result is cached. Archived days are
        // unfiltered, so the archive is only below the filter.
        let source = read_path(&memory, None, filtered).source;
        self.unfiltered.for_view(source, memory.catalog().clone())
    }
}
