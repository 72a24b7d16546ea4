//! Floor 0: counters and how they are written down. What is counted, and under which name, belongs to each part.
//!
//! Every part that has something to tell implements [`Meter`] beside the state it tells of. There is no registry and
//! no global: a gateway owns its [`Meters`], so that two gateways in one process do not see each other's figures, and
//! nothing grows between scrapes. `docs/adr/0005` says why this is not one of the metrics crates.

mod exposition;
mod histogram;
mod tally;

use std::sync::Arc;

pub use exposition::{Exposition, Family};
pub use histogram::Histogram;
pub use tally::{Count, Label, Tally};

/// A part that can be asked for its figures.
pub trait Meter: Send + Sync + 'static {
    /// Writes every figure as it is now.
    fn write(&self, page: &mut Exposition);
}

/// The meters of one gateway.
#[derive(Clone)]
pub struct Meters(Arc<[Arc<dyn Meter>]>);

impl Meters {
    /// These meters, written in this order. No two may use the same name.
    #[must_use]
    pub fn new(meters: impl IntoIterator<Item = Arc<dyn Meter>>) -> Self {
        Self(meters.into_iter().collect())
    }

    /// All figures as they are now, in Prometheus' text format.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = Exposition::default();
        self.0.iter().for_each(|meter| meter.write(&mut page));
        page.into_text()
    }
}
