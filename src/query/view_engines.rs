//! An engine for each view of the days: the same questions, asked of what the view shows.

use std::sync::Arc;

use moka::future::Cache;

use super::engine::Engine;
use crate::{
    store::{Keep, Recall, SingleFlight, Subset, Viewed},
    table::{View, pseudonym::Pseudonyms},
};

/// Views that are remembered. A view that was forgotten is made anew when it is next asked for; its days are made from
/// those that are held, and Feishu is not asked.
const REMEMBERED: u64 = 256;

/// Engines by view. Clones share them.
#[derive(Clone)]
pub struct Views {
    whole: Engine,
    pseudonyms: Option<Pseudonyms>,
    engines: Cache<View, Engine>,
}

impl Views {
    /// Views of the days that `whole` sees.
    #[must_use]
    pub fn new(whole: Engine, pseudonyms: Option<Pseudonyms>) -> Self {
        Self { whole, pseudonyms, engines: Cache::new(REMEMBERED) }
    }

    /// The engine that sees all days as they are.
    #[must_use]
    pub const fn whole(&self) -> &Engine {
        &self.whole
    }

    /// The engine of a view.
    pub async fn engine(&self, view: &View) -> Engine {
        if view.is_whole() {
            return self.whole.clone();
        }
        self.engines.get_with_by_ref(view, async { self.made(view) }).await
    }

    fn made(&self, view: &View) -> Engine {
        let memory = Arc::new(self.whole.memory().of_a_view());
        let viewed = Viewed::new(view.clone(), self.pseudonyms.clone(), Arc::clone(self.whole.source()));
        // The same brackets as around the whole days: a view of a day is made once, however many ask, and kept.
        let flight = Arc::new(SingleFlight::new(Keep::new(Arc::clone(&memory), viewed)));
        let source = Subset::new(Arc::clone(&memory), Recall::new(Arc::clone(&memory), flight));
        self.whole.over(Arc::new(source), memory)
    }
}
