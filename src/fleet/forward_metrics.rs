//! [`ForwardMetrics`], the metrics of the requests of a replica to the leader.

use strum::{IntoStaticStr, VariantArray};
use tokio::time::Instant;

use crate::prometheus::{Collector, CounterVec, Exposition, Histogram, MetricLabel};

/// Upper bounds of the times of requests, in seconds. A stored day takes milliseconds, and a long chain of pages hours.
const TIME_BOUNDS: &[f64] =
    &[0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// What is requested from the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ForwardedRequest {
    /// The rows of a day.
    Day,
    /// The cost of loading days.
    Forecast,
    /// The times at which held days were fetched.
    Held,
    /// The request of a caller, which the leader answers.
    Request,
}

/// How a request to the leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ForwardOutcome {
    /// The leader has answered. The answer to a caller may be an error.
    Answered,
    /// The leader could not load the day.
    LoadError,
    /// The replica does not lead.
    NotLeader,
    /// The connection was refused.
    Refused,
    /// The replica could not be reached, or its answer was not understood.
    Failed,
    /// Nobody waits for the answer any more, or the leader changed.
    Cancelled,
}

impl MetricLabel for ForwardedRequest {
    const NAME: &'static str = "request";
}

impl MetricLabel for ForwardOutcome {
    const NAME: &'static str = "outcome";
}

/// Counts the requests to the leader.
#[derive(Debug)]
pub struct ForwardMetrics {
    /// In the order of [`ForwardedRequest::VARIANTS`].
    requests: [RequestMetrics; ForwardedRequest::VARIANTS.len()],
}

#[derive(Debug)]
struct RequestMetrics {
    outcomes: CounterVec<ForwardOutcome>,
    seconds: Histogram,
}

/// Measures one request. Without [`ForwardTimer::end`], its outcome is [`ForwardOutcome::Cancelled`].
pub(super) struct ForwardTimer<'a> {
    metrics: &'a RequestMetrics,
    began: Instant,
    outcome: ForwardOutcome,
}

impl Default for ForwardMetrics {
    fn default() -> Self {
        let metrics = |_| RequestMetrics { outcomes: CounterVec::default(), seconds: Histogram::new(TIME_BOUNDS) };
        Self { requests: std::array::from_fn(metrics) }
    }
}

impl ForwardMetrics {
    /// Begins to measure a request.
    pub(super) fn begin(&self, request: ForwardedRequest) -> ForwardTimer<'_> {
        let metrics = &self.requests[request as usize];
        ForwardTimer { metrics, began: Instant::now(), outcome: ForwardOutcome::Cancelled }
    }

    fn by_request(&self) -> impl Iterator<Item = ((&'static str, &'static str), &RequestMetrics)> {
        let labels = ForwardedRequest::VARIANTS.iter().map(|request| (ForwardedRequest::NAME, (*request).into()));
        labels.zip(&self.requests)
    }
}

impl ForwardTimer<'_> {
    /// Ends the measurement.
    pub(super) fn end(mut self, outcome: ForwardOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for ForwardTimer<'_> {
    fn drop(&mut self) {
        self.metrics.outcomes.increment(self.outcome);
        self.metrics.seconds.observe(self.began.elapsed());
    }
}

impl Collector for ForwardMetrics {
    fn collect(&self, exposition: &mut Exposition) {
        let mut outcomes = exposition
            .counter("feishu_pulse_fleet_forwarded_total", "Requests of this replica to the leader, by outcome.");
        for (request, RequestMetrics { outcomes: counts, .. }) in self.by_request() {
            for (outcome, count) in counts.counts() {
                outcomes.labelled_sample(&[request, (ForwardOutcome::NAME, outcome.into())], count as f64);
            }
        }
        let mut times = exposition.histogram(
            "feishu_pulse_fleet_forwarded_seconds",
            "Time until the leader answered, or the request failed. A day includes the calls of Feishu.",
        );
        for (request, RequestMetrics { seconds, .. }) in self.by_request() {
            times.histogram_samples(&[request], seconds);
        }
    }
}
