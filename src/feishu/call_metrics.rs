//! Metrics of the upstream calls to the stats endpoint: outcomes and durations.

use std::sync::Arc;

use strum::{IntoStaticStr, VariantArray};
use tokio::time::Instant;

use super::reply_class::ReplyClass;
use crate::prometheus::{Collector, CounterVec, Exposition, Histogram, MetricCounter, MetricLabel};

/// Upper bounds of the histogram buckets, in seconds. The last one equals the default call timeout.
const LATENCY_BUCKETS_SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0];

/// Counts the calls to the stats endpoint and measures their durations.
#[derive(Debug)]
pub struct CallMetrics {
    outcomes: CounterVec<CallOutcome>,
    durations: Histogram,
    unreadable_rows: MetricCounter,
    unreadable_values: MetricCounter,
}

/// Measures one call. If it is dropped before an outcome is recorded, the call counts as abandoned: its page was no
/// longer needed.
#[derive(Debug)]
pub struct CallTimer {
    metrics: Arc<CallMetrics>,
    started_at: Instant,
    outcome: CallOutcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum CallOutcome {
    Success,
    Throttled,
    QuotaSpent,
    TokenRejected,
    CredentialsRejected,
    InvalidParameter,
    Forbidden,
    Rejected,
    Failed,
    NoReply,
    Abandoned,
}

impl CallMetrics {
    /// Starts the timer of a call.
    #[must_use]
    pub fn start_call(self: &Arc<Self>) -> CallTimer {
        CallTimer { metrics: Arc::clone(self), started_at: Instant::now(), outcome: CallOutcome::Abandoned }
    }
}

impl CallMetrics {
    /// Counts the rows and values of a page that cannot be read.
    pub fn record_unreadable(&self, rows: u64, values: u64) {
        self.unreadable_rows.add(rows);
        self.unreadable_values.add(values);
    }
}

impl CallTimer {
    /// Ends the timer with the class of the reply.
    pub fn record_reply(mut self, class: &ReplyClass) {
        self.outcome = class.into();
    }

    /// Ends the timer of a call without a reply.
    pub fn record_no_reply(mut self) {
        self.outcome = CallOutcome::NoReply;
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        self.metrics.outcomes.increment(self.outcome);
        if self.outcome != CallOutcome::Abandoned {
            self.metrics.durations.observe(self.started_at.elapsed());
        }
    }
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            outcomes: CounterVec::default(),
            durations: Histogram::new(LATENCY_BUCKETS_SECONDS),
            unreadable_rows: MetricCounter::default(),
            unreadable_values: MetricCounter::default(),
        }
    }
}

impl Collector for CallMetrics {
    fn collect(&self, page: &mut Exposition) {
        page.counter(
            "feishu_pulse_upstream_calls_total",
            "Calls to Feishu's stats endpoint by outcome; `throttled` means refused because of the rate limit.",
        )
        .counter_vec(&self.outcomes);
        page.histogram(
            "feishu_pulse_upstream_call_duration_seconds",
            "Duration of the calls to Feishu's stats endpoint.",
        )
        .histogram_samples(&[], &self.durations);
        page.counter(
            "feishu_pulse_upstream_unreadable_rows_total",
            "Rows in Feishu's replies that were skipped because they cannot be read or have no requested date.",
        )
        .sample(self.unreadable_rows.get() as f64);
        page.counter(
            "feishu_pulse_upstream_unreadable_values_total",
            "Counters and flags in Feishu's replies whose value is not a count.",
        )
        .sample(self.unreadable_values.get() as f64);
    }
}

impl MetricLabel for CallOutcome {
    const NAME: &'static str = "outcome";
}

impl From<&ReplyClass> for CallOutcome {
    fn from(class: &ReplyClass) -> Self {
        match class {
            ReplyClass::Success => Self::Success,
            ReplyClass::Throttled => Self::Throttled,
            ReplyClass::QuotaSpent => Self::QuotaSpent,
            ReplyClass::TokenRejected => Self::TokenRejected,
            ReplyClass::CredentialsRejected => Self::CredentialsRejected,
            ReplyClass::InvalidParameter => Self::InvalidParameter,
            ReplyClass::Forbidden(_) => Self::Forbidden,
            ReplyClass::Rejected(_) => Self::Rejected,
            ReplyClass::Transient(_) => Self::Failed,
        }
    }
}
