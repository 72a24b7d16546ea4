//! Metric types and Prometheus' text format.
//!
//! A component with metrics implements [`Collector`], which writes the current values from the component's own state.
//! There is no global registry: each gateway owns its [`Collectors`], so two gateways in one process have separate
//! metrics. `docs/adr/0005` gives the reasons for not using a metrics crate.

mod counter;
mod exposition;
mod histogram;

use std::sync::Arc;

pub use counter::{CounterVec, MetricCounter, MetricLabel};
pub use exposition::{Exposition, MetricFamily};
pub use histogram::Histogram;

/// A component that exports metrics.
pub trait Collector: Send + Sync + 'static {
    /// Appends the current values of all metrics of this component.
    fn collect(&self, page: &mut Exposition);
}

/// All collectors of one gateway.
#[derive(Clone)]
pub struct Collectors(Arc<[Arc<dyn Collector>]>);

impl Collectors {
    /// Collectors that are written in this order. The names of their metrics must differ.
    #[must_use]
    pub fn new(collectors: impl IntoIterator<Item = Arc<dyn Collector>>) -> Self {
        Self(collectors.into_iter().collect())
    }

    /// The current values of all metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = Exposition::default();
        self.0.iter().for_each(|collector| collector.collect(&mut page));
        page.into_text()
    }
}
