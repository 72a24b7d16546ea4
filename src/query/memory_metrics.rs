//! Metrics of the memory that cached days and monthly roll-ups use.

use std::sync::Arc;

use super::monthly_rollup_cache::MonthlyRollupCache;
use crate::{
    prometheus::{Collector, Exposition},
    store::Memory,
};

/// Collects the metrics of the caches.
#[derive(Clone, Debug)]
pub struct MemoryMetrics {
    /// The cached days.
    pub memory: Arc<Memory>,
    /// The monthly roll-ups.
    pub monthly_rollups: MonthlyRollupCache,
}

impl Collector for MemoryMetrics {
    fn collect(&self, page: &mut Exposition) {
        let size = self.memory.size() + self.monthly_rollups.size();
        page.counter("feishu_pulse_memory_lookups_total", "Lookups of days in memory by result.")
            .counter_vec(self.memory.lookups());
        page.counter("feishu_pulse_memory_evictions_total", "Days evicted from memory to make room for others.")
            .sample(self.memory.evictions() as f64);
        page.gauge(
            "feishu_pulse_memory_bytes",
            "Memory that cached days use: rows, digests and monthly roll-ups, in bytes.",
        )
        .sample(size.used_bytes as f64);
        page.gauge("feishu_pulse_memory_limit_bytes", "Limit of the memory for cached days, in bytes.")
            .sample(size.max_bytes as f64);
        let (settled, all) = self
            .memory
            .states()
            .fold((0_u32, 0_u32), |(settled, all), state| (settled + u32::from(state.is_settled()), all + 1));
        let mut days = page.gauge("feishu_pulse_memory_partitions", "Days in memory by whether they can still change.");
        days.labelled_sample(&[("state", "final")], f64::from(settled));
        days.labelled_sample(&[("state", "provisional")], f64::from(all - settled));
    }
}
