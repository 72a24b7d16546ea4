//! [`FetchObserver`]: receives each fetched day.

use std::{fmt, sync::Arc};

use crate::table::DayTable;

/// Receives each fetched day before any of the days that were fetched together is returned.
#[derive(Clone)]
pub struct FetchObserver(pub Arc<dyn Fn(&DayTable) + Send + Sync>);

impl Default for FetchObserver {
    fn default() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl fmt::Debug for FetchObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchObserver").finish_non_exhaustive()
    }
}
