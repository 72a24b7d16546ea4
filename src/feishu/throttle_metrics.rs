//! Metrics of the throttle.

use adaptive_throttle::Throttle;

use crate::{
    prometheus::{Collector, Exposition},
    source::CallerId,
};

impl Collector for Throttle<CallerId> {
    fn collect(&self, page: &mut Exposition) {
        let snapshot = self.snapshot();
        page.counter("feishu_pulse_upstream_permits_total", "Calls to Feishu that the throttle has permitted.")
            .sample(snapshot.sent as f64);
        page.counter("feishu_pulse_upstream_refusals_total", "Calls that Feishu refused because of its rate limit.")
            .sample(snapshot.refused as f64);
        page.counter(
            "feishu_pulse_upstream_wait_seconds_total",
            "Time that calls have waited for the throttle, in total.",
        )
        .sample(snapshot.waited.as_secs_f64());
        page.gauge("feishu_pulse_upstream_calls_per_second", "The current target rate of calls to Feishu.")
            .sample(snapshot.rate);
        let mut queued =
            page.gauge("feishu_pulse_upstream_queued_calls", "Calls that wait for a permit of the throttle.");
        queued.labelled_sample(&[("priority", "interactive")], snapshot.queued_interactive as f64);
        queued.labelled_sample(&[("priority", "background")], snapshot.queued_background as f64);
        page.gauge("feishu_pulse_upstream_in_flight_calls", "Calls to Feishu in flight.")
            .sample(snapshot.in_flight as f64);
        page.gauge(
            "feishu_pulse_upstream_limit_calls",
            "The estimated limit of Feishu in calls per window, once it is known.",
        )
        .optional(snapshot.limit);
        page.gauge(
            "feishu_pulse_upstream_limit_window_seconds",
            "The window of the estimated limit, once it is known.",
        )
        .optional(snapshot.window.map(|window| window.as_secs_f64()));
    }
}
