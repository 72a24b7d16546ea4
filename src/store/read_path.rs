//! The read path: all layers above a source, in their order.

use std::sync::Arc;

use super::{
    archive::{Archive, ArchiveTier},
    fill_cache::FillCache,
    memory::Memory,
    narrow_from_whole::NarrowFromWhole,
    read_cache::ReadCache,
    single_flight::SingleFlight,
};
use crate::{prometheus::Collector, source::DaySource};

/// The layers above a source.
#[derive(Clone)]
pub struct ReadPath {
    /// The outermost layer.
    pub source: Arc<dyn DaySource>,
    /// The metrics of fetches in progress.
    pub flights: Arc<dyn Collector>,
}

/// Stacks the layers above `source`, which is the upstream client or the filter of a view. Days are cached in `memory`
/// and stored in `archive`, if there is one.
#[must_use]
pub fn read_path(memory: &Arc<Memory>, archive: Option<&Arc<Archive>>, source: impl DaySource) -> ReadPath {
    let lower: Arc<dyn DaySource> = match archive {
        Some(archive) => Arc::new(ArchiveTier::new(Arc::clone(archive), memory.catalog().clone(), source)),
        None => Arc::new(source),
    };
    // At most one fetch of a day runs at a time. Its result is cached even if all waiting requests were cancelled.
    let flights = Arc::new(SingleFlight::new(FillCache::new(Arc::clone(memory), lower)));
    let cached = ReadCache::new(Arc::clone(memory), Arc::clone(&flights));
    // Rows of one person are selected from a cached day of everyone before anything is fetched.
    let source = Arc::new(NarrowFromWhole::new(Arc::clone(memory), cached));
    ReadPath { source, flights }
}
