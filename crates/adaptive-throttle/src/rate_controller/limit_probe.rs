//! Probes: from time to time a few calls per window above the estimated limit, to find out whether the limit has risen.

use super::{call_times::CallTimes, limit_window::LimitWindow};

// Length of a probe.

/// Windows that a probe lasts if the limit counts by the minute: two whole windows wherever the probe begins, and a
/// tenth for late replies.
const MINUTE_PROBE_WINDOWS: f64 = 2.1;
/// Windows that a probe lasts at least if the limit counts by the second. Fewer prove little; more cost more refusals
/// if the limit has not risen.
const SECOND_PROBE_WINDOWS: f64 = 3.0;
/// Calls above the limit that a probe sends at least in total, if the limit counts by the second. A probe of less than
/// one call per window lasts longer for that reason.
const SECOND_PROBE_CALLS: f64 = 3.0;

// Judging a probe.

/// The share of the additional calls that must have been accepted. Below 1, because some calls are sent after the
/// probe's end; well above 0, because a client that sends less than it may would otherwise confirm any limit.
const MIN_USED_SHARE: f64 = 0.6;
/// Calls by which the accepted calls may fall short of the expectation: rounding of a fractional number of calls.
const USED_TOLERANCE_CALLS: f64 = 0.5;

// Size of the next probe.

/// The factor by which a probe grows after a success, if the limit counts by the second.
const SECOND_GROWTH_FACTOR: f64 = 2.0;
/// The largest probe in calls per window, if the limit counts by the second and the smallest probe is not larger. The
/// server refuses the calls by which a probe exceeds such a limit.
const SECOND_MAX_CALLS: f64 = 4.0;
/// The factor by which a probe grows after a success, if the limit counts by the minute. It is larger than
/// [`SECOND_GROWTH_FACTOR`], because a probe above such a limit has only the calls in flight refused, whatever its
/// size, and each probe takes two minutes.
const MINUTE_GROWTH_FACTOR: f64 = 4.0;
/// The largest probe as a share of the limit, if the limit counts by the minute.
const MINUTE_MAX_SHARE: f64 = 0.7;
/// A refused probe that was larger than the smallest one is repeated at the size divided by this.
const SHRINK_DIVISOR: f64 = 4.0;
/// A probe counts as the smallest one up to this factor, to allow for rounding.
const SMALLEST_TOLERANCE: f64 = 1.01;

// Time to the next probe.

/// After a refused probe that was larger than the smallest one, the interval is the usual one divided by this: the
/// limit has probably risen, by less.
const RETRY_INTERVAL_DIVISOR: f64 = 4.0;
/// After each refused probe of the smallest size the interval grows by this factor.
const INTERVAL_GROWTH_FACTOR: f64 = 2.0;
/// The longest interval, in multiples of the usual one. Longer would notice a rise later; shorter would cost more
/// refusals at a limit that stays.
const MAX_INTERVAL_FACTOR: f64 = 4.0;

/// When to send a probe, and of what size.
#[derive(Clone, Debug)]
pub(super) struct LimitProbe {
    running: Option<RunningProbe>,
    /// Additional calls per window of the next probe.
    next_calls: f64,
    /// The smallest size of a probe, in calls per window.
    min_calls: f64,
    /// Calls to be accepted without a refusal before the next probe.
    interval_calls: f64,
    usual_interval_calls: f64,
    /// Consecutive refused probes of the smallest size.
    failures: u32,
    /// A higher limit, in calls per window, that held before: once the limit rises, it may have returned to it.
    former_limit: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
struct RunningProbe {
    /// Additional calls per window.
    calls: f64,
    from: f64,
    until: f64,
}

/// How calls are sent without the probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeBaseline {
    /// The limit in calls per window.
    pub(super) calls: f64,
    /// The window of the limit.
    pub(super) window: LimitWindow,
    /// The share of the limit that is used, from 0 to 1.
    pub(super) share: f64,
    /// The peak latency in seconds.
    pub(super) latency: f64,
}

impl LimitProbe {
    /// The first probe follows after `first_interval` accepted calls, later ones after `usual_interval` or more. A
    /// probe adds `min_calls` calls per window or more.
    pub(super) fn new(first_interval: f64, usual_interval: f64, min_calls: f64) -> Self {
        Self {
            running: None,
            next_calls: min_calls,
            min_calls,
            interval_calls: first_interval,
            usual_interval_calls: usual_interval,
            failures: 0,
            former_limit: None,
        }
    }

    /// Records the limit in calls per window that held before the present one. The first probe follows after
    /// `first_interval` accepted calls.
    pub(super) fn set_former_limit(&mut self, calls: f64, first_interval: f64) {
        self.former_limit = Some(calls);
        self.interval_calls = first_interval;
    }

    /// Additional calls per window at present.
    pub(super) fn additional_calls(&self) -> f64 {
        self.running.map_or(0.0, |probe| probe.calls)
    }

    /// Whether a probe is due after `accepted` calls were accepted without a refusal.
    pub(super) fn is_due(&self, accepted: f64) -> bool {
        self.running.is_none() && accepted > self.interval_calls
    }

    /// Starts a probe at `now`.
    pub(super) fn start(&mut self, now: f64, baseline: &ProbeBaseline) {
        let windows = match baseline.window {
            LimitWindow::Minute => MINUTE_PROBE_WINDOWS,
            LimitWindow::Second => SECOND_PROBE_WINDOWS.max(SECOND_PROBE_CALLS / self.next_calls),
        };
        let until = now + windows * baseline.window.seconds() + baseline.latency;
        self.running = Some(RunningProbe { calls: self.next_calls, from: now, until });
    }

    /// Ends a probe that is over at `now`. Returns the calls per window by which the limit is higher: zero if too few
    /// calls were sent to know. `None`: no probe is over.
    pub(super) fn finish(&mut self, now: f64, accepted: &CallTimes, baseline: &ProbeBaseline) -> Option<f64> {
        let probe = self.running.filter(|probe| now > probe.until)?;
        let last_sent = probe.until - baseline.latency;
        let expected = (baseline.calls + MIN_USED_SHARE * probe.calls) * baseline.share / baseline.window.seconds()
            * (last_sent - probe.from);
        self.running = None;
        if accepted.count_between(probe.from, last_sent) < expected - USED_TOLERANCE_CALLS {
            return Some(0.0);
        }
        self.failures = 0;
        self.next_calls = self.size_after_success(probe.calls, baseline);
        Some(probe.calls)
    }

    /// The size of the next probe after one of `calls` was accepted.
    fn size_after_success(&mut self, calls: f64, baseline: &ProbeBaseline) -> f64 {
        match baseline.window {
            LimitWindow::Second => (SECOND_GROWTH_FACTOR * calls).min(self.min_calls.max(SECOND_MAX_CALLS)),
            LimitWindow::Minute => {
                let to_former = self.former_limit.take().map(|former| former - baseline.calls - calls);
                let grown = (MINUTE_GROWTH_FACTOR * calls).min(MINUTE_MAX_SHARE * baseline.calls);
                to_former.filter(|size| *size > calls).unwrap_or(grown).max(self.min_calls)
            }
        }
    }

    /// Records a refusal. Returns whether a running probe explains it. If so, the probe ends, and the next one is
    /// smaller or later.
    pub(super) fn on_refused(&mut self) -> bool {
        let Some(probe) = self.running.take() else { return false };
        if probe.calls > self.min_calls * SMALLEST_TOLERANCE {
            self.next_calls = (probe.calls / SHRINK_DIVISOR).max(self.min_calls);
            self.interval_calls = self.usual_interval_calls / RETRY_INTERVAL_DIVISOR;
        } else {
            self.failures += 1;
            let longest = Self::longest_interval(self.usual_interval_calls);
            self.interval_calls =
                (self.interval_calls * INTERVAL_GROWTH_FACTOR).clamp(self.usual_interval_calls, longest);
        }
        true
    }

    /// The most calls between two probes that are usually `usual_interval` calls apart.
    pub(super) fn longest_interval(usual_interval: f64) -> f64 {
        usual_interval * MAX_INTERVAL_FACTOR
    }

    /// Consecutive refused probes of the smallest size.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: ProbeBaseline =
        ProbeBaseline { calls: 10.0, window: LimitWindow::Second, share: 1.0, latency: 0.1 };

    fn accepted(per_second: u32) -> CallTimes {
        let mut call_times = CallTimes::new(60.0);
        (0..per_second * 4).for_each(|call| call_times.insert(f64::from(call) / f64::from(per_second)));
        call_times
    }

    #[test]
    fn a_probe_that_was_used_and_accepted_raises_the_limit_and_the_next_is_larger() {
        let mut probe = LimitProbe::new(10.0, 300.0, 1.0);
        probe.start(0.0, &BASELINE);

        assert_eq!(probe.finish(3.0, &accepted(11), &BASELINE), None);
        assert_eq!(probe.finish(3.2, &accepted(11), &BASELINE), Some(1.0));

        probe.start(3.2, &BASELINE);
        assert!((probe.additional_calls() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_probe_whose_calls_were_not_used_proves_nothing() {
        let mut probe = LimitProbe::new(10.0, 300.0, 1.0);
        probe.start(0.0, &BASELINE);
        assert_eq!(probe.finish(3.2, &accepted(10), &BASELINE), Some(0.0));
    }

    #[test]
    fn refused_probes_become_rare() {
        let mut probe = LimitProbe::new(10.0, 300.0, 1.0);
        for interval in [300.0, 600.0, 1200.0, 1200.0] {
            probe.start(0.0, &BASELINE);
            assert!(probe.on_refused());
            assert!(!probe.is_due(interval) && probe.is_due(interval + 1.0), "{interval}");
        }
        assert!(!probe.on_refused());
    }
}
