//! Decides when the next call may be sent, from the outcomes of earlier calls.
//!
//! The controller is pure: every method receives the time, counted from an epoch that the caller chooses.
//!
//! 1. Search: while no limit is known, the rate climbs from one published limit per second to the next
//!    (`limit_search`). At the published limits per minute, few calls may be in flight (`in_flight_cap`).
//! 2. Lockout: a refusal starts a `lockout`. Its length shows the window of the limit, and the calls accepted before it
//!    show the limit (`limit_window`).
//! 3. Steady state: the `limit_estimate` sets the rate. Calls are aligned with fixed windows of a second
//!    (`window_phase`) or paced, and a `limit_probe` shows from time to time whether the limit has risen.
//! 4. A lockout that contradicts the estimate starts a new estimate. A proven estimate is tried again some seconds
//!    later (`recovery`).
//!
//! # Constants
//! Each file groups its constants at its head and documents the unit, the meaning and what a smaller or larger value
//! costs. A constant without a source was chosen with the benchmark whose tables are in `docs/throttle.md`, not derived
//! from a formula.

use std::time::Duration;

use super::{config::ThrottleConfig, rate_limit_hints::RateLimitHints, recent_calls::RecentCalls};

mod call_times;
mod in_flight_cap;
mod limit_estimate;
mod limit_probe;
mod limit_search;
mod limit_window;
mod lockout;
mod recovery;
mod window_phase;

use call_times::CallTimes;
use in_flight_cap::InFlightCap;
use limit_estimate::LimitEstimate;
use limit_search::LimitSearch;
use limit_window::LimitWindow;
use lockout::{Lockout, RefusedCall};
use recovery::Recovery;
use window_phase::{WindowPhase, WindowPlan};

// Memory.

/// Seconds for which accepted calls are remembered. The 60 s before a lockout are counted when it ends, and a header
/// can make it last 120 s; 20 s are spare.
const ACCEPTED_RETENTION_SECONDS: f64 = 200.0;
/// Seconds for which sent calls are remembered: the longest window, 60 s, and 5 s spare.
const SENT_RETENTION_SECONDS: f64 = 65.0;
/// Sent calls are remembered for this number of ceiling spans if that is longer. One span is needed; the second is
/// spare.
const SENT_RETENTION_CEILING_SPANS: f64 = 2.0;

// Settings.

/// The smallest start rate in calls per second; keeps a setting of zero from stopping all calls.
const MIN_START_RATE: f64 = 0.001;
/// A restored limit over a shorter window than this is treated as a limit per second, any other as a limit per minute.
const MINUTE_WINDOW_MIN: Duration = Duration::from_secs(2);

// Latency.

/// The latency of a call in seconds before any has been measured.
const INITIAL_LATENCY_SECONDS: f64 = 0.3;
/// The weight of a new measurement in the mean latency is one divided by this: an average over about 16 calls.
const MEAN_LATENCY_CALLS: f64 = 16.0;
/// The factor by which the peak latency falls with each reply: it halves in about 34 replies without a new peak.
const PEAK_LATENCY_DECAY: f64 = 0.98;

// Calls in flight.

/// The factor by which the calls in flight may exceed rate × peak latency. Less would hold back calls when replies are
/// late; more would have more calls refused when a limit drops.
const IN_FLIGHT_HEADROOM_FACTOR: f64 = 1.4;
/// Calls that may be in flight in addition; matters at low rates.
const IN_FLIGHT_HEADROOM_CALLS: usize = 2;

// Pacing.

/// The seconds by which a call that was sent late may bring forward the calls after it. Larger than the delay of
/// tokio's timers, which is about 1 ms; small enough not to cause bursts.
const MAX_CATCH_UP_SECONDS: f64 = 0.02;
/// With a limit per minute, calls are sent at the start rate instead of being spread until this share of the limit is
/// used. The rest stays spread, so that later calls and other clients under the same limit do not have to wait for a
/// whole minute.
const MINUTE_BURST_SHARE: f64 = 0.5;

// Guard at the edges of fixed windows.

/// The guard in multiples of the peak latency. The trip to the server varies by a part of the latency.
const GUARD_LATENCIES: f64 = 0.5;
/// The smallest guard in seconds, for short latencies whose peaks may still rise.
const MIN_GUARD_SECONDS: f64 = 0.08;
/// The largest guard in seconds: half of the window stays usable.
const MAX_GUARD_SECONDS: f64 = 0.25;
/// The smallest guard in seconds if the calls in flight would otherwise not suffice to use the limit.
const SHORT_GUARD_SECONDS: f64 = 0.03;
/// The share of the permitted calls in flight that the usable part of a window may need. The rest is spare for late
/// replies.
const GUARD_IN_FLIGHT_SHARE: f64 = 0.85;

// Reading a lockout.

/// The longest lockout in seconds that a window of a second explains: its length and the variation of the trip.
const SECOND_LOCKOUT_MAX_SECONDS: f64 = 1.05;
/// A reset in a header above this number of seconds shows a window longer than a second.
const SECOND_RESET_MAX_SECONDS: f64 = 1.0;
/// The part of the latency after the first refused call in which a call may still be accepted although the window is
/// over: calls overtake each other on the way.
const REORDERING_LATENCIES: f64 = 0.5;
/// Seconds in addition to a window's length in which the calls before a refusal are counted: at exactly the limit, as
/// many calls as it allows are one window's length apart, and timers are late by a few milliseconds.
const COUNT_TOLERANCE_SECONDS: f64 = 0.02;
/// If this number of calls or more was accepted during a lockout, it was not caused by one window of a minute: such a
/// window accepts no call once its limit is reached.
const MIN_ACCEPTED_IN_GAP: f64 = 1.0;
/// A new estimate is below this share of the contradicted limit. A higher one would repeat the contradicted one.
const MAX_SHARE_OF_CONTRADICTED: f64 = 0.95;
/// The share of a contradicted limit that is estimated if the accepted calls do not give a lower one.
const FALLBACK_SHARE_OF_CONTRADICTED: f64 = 0.8;
/// The smallest estimate in calls per window.
const MIN_ESTIMATE_CALLS: f64 = 1.0;

// Whether a lockout contradicts the estimate.

/// A lockout longer than this share of a minute window contradicts a limit per minute: pacing reaches the true limit
/// only shortly before the end of a window.
const LONG_LOCKOUT_SHARE: f64 = 0.25;
/// Refusals up to this number never contradict the estimate: late calls can cause them.
const MAX_EXPECTED_REFUSALS: u32 = 3;
/// Up to this share of the accepted calls plus [`EXPECTED_REFUSALS_CALLS`], the refusals of one lockout do not
/// contradict the estimate.
const EXPECTED_REFUSALS_SHARE: f64 = 0.5;
/// Refusals in addition to that share; matters for small limits.
const EXPECTED_REFUSALS_CALLS: f64 = 1.0;

// Ceiling.

/// The smallest ceiling in calls per second: one call in twelve days. Keeps a setting of zero from dividing by zero.
const MIN_CEILING: f64 = 1e-6;
/// Seconds that are added to the span of the ceiling, so that rounding never shortens it.
const CEILING_ROUNDING_SECONDS: f64 = 1e-6;

// Calls of another process.

/// Where a call is placed within its even share of a bucket: in the middle.
const POSITION_IN_BUCKET: f64 = 0.5;

// Reduction.

/// The smallest share of the rate. Keeps a share of zero from dividing by zero.
const MIN_SHARE: f64 = 0.001;

/// When the next call may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextSend {
    /// At this time since the epoch, or now if it has passed.
    At(Duration),
    /// Not before a call that is in flight has ended.
    AfterReply,
}

/// A limit of calls per window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowLimit {
    /// Calls that the server accepts per window; positive.
    pub calls: f64,
    /// The length of the window; positive.
    pub window: Duration,
}

/// Estimates the rate limit of a server and keeps calls just below it.
///
/// Every call must be reported when it is sent and when it ends, in the order in which that happens. Times are counted
/// from an epoch that the caller chooses.
#[derive(Clone, Debug)]
pub struct RateController {
    ceiling: Option<RateCeiling>,
    reduction: Option<Reduction>,
    max_in_flight: usize,
    start_rate: f64,
    in_flight: usize,
    latency: LatencyEstimate,
    accepted: CallTimes,
    sent: CallTimes,
    /// When pacing sends the next call, in seconds since the epoch.
    next_paced: f64,
    search: LimitSearch,
    /// The limit in the newest header that had one, in calls.
    header_limit: Option<f64>,
    estimate: Option<LimitEstimate>,
    recovery: Recovery,
    lockout: Option<Lockout>,
    in_flight_cap: InFlightCap,
}

/// At most `calls` calls in any `span` seconds.
#[derive(Clone, Copy, Debug)]
struct RateCeiling {
    rate: f64,
    calls: usize,
    span: f64,
}

/// Only a share of the rate is used from a time on.
#[derive(Clone, Copy, Debug)]
struct Reduction {
    share: f64,
    /// In seconds since the epoch.
    from: f64,
}

/// Seconds from sending a call to its reply.
#[derive(Clone, Copy, Debug)]
struct LatencyEstimate {
    mean: f64,
    /// The longest recent latency. It falls slowly.
    peak: f64,
}

impl RateController {
    /// A controller without an estimate of the limit.
    #[must_use]
    pub fn new(config: &ThrottleConfig) -> Self {
        let ceiling = config.ceiling.map(RateCeiling::new);
        let sent_retention = ceiling.map_or(SENT_RETENTION_SECONDS, |ceiling| {
            SENT_RETENTION_SECONDS.max(SENT_RETENTION_CEILING_SPANS * ceiling.span)
        });
        let start_rate = config.start_rate.max(MIN_START_RATE);
        Self {
            max_in_flight: config.max_in_flight.max(1),
            start_rate,
            in_flight: 0,
            latency: LatencyEstimate { mean: INITIAL_LATENCY_SECONDS, peak: INITIAL_LATENCY_SECONDS },
            accepted: CallTimes::new(ACCEPTED_RETENTION_SECONDS),
            sent: CallTimes::new(sent_retention),
            next_paced: 0.0,
            search: LimitSearch::new(start_rate),
            header_limit: None,
            estimate: None,
            recovery: Recovery::default(),
            lockout: None,
            in_flight_cap: InFlightCap::default(),
            ceiling,
            reduction: None,
        }
    }

    /// When the next call may be sent.
    #[must_use]
    pub fn next_send(&self, now: Duration) -> NextSend {
        let now = now.as_secs_f64();
        if self.in_flight >= self.in_flight_limit(now) {
            return NextSend::AfterReply;
        }
        let lockout_end = self.lockout.as_ref().map_or(0.0, Lockout::resume_at);
        let below_ceiling = self.ceiling.and_then(|ceiling| ceiling.next_send(&self.sent)).unwrap_or(0.0);
        let reduced = self.next_send_by_reduction(now);
        let at = self.next_send_by_rate(now).max(lockout_end).max(below_ceiling).max(reduced).max(0.0);
        NextSend::At(Duration::from_secs_f64(at))
    }

    /// Records that a call is sent.
    pub fn on_sent(&mut self, now: Duration) {
        let now = now.as_secs_f64();
        let interval = 1.0 / self.rate();
        self.in_flight += 1;
        self.sent.insert(now);
        self.next_paced = self.next_paced.max(now - MAX_CATCH_UP_SECONDS.min(interval)) + interval;
    }

    /// Records that the call reported to [`Self::on_sent`] at `sent` is not sent after all. Another call may be sent
    /// instead.
    pub fn on_cancelled(&mut self, sent: Duration) {
        self.on_inconclusive();
        self.sent.remove(sent.as_secs_f64());
        self.next_paced -= 1.0 / self.rate();
    }

    /// Records that a call ended in a way that says nothing about the limit, for example with a timeout.
    pub fn on_inconclusive(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Records at `now` that the server accepted the call sent at `sent`.
    pub fn on_accepted(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.on_reply(sent, now, hints);
        let (sent, now) = (sent.as_secs_f64(), now.as_secs_f64());
        self.accepted.insert(sent);
        self.in_flight_cap.observe(now, self.accepted_in_last_minute(now));
        if let Some(lockout) = self.lockout.take_if(|lockout| sent >= lockout.confirmed_at) {
            self.update_estimate(now, &lockout);
        }
        if let Some(lockout) = &mut self.lockout {
            lockout.on_accepted_in_flight();
        }
        if let Some(estimate) = &mut self.estimate {
            estimate.on_accepted(sent, now, self.latency.peak, &self.accepted);
            if self.lockout.is_none() {
                self.recovery.on_accepted(now, estimate);
            }
        } else if self.lockout.is_none() {
            self.search.on_accepted(sent, now, &self.accepted);
        }
    }

    /// Records at `now` that the server refused the call sent at `sent` for its rate limit.
    pub fn on_refused(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.on_reply(sent, now, hints);
        let reset = hints.reset.map(|reset| reset.as_secs_f64()).filter(|reset| *reset > 0.0);
        let refused = RefusedCall { sent: sent.as_secs_f64(), replied: now.as_secs_f64(), reset };
        let window = self.window();
        let is_trial = self.recovery.is_trial();
        if let Some(estimate) = &mut self.estimate {
            self.recovery.on_refused(refused.replied, estimate);
        }
        if let Some(lockout) = &mut self.lockout {
            lockout.on_refused(&refused, window, self.latency.peak);
            return;
        }
        let mut lockout = Lockout::begin(&refused, window, self.latency.peak);
        lockout.is_trial = is_trial;
        self.lockout = Some(lockout);
        if let Some(estimate) = &mut self.estimate {
            estimate.on_refused(&refused, &self.accepted);
        } else {
            let accepted = self.accepted_around(refused.sent, LimitWindow::Second);
            self.search.on_refused(LimitWindow::Second.estimate_limit(accepted, hints.limit));
        }
    }

    /// The present rate in calls per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let rate = self.estimate.as_ref().map_or_else(|| self.search.rate(), LimitEstimate::rate);
        rate.min(self.ceiling.map_or(f64::INFINITY, |ceiling| ceiling.rate))
    }

    /// The estimated limit. `None` until the first estimate.
    #[must_use]
    pub fn limit(&self) -> Option<WindowLimit> {
        let estimate = self.estimate.as_ref()?;
        let window = Duration::from_secs_f64(estimate.window.seconds());
        Some(WindowLimit { calls: estimate.calls, window })
    }

    /// Restores a limit that was found before, for example before a restart.
    pub fn restore(&mut self, limit: WindowLimit) {
        let per_second = limit.calls / limit.window.as_secs_f64();
        let window = if limit.window < MINUTE_WINDOW_MIN { LimitWindow::Second } else { LimitWindow::Minute };
        let calls = per_second * window.seconds();
        // The phase of the windows is unknown until the first refusal.
        let estimate = LimitEstimate::new(window, calls, Some(WindowPhase::new(0.0)), Some(calls));
        self.recovery.set_proven(Some(estimate.clone()));
        self.estimate = Some(estimate);
        self.in_flight_cap.rule_out(per_second * LimitWindow::Minute.seconds());
    }

    /// Uses at most `share` of the rate, 0 to 1, from `from` on, until this is called again. The estimate of the limit
    /// does not change with it: calls far below the limit say nothing about it. After the reduction, the whole rate is
    /// used at once.
    pub fn reduce(&mut self, share: f64, from: Duration) {
        self.reduction = Some(Reduction { share: share.clamp(MIN_SHARE, 1.0), from: from.as_secs_f64() });
    }

    /// The rate at `now` in calls per second, less a [reduction](Self::reduce).
    #[must_use]
    pub fn reduced_rate(&self, now: Duration) -> f64 {
        self.rate() * self.share(now.as_secs_f64()).unwrap_or(1.0)
    }

    /// The calls that were sent in the minute before `now`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of calls; the cast saturates")]
    pub fn recent_calls(&self, now: Duration) -> RecentCalls {
        let now = now.as_secs_f64();
        RecentCalls::count(|min_age, max_age| self.sent.count_between(now - max_age, now - min_age) as u32)
    }

    /// Continues after the calls of another process under the same limit, which were counted `age` before `now`. They use
    /// up the limit, but do not delay the next call further. Calls of the same time that are known already are not added
    /// again. While no limit is known, the search continues at their rate.
    pub fn restore_calls(&mut self, calls: &RecentCalls, age: Duration, now: Duration) {
        let counted_at = now.as_secs_f64() - age.as_secs_f64();
        for bucket in calls.buckets() {
            let (from, to) = (counted_at - bucket.max_age, counted_at - bucket.min_age);
            let known = self.sent.count_between(from, to);
            let calls = f64::from(bucket.calls);
            for call in (0..bucket.calls).map(f64::from).filter(|call| *call >= known) {
                // Evenly, because nothing more is known.
                let at = to - (to - from) * (call + POSITION_IN_BUCKET) / calls;
                self.sent.insert(at);
                self.accepted.insert(at);
            }
            self.search.resume_at(calls / (bucket.max_age - bucket.min_age));
        }
    }

    /// The number of calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The mean time from sending a call to its reply.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_secs_f64(self.latency.mean)
    }

    /// Updates what accepted and refused calls update alike.
    fn on_reply(&mut self, sent: Duration, now: Duration, hints: &RateLimitHints) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.latency.observe(now.saturating_sub(sent).as_secs_f64());
        self.header_limit = hints.limit.or(self.header_limit);
    }

    fn window(&self) -> Option<LimitWindow> {
        self.estimate.as_ref().map(|estimate| estimate.window)
    }

    fn accepted_in_last_minute(&self, now: f64) -> f64 {
        self.accepted.count_between(now - LimitWindow::Minute.seconds(), now)
    }

    /// Calls that may be in flight: rate × latency (Little's law) with headroom.
    fn in_flight_limit(&self, now: f64) -> usize {
        if self.lockout.as_ref().is_some_and(|lockout| lockout.needs_single_probes(self.window())) {
            return 1;
        }
        let concentration = self.window_plan().map_or(1.0, |plan| 1.0 / plan.usable_seconds());
        let needed = IN_FLIGHT_HEADROOM_FACTOR * self.rate() * self.latency.peak * concentration;
        let needed = floor_to_usize(needed.ceil()) + IN_FLIGHT_HEADROOM_CALLS;
        let cap = self.in_flight_cap(now).unwrap_or(usize::MAX);
        needed.min(self.max_in_flight).min(cap)
    }

    fn in_flight_cap(&self, now: f64) -> Option<usize> {
        if self.window() == Some(LimitWindow::Minute) {
            return None;
        }
        self.in_flight_cap.cap(self.accepted_in_last_minute(now)).map(floor_to_usize)
    }

    /// The share of the rate that is used at `now`. `None`: all of it.
    fn share(&self, now: f64) -> Option<f64> {
        self.reduction.filter(|reduction| reduction.from <= now).map(|reduction| reduction.share)
    }

    /// When the reduction permits the next call.
    fn next_send_by_reduction(&self, now: f64) -> f64 {
        let next = self.share(now).zip(self.sent.newest());
        next.map_or(0.0, |(share, newest)| newest + 1.0 / (share * self.rate()))
    }

    /// When the rate permits the next call.
    fn next_send_by_rate(&self, now: f64) -> f64 {
        match &self.estimate {
            Some(LimitEstimate { phase: Some(phase), .. }) => {
                self.window_plan().map_or(self.next_paced, |plan| phase.next_send(now, &self.sent, plan))
            }
            Some(estimate) if estimate.window == LimitWindow::Minute => self.next_send_by_minute(now, estimate),
            _ => self.next_paced,
        }
    }

    /// When a limit per minute permits the next call. After an idle minute the first calls are not spread over the
    /// minute.
    fn next_send_by_minute(&self, now: f64, estimate: &LimitEstimate) -> f64 {
        let span = estimate.span();
        let allowance = floor_to_usize(estimate.allowance()).max(1);
        let below_limit = self.sent.nth_newest(allowance).map_or(0.0, |oldest| oldest + span);
        let burst_calls = (estimate.calls * MINUTE_BURST_SHARE).floor();
        let may_burst = self.sent.count_between(now - span, now) < burst_calls;
        let at_start_rate = self.sent.newest().map_or(0.0, |newest| newest + 1.0 / self.start_rate);
        let paced = if may_burst { at_start_rate.min(self.next_paced) } else { self.next_paced };
        paced.max(below_limit)
    }

    /// How to place calls in windows whose phase is known. The guard is part of the latency, but small enough for the
    /// permitted calls in flight to use the limit.
    fn window_plan(&self) -> Option<WindowPlan> {
        let estimate = self.estimate.as_ref().filter(|estimate| estimate.phase.is_some())?;
        let calls = estimate.allowance();
        let max_in_flight = count_to_f64(self.max_in_flight);
        let needed_seconds = calls * self.latency.peak / (GUARD_IN_FLIGHT_SHARE * max_in_flight);
        let guard = (GUARD_LATENCIES * self.latency.peak)
            .clamp(MIN_GUARD_SECONDS, MAX_GUARD_SECONDS)
            .min(WindowPlan::guard_for(needed_seconds))
            .max(SHORT_GUARD_SECONDS);
        Some(WindowPlan { calls, guard })
    }

    /// Updates the estimate at the end of a lockout. A published limit per minute that had not been ruled out is a
    /// second limit beside the one per second; any other lowered estimate can be the effect of a disturbance.
    fn update_estimate(&mut self, now: f64, lockout: &Lockout) {
        let window = self.window_of(lockout);
        let Some(estimate) = &mut self.estimate else { return self.start_estimate(window, lockout, None) };
        let accepted = self.accepted.count_between(lockout.first_sent - estimate.window.seconds(), lockout.first_sent);
        let is_longer_window = window > estimate.window;
        let is_contradicted = is_longer_window || contradicts(lockout, estimate.window, accepted);
        if !is_contradicted {
            return;
        }
        if lockout.is_trial {
            return self.recovery.fail_trial(estimate);
        }
        if !is_longer_window && estimate.has_unproven_phase() {
            return estimate.switch_to_paced();
        }
        let contradicted = (!is_longer_window).then_some(estimate.calls);
        let window = window.max(estimate.window);
        self.start_estimate(window, lockout, contradicted);
        let minute_estimate = self.estimate.as_mut().filter(|_| window == LimitWindow::Minute);
        let Some(estimate) = minute_estimate else { return };
        if is_longer_window && estimate.is_confirmed() && self.in_flight_cap.is_open(estimate.calls) {
            self.recovery.set_proven(None);
        } else {
            self.recovery.on_minute_lowered(now, estimate);
        }
    }

    /// The window of the limit that caused a lockout.
    fn window_of(&self, lockout: &Lockout) -> LimitWindow {
        let reordered_until = lockout.first_sent + REORDERING_LATENCIES * self.latency.peak;
        let accepted_meanwhile = self.accepted.count_between(reordered_until, lockout.last_sent);
        let is_long = lockout.length() > SECOND_LOCKOUT_MAX_SECONDS && accepted_meanwhile < MIN_ACCEPTED_IN_GAP;
        let has_long_reset = lockout.reset.is_some_and(|reset| reset > SECOND_RESET_MAX_SECONDS);
        if has_long_reset || (lockout.is_of_unknown_length() && is_long) {
            LimitWindow::Minute
        } else {
            LimitWindow::Second
        }
    }

    /// The calls accepted in about one window's length before a refused call was sent, or in one window's length after
    /// it if those are more: a token bucket accepts calls after a refused one, and a fixed window at most those of the
    /// next window.
    fn accepted_around(&self, refused_at: f64, window: LimitWindow) -> f64 {
        let from = refused_at - window.seconds() - COUNT_TOLERANCE_SECONDS;
        let before = self.accepted.count_between(from, refused_at);
        before.max(self.accepted.count_between(refused_at, refused_at + window.seconds()))
    }

    /// Starts a new estimate from the calls accepted before a lockout. It is lower than a `contradicted` limit in calls
    /// per window.
    fn start_estimate(&mut self, window: LimitWindow, lockout: &Lockout, contradicted: Option<f64>) {
        let accepted = self.accepted_around(lockout.first_sent, window);
        let header_limit = self.header_limit.filter(|_| lockout.reset.is_some());
        let limit = window.estimate_limit(accepted, header_limit);
        let phase = Some(WindowPhase::new(lockout.window_end()));
        let proven = self.recovery.proven_calls(window);
        self.estimate = Some(match contradicted {
            None => LimitEstimate::new(window, limit, phase, header_limit),
            Some(contradicted) => {
                let is_lower = limit < MAX_SHARE_OF_CONTRADICTED * contradicted;
                let fallback = (FALLBACK_SHARE_OF_CONTRADICTED * contradicted).max(MIN_ESTIMATE_CALLS);
                let calls = if is_lower { limit } else { fallback };
                LimitEstimate::new(window, calls, phase, header_limit).with_former_limit(proven.unwrap_or(contradicted))
            }
        });
    }
}

/// Whether a lockout contradicts the estimate. `accepted` is the number of calls accepted in one window's length before
/// it.
fn contradicts(lockout: &Lockout, window: LimitWindow, accepted: f64) -> bool {
    let is_too_long = window == LimitWindow::Minute && lockout.length() > LONG_LOCKOUT_SHARE * window.seconds();
    let has_too_many_refusals = lockout.refusals > MAX_EXPECTED_REFUSALS
        && f64::from(lockout.refusals) > EXPECTED_REFUSALS_SHARE * accepted + EXPECTED_REFUSALS_CALLS;
    is_too_long || has_too_many_refusals
}

fn count_to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of calls; the cast saturates")]
fn floor_to_usize(number: f64) -> usize {
    number as usize
}

impl RateCeiling {
    /// A whole number of calls in a span of at most a second, or one call in a longer span.
    fn new(rate: f64) -> Self {
        let rate = rate.max(MIN_CEILING);
        let calls = floor_to_usize(rate).max(1);
        Self { rate, calls, span: u32::try_from(calls).map_or(1.0, f64::from) / rate }
    }

    fn next_send(&self, sent: &CallTimes) -> Option<f64> {
        sent.nth_newest(self.calls).map(|oldest| oldest + self.span + CEILING_ROUNDING_SECONDS)
    }
}

impl LatencyEstimate {
    fn observe(&mut self, latency: f64) {
        self.mean += (latency - self.mean) / MEAN_LATENCY_CALLS;
        self.peak = (self.peak * PEAK_LATENCY_DECAY).max(latency);
    }
}
