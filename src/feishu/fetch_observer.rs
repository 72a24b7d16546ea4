//! [`FetchObserver`]: receives each fetched day, and tells how many rows earlier fetches had.

use std::{fmt, sync::Arc};

use crate::{
    model::{Geo, UserIdType},
    table::DayTable,
};

/// Receives each fetched day before any of the days that were fetched together is returned.
#[derive(Clone)]
pub struct FetchObserver {
    /// Receives a fetched day.
    pub record: Arc<dyn Fn(&DayTable) + Send + Sync>,
    /// The mean number of rows of recent days of everyone, also of days that were fetched before a restart. `None` if no
    /// fetch is known.
    pub rows_per_day: Arc<dyn Fn(Geo, UserIdType) -> Option<f64> + Send + Sync>,
}

impl Default for FetchObserver {
    fn default() -> Self {
        Self { record: Arc::new(|_| {}), rows_per_day: Arc::new(|_, _| None) }
    }
}

impl fmt::Debug for FetchObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchObserver").finish_non_exhaustive()
    }
}
