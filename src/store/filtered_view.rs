//! Filtered view: reduces each day to what a restricted caller may see.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    model::DayKey,
    source::{DayData as _, DaySource, Depth, Forecast, LoadContext, LoadError, LoadedDay, run_day_task},
    table::{AccessView, DayTable, Dictionaries, pseudonymizer::Pseudonymizer},
};

/// Applies one view to the days of the inner source.
///
/// The filtered days have dictionaries of their own, so their person indexes are valid only among days of the same
/// view.
#[derive(Debug)]
pub struct FilteredView<S> {
    view: AccessView,
    pseudonyms: Option<Pseudonymizer>,
    dictionaries: Arc<Dictionaries>,
    inner: S,
}

impl<S> FilteredView<S> {
    /// Applies `view` to the days of `inner`. `dictionaries` are those of the view.
    pub const fn new(
        view: AccessView,
        pseudonyms: Option<Pseudonymizer>,
        dictionaries: Arc<Dictionaries>,
        inner: S,
    ) -> Self {
        Self { view, pseudonyms, dictionaries, inner }
    }

    fn source_key(&self, key: &DayKey) -> DayKey {
        DayKey { scope: self.view.source_scope(&key.scope), ..key.clone() }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for FilteredView<S> {
    /// Always returns rows: a digest cannot be filtered.
    async fn load(&self, key: &DayKey, _: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        let day = DayTable::from_loaded(self.inner.load(&self.source_key(key), Depth::Rows, context).await?)?;
        let (view, pseudonyms) = (self.view.clone(), self.pseudonyms.clone());
        let dictionary = self.dictionaries.for_id_type(key.user_id_type);
        let filtered = run_day_task(move || Arc::new(view.apply(&day, pseudonyms.as_ref(), &dictionary)));
        filtered.await.map(LoadedDay::Rows).map_err(|_| LoadError::Abandoned)
    }

    /// Filtered days are stored only above this layer.
    async fn stored(&self, keys: &[DayKey], _: Depth) -> Vec<Option<LoadedDay>> {
        vec![None; keys.len()]
    }

    /// The duration of a fetch reveals the number of people, so a view of some departments gives no forecast that a caller
    /// sees.
    async fn forecast(&self, keys: &[DayKey], _: Depth) -> Forecast {
        let keys: Vec<DayKey> = keys.iter().map(|key| self.source_key(key)).collect();
        let forecast = self.inner.forecast(&keys, Depth::Rows).await;
        if self.view.is_department_restricted() { Forecast { calls: 0, wait: None, ..forecast } } else { forecast }
    }
}
