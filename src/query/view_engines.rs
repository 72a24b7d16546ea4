//! View engines: one query engine for each view, which answers queries from filtered days.

use std::{collections::HashSet, sync::Arc};

use moka::{future::Cache, policy::EvictionPolicy};

use super::engine::QueryEngine;
use crate::{
    model::DayKey,
    store::{FilteredView, Memory, read_path},
    table::{AccessView, DayTable, pseudonymizer::Pseudonymizer},
};

/// Number of cached engines. An evicted engine is built again on the next request, and its days are filtered again from
/// stored days, without upstream calls. Each has dictionaries of its own, so a smaller memory has fewer of them.
const MAX_VIEWS: u64 = 256;

/// Minimum number of cached engines.
const MIN_VIEWS: u64 = 8;

/// Memory of cached days for each engine, in bytes.
const BYTES_PER_VIEW: u64 = 4 << 20;

/// Query engines by view. Clones share them.
#[derive(Clone)]
pub struct ViewEngines {
    unfiltered: QueryEngine,
    memory: Arc<Memory>,
    pseudonyms: Option<Pseudonymizer>,
    engines: Cache<AccessView, ViewEngine>,
}

/// The engine of a view, and the days of the view.
#[derive(Clone)]
struct ViewEngine {
    engine: QueryEngine,
    memory: Arc<Memory>,
}

impl ViewEngines {
    /// View engines over the days of `unfiltered`, which are cached in `memory`.
    #[must_use]
    pub fn new(unfiltered: QueryEngine, memory: Arc<Memory>, pseudonyms: Option<Pseudonymizer>) -> Self {
        let max_views = (memory.size().max_bytes / BYTES_PER_VIEW).clamp(MIN_VIEWS, MAX_VIEWS);
        let remove_days = |_: Arc<AccessView>, engine: ViewEngine, _| engine.memory.remove_view();
        let engines = Cache::builder().max_capacity(max_views).eviction_policy(EvictionPolicy::lru());
        Self { unfiltered, memory, pseudonyms, engines: engines.eviction_listener(remove_days).build() }
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
        self.engines.get_with_by_ref(view, async { self.build_engine(view) }).await.engine
    }

    /// Stores a day and its digest in memory, unless a later fetch of it is there.
    pub async fn insert_day(&self, day: &Arc<DayTable>) {
        self.memory.insert(day).await;
    }

    /// Removes a day of one geo and id type from memory in all scopes and views.
    pub fn remove_day(&self, key: &DayKey) {
        self.memory.remove(key);
        self.unfiltered.monthly_rollups().remove(key);
    }

    /// The days that are held in memory in any scope or view, each as the day of everyone.
    #[must_use]
    pub fn held_days(&self) -> HashSet<DayKey> {
        self.memory.held_days()
    }

    fn build_engine(&self, view: &AccessView) -> ViewEngine {
        let memory = Arc::new(self.memory.for_new_view());
        let (pseudonyms, dictionaries) = (self.pseudonyms.clone(), Arc::clone(memory.dictionaries()));
        let filtered = FilteredView::new(view.clone(), pseudonyms, dictionaries, Arc::clone(self.unfiltered.source()));
        // The layers of whole days: concurrent requests filter a day once and the result is cached. Archived days are
        // unfiltered, so the archive is only below the filter.
        let source = read_path(&memory, None, filtered).source;
        ViewEngine { engine: self.unfiltered.for_view(source, memory.catalog().clone()), memory }
    }
}
