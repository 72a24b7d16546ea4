//! The throttle's figures for an operator.

use super::Throttle;
use crate::meter::{Exposition, Meter};

impl Meter for Throttle {
    fn write(&self, page: &mut Exposition) {
        let now = self.snapshot();
        page.counter("feishu_pulse_upstream_permits_total", "Calls of Feishu that the throttle has let go.")
            .value(now.sent as f64);
        page.counter("feishu_pulse_upstream_refusals_total", "Calls that Feishu refused for its rate limit.")
            .value(now.refused as f64);
        page.counter(
            "feishu_pulse_upstream_wait_seconds_total",
            "How long calls have waited for the throttle, all together.",
        )
        .value(now.waited.as_secs_f64());
        page.gauge("feishu_pulse_upstream_calls_per_second", "The rate of calls that is kept at present.")
            .value(now.rate);
        let mut queued = page.gauge("feishu_pulse_upstream_queued_calls", "Calls that wait for the throttle.");
        queued.labelled(&[("priority", "interactive")], now.queued_interactive as f64);
        queued.labelled(&[("priority", "background")], now.queued_background as f64);
        page.gauge("feishu_pulse_upstream_in_flight_calls", "Calls of Feishu on their way.")
            .value(now.in_flight as f64);
        page.gauge("feishu_pulse_upstream_limit_calls", "Calls that Feishu takes in a window, once that is found out.")
            .known(now.limit);
        page.gauge("feishu_pulse_upstream_limit_window_seconds", "The window of that limit, once it is found out.")
            .known(now.window.map(|window| window.as_secs_f64()));
    }
}
