//! Shows of each day what a view leaves of it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    model::DayKey,
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{Directories, Partition, View, pseudonym::Pseudonyms},
};

/// Makes views of the days that come from below.
///
/// Its days have numbers of their own, so they go only with each other.
#[derive(Debug)]
pub struct Viewed<S> {
    view: View,
    pseudonyms: Option<Pseudonyms>,
    directories: Directories,
    inner: S,
}

impl<S> Viewed<S> {
    /// What `view` leaves of the days of `inner`.
    pub fn new(view: View, pseudonyms: Option<Pseudonyms>, inner: S) -> Self {
        Self { view, pseudonyms, directories: Directories::default(), inner }
    }

    fn source(&self, key: &DayKey) -> DayKey {
        DayKey { scope: self.view.source(&key.scope), ..key.clone() }
    }
}

#[async_trait]
impl<S: DaySource> DaySource for Viewed<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        let day = self.inner.load(&self.source(key), context).await?;
        let (view, pseudonyms) = (self.view.clone(), self.pseudonyms.clone());
        let directory = Arc::clone(self.directories.of(key.user_id_type));
        let seen = tokio::task::spawn_blocking(move || Arc::new(view.of(&day, pseudonyms.as_ref(), &directory)));
        seen.await.map_err(|_| LoadError::Abandoned)
    }

    /// How long the days take tells how many people there are. So those who may not see all of them are not told.
    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        if self.view.is_bound() {
            return Forecast { calls: 0, wait: None, collapsed: false };
        }
        let keys: Vec<DayKey> = keys.iter().map(|key| self.source(key)).collect();
        self.inner.forecast(&keys).await
    }
}
