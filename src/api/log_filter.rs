//! The log filter of the running process.

use tracing_subscriber::{EnvFilter, Registry, reload::Handle};

/// The log filter of the process, which can be changed at run time.
#[derive(Clone, Debug)]
pub struct LogFilter(Handle<EnvFilter, Registry>);

impl LogFilter {
    /// The filter behind `handle`.
    #[must_use]
    pub const fn new(handle: Handle<EnvFilter, Registry>) -> Self {
        Self(handle)
    }

    /// The current filter. `None` if it is not available any more.
    pub(super) fn current(&self) -> Option<String> {
        self.0.with_current(ToString::to_string).ok()
    }

    /// Replaces the filter.
    ///
    /// # Errors
    /// If `filter` is not a valid filter, or if it cannot be replaced any more.
    pub(super) fn replace(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::builder().parse(filter).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}
