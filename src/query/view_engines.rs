//! View engines: one query engine for each view, which answers queries from filtered days.

use std::sync::Arc;

use moka::future::Cache;

use super::engine::QueryEngine;
use crate::{
    store::{FillCache, FilteredView, NarrowFromWhole, ReadCache, SingleFlight},
    table::{AccessView, pseudonymizer::Pseudonymizer},
};

/// Number of cached engines. An evicted engine is built again on the next request, and its days are filtered again from
/// stored days, without upstream calls.
const MAX_VIEWS: u64 = 256;

/// Query engines by view. Clones share them.
#[derive(Clone)]
pub struct ViewEngines {
    unfiltered: QueryEngine,
    pseudonyms: Option<Pseudonymizer>,
    engines: Cache<AccessView, QueryEngine>,
}

impl ViewEngines {
    /// View engines over the days of `unfiltered`.
    #[must_use]
    pub fn new(unfiltered: QueryEngine, pseudonyms: Option<Pseudonymizer>) -> Self {
        Self { unfiltered, pseudonyms, engines: Cache::new(MAX_VIEWS) }
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

    fn build_engine(&self, view: &AccessView) -> QueryEngine {
        let memory = Arc::new(self.unfiltered.memory().for_new_view());
        let filtered = FilteredView::new(view.clone(), self.pseudonyms.clone(), Arc::clone(self.unfiltered.source()));
        // The same layers as for whole days, so concurrent requests filter a day once and the result is cached.
        let flight = Arc::new(SingleFlight::new(FillCache::new(Arc::clone(&memory), filtered)));
        let source = NarrowFromWhole::new(Arc::clone(&memory), ReadCache::new(Arc::clone(&memory), flight));
        self.unfiltered.with_source(Arc::new(source), memory)
    }
}
