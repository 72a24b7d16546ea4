//! Metrics of a member of a fleet.

use std::time::Duration;

use strum::{IntoStaticStr, VariantArray};
use tokio::{sync::watch, time::Instant};

use super::leadership::FleetStatus;
use crate::prometheus::{Collector, CounterVec, Exposition, Histogram, MetricCounter, MetricLabel};

/// Upper bounds of the latencies of the store, in seconds.
const LATENCY_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0];

/// An operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum StoreOperation {
    /// Read the record.
    Read,
    /// Write the record.
    Write,
}

impl MetricLabel for StoreOperation {
    const NAME: &'static str = "operation";
}

/// Counts what a member does.
#[derive(Debug)]
pub struct FleetMetrics {
    status: watch::Receiver<FleetStatus>,
    leader_changes: MetricCounter,
    failures: CounterVec<StoreOperation>,
    reads: Histogram,
    writes: Histogram,
}

impl FleetMetrics {
    pub(super) fn new(status: watch::Receiver<FleetStatus>) -> Self {
        Self {
            status,
            leader_changes: MetricCounter::default(),
            failures: CounterVec::default(),
            reads: Histogram::new(LATENCY_BOUNDS),
            writes: Histogram::new(LATENCY_BOUNDS),
        }
    }

    pub(super) fn record(&self, operation: StoreOperation, took: Duration, is_answered: bool) {
        self.histogram(operation).observe(took);
        if !is_answered {
            self.failures.increment(operation);
        }
    }

    pub(super) fn record_leader_change(&self) {
        self.leader_changes.increment();
    }

    const fn histogram(&self, operation: StoreOperation) -> &Histogram {
        match operation {
            StoreOperation::Read => &self.reads,
            StoreOperation::Write => &self.writes,
        }
    }
}

impl Collector for FleetMetrics {
    fn collect(&self, exposition: &mut Exposition) {
        let status = self.status.borrow().clone();
        let left = status.leads_until.map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64());
        exposition
            .gauge("feishu_pulse_fleet_leader", "1 while this replica leads the fleet and calls Feishu.")
            .sample(f64::from(u8::from(status.leads())));
        exposition
            .gauge(
                "feishu_pulse_fleet_degraded",
                "1 while this replica cannot renew its lease, and calls Feishu for waiting callers at a part of the rate.",
            )
            .sample(f64::from(u8::from(status.is_degraded())));
        exposition
            .gauge("feishu_pulse_fleet_term", "The highest term of a leader that this replica has seen.")
            .sample(status.term as f64);
        exposition
            .gauge("feishu_pulse_fleet_lease_seconds", "Time left of the lease of this replica, if it leads.")
            .optional(left);
        exposition
            .counter("feishu_pulse_fleet_leader_changes_total", "Changes of the leader that this replica has seen.")
            .sample(self.leader_changes.get() as f64);
        exposition
            .counter("feishu_pulse_fleet_store_failures_total", "Operations of the store without an answer.")
            .counter_vec(&self.failures);
        let mut latency = exposition
            .histogram("feishu_pulse_fleet_store_seconds", "Time until the store answered, or the operation failed.");
        for operation in StoreOperation::VARIANTS {
            latency.histogram_samples(&[("operation", (*operation).into())], self.histogram(*operation));
        }
    }
}
