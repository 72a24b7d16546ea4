//! [`MonthlyQuota`]: counts the calls of the month, limits them as configured, and blocks them once upstream refuses them.
//!
//! A quota can be bought or raised during the month, and nothing announces it. So one call an hour is tried, and one after
//! a restart. Other calls wait for the result of the trial.

use std::{pin::pin, sync::Arc};

use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::Offset};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    model::{Clock, Day},
    prometheus::{Collector, Exposition},
    source::{LoadError, Priority, UpstreamDetail},
};

/// Time zone in which months are counted: China standard time, UTC+8.
const QUOTA_UTC_OFFSET: Offset = Offset::constant(8);

/// Interval of the trial calls after upstream has refused calls for the rest of the month.
const TRIAL_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Shares of the monthly limit at which a warning is logged.
const WARNING_SHARES: [f64; 2] = [0.80, 0.95];

/// Configuration of the monthly quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuotaConfig {
    /// Maximum number of successful calls per month. `None`: only the upstream quota applies.
    pub monthly_limit: Option<u64>,
    /// Share of the limit that only interactive calls use, 0 to 1.
    pub interactive_share: f64,
}

/// Counts the calls of the month and decides whether another call may be made.
#[derive(Debug)]
pub struct MonthlyQuota {
    clock: Arc<dyn Clock>,
    config: QuotaConfig,
    state: Mutex<QuotaState>,
    /// Notified when a trial call has ended, or when the record of the fleet is renewed.
    changed: Notify,
}

/// Call count of one month, as stored in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthlyCalls {
    /// The first day of the month, in UTC+8.
    pub month: Day,
    /// Successful calls. Documented: Feishu does not count failed calls.
    pub calls: u64,
    /// Whether upstream refused the last call because its quota is exhausted.
    #[serde(default)]
    pub exhausted: bool,
}

/// A call in flight. It counts toward the limit until it is dropped. [`QuotaCharge::commit`] counts it permanently, and so
/// does a drop after [`QuotaCharge::mark_sent`]; not after [`QuotaCharge::mark_failed`].
#[derive(Debug)]
pub struct QuotaCharge {
    quota: Arc<MonthlyQuota>,
    is_trial: bool,
    /// Set while the reply is not known. A call that is cancelled then may have been successful.
    is_sent: bool,
}

/// Why a call may not be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaRefusal {
    /// The quota is exhausted.
    Exhausted(LoadError),
    /// A trial call is in flight. [`MonthlyQuota::admit`] waits for its end.
    TrialInFlight,
    /// The record of the fleet must be renewed first. [`MonthlyQuota::admit`] waits for that.
    AwaitsRenewal,
}

#[derive(Debug)]
struct QuotaState {
    counted: MonthlyCalls,
    /// Calls in flight.
    in_flight: u64,
    /// The count that the calls may reach before the record of the fleet is renewed. `None`: there is no such bound.
    max_calls_until_renewal: Option<u64>,
    /// Set while upstream refuses calls for the rest of the month.
    exhausted: Option<Exhausted>,
    logged_warnings: usize,
}

/// The state after upstream has refused calls for the rest of the month.
#[derive(Clone, Debug)]
struct Exhausted {
    /// The reply that refused the last call.
    upstream: UpstreamDetail,
    next_trial: Timestamp,
    trial_in_flight: bool,
}

impl MonthlyQuota {
    /// Creates a quota without counted calls.
    #[must_use]
    pub fn new(config: QuotaConfig, clock: Arc<dyn Clock>) -> Self {
        let state = QuotaState::of(first_of_month(clock.now()));
        Self { clock, config, state: Mutex::new(state), changed: Notify::new() }
    }

    /// The first day of the month at `now`, in UTC+8.
    #[must_use]
    pub fn month_at(now: Timestamp) -> Day {
        first_of_month(now)
    }

    /// Restores the count of a previous process. A count of another month is ignored. If upstream refused calls, the next
    /// call is a trial.
    pub fn restore(&self, restored: &MonthlyCalls) {
        let mut state = self.current_state();
        if restored.month == state.counted.month {
            state.counted.calls = state.counted.calls.max(restored.calls);
            if restored.exhausted {
                let (upstream, next_trial) = (UpstreamDetail::default(), self.clock.now());
                state.exhausted = Some(Exhausted { upstream, next_trial, trial_in_flight: false });
            }
        }
    }

    /// The count that this many further calls reach, for the record of the fleet. Calls in flight are included, because they
    /// may be counted.
    #[must_use]
    pub fn count_with(&self, further_calls: u64) -> u64 {
        let state = self.current_state();
        let count = (state.counted.calls + state.in_flight).saturating_add(further_calls);
        self.config.monthly_limit.map_or(count, |limit| count.min(limit.max(state.counted.calls)))
    }

    /// Lets the calls of this month reach this count, after it was stored in the record of the fleet. Without a monthly limit
    /// there is no bound.
    pub fn allow_until(&self, month: Day, count: u64) {
        let mut state = self.current_state();
        if self.config.monthly_limit.is_some() && state.counted.month == month {
            state.max_calls_until_renewal = Some(count);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Checks whether a call may be made. Waits while a trial call is in flight, or for the renewal of the record of the fleet.
    ///
    /// # Errors
    /// [`LoadError::QuotaExhausted`] if upstream refuses calls for the rest of the month and no trial is due, or if the
    /// configured limit is reached.
    pub async fn admit(&self, priority: Priority) -> Result<(), LoadError> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the check, so that an end between the check and the wait is not missed.
            changed.as_mut().enable();
            let admission = self.check(&self.current_state(), priority);
            match admission {
                Ok(()) => return Ok(()),
                Err(QuotaRefusal::Exhausted(error)) => return Err(error),
                Err(QuotaRefusal::TrialInFlight | QuotaRefusal::AwaitsRenewal) => changed.await,
            }
        }
    }

    /// Counts one call as in flight. If upstream refuses calls and a trial is due, the call is the trial.
    ///
    /// # Errors
    /// [`QuotaRefusal`] if the call may not be made now.
    pub fn charge(self: &Arc<Self>, priority: Priority) -> Result<QuotaCharge, QuotaRefusal> {
        let mut state = self.current_state();
        self.check(&state, priority)?;
        state.in_flight += 1;
        let is_trial = state.exhausted.is_some();
        if let Some(exhausted) = &mut state.exhausted {
            exhausted.trial_in_flight = true;
        }
        Ok(QuotaCharge { quota: Arc::clone(self), is_trial, is_sent: false })
    }

    /// Whether this many calls can be made without the share of interactive calls.
    #[must_use]
    pub fn admits(&self, calls: u64) -> bool {
        let state = self.current_state();
        let used = state.counted.calls + state.in_flight;
        state.exhausted.is_none()
            && self.limit_for(Priority::Background).is_none_or(|limit| used.saturating_add(calls) <= limit)
    }

    fn check(&self, state: &QuotaState, priority: Priority) -> Result<(), QuotaRefusal> {
        match &state.exhausted {
            Some(exhausted) if exhausted.trial_in_flight => return Err(QuotaRefusal::TrialInFlight),
            Some(exhausted) if self.clock.now() < exhausted.next_trial => {
                return Err(QuotaRefusal::Exhausted(exhausted.error(state)));
            }
            _ => {}
        }
        match self.limit_for(priority) {
            Some(limit) if state.counted.calls + state.in_flight >= limit => {
                let (upstream, until) = (UpstreamDetail::default(), next_month_start(state.counted.month));
                Err(QuotaRefusal::Exhausted(LoadError::QuotaExhausted { upstream, until }))
            }
            _ if state.max_calls_until_renewal.is_some_and(|max| state.counted.calls + state.in_flight >= max) => {
                Err(QuotaRefusal::AwaitsRenewal)
            }
            _ => Ok(()),
        }
    }

    fn count_call(&self) {
        let mut state = self.current_state();
        state.counted.calls += 1;
        if state.exhausted.take().is_some() {
            state.counted.exhausted = false;
            tracing::info!("upstream accepts calls again after the monthly quota was exhausted");
        }
        let Some(limit) = self.config.monthly_limit else { return };
        let used_share = state.counted.calls as f64 / limit.max(1) as f64;
        if WARNING_SHARES.get(state.logged_warnings).is_some_and(|share| used_share >= *share) {
            state.logged_warnings += 1;
            tracing::warn!(
                quota.calls = state.counted.calls,
                quota.monthly = limit,
                "the monthly limit of upstream calls is nearly reached"
            );
        }
    }

    /// Records that upstream refuses calls for the rest of the month. Returns the error for the refused call.
    pub fn record_exhausted(&self, upstream: UpstreamDetail) -> LoadError {
        let mut state = self.current_state();
        let next_trial = self.clock.now() + TRIAL_INTERVAL;
        let trial_in_flight = state.exhausted.as_ref().is_some_and(|before| before.trial_in_flight);
        let exhausted = Exhausted { upstream, next_trial, trial_in_flight };
        let error = exhausted.error(&state);
        state.counted.exhausted = true;
        if state.exhausted.replace(exhausted).is_none() {
            tracing::error!(%error, "the monthly upstream quota is exhausted; one call an hour is tried");
        }
        error
    }

    /// The call count of the current month.
    #[must_use]
    pub fn calls_this_month(&self) -> MonthlyCalls {
        self.current_state().counted.clone()
    }

    /// The configured maximum number of calls per month.
    #[must_use]
    pub const fn monthly_limit(&self) -> Option<u64> {
        self.config.monthly_limit
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    fn limit_for(&self, priority: Priority) -> Option<u64> {
        let limit = self.config.monthly_limit?;
        Some(match priority {
            Priority::Interactive => limit,
            Priority::Background => (limit as f64 * (1.0 - self.config.interactive_share.clamp(0.0, 1.0))) as u64,
        })
    }

    /// The state of the current month. It is reset when a new month starts.
    fn current_state(&self) -> MutexGuard<'_, QuotaState> {
        let mut state = self.state.lock();
        let month = first_of_month(self.clock.now());
        if state.counted.month != month {
            // The record of the fleet has no reserved calls of the new month yet.
            let max_calls_until_renewal = state.max_calls_until_renewal.map(|_| 0);
            *state = QuotaState { max_calls_until_renewal, ..QuotaState::of(month) };
        }
        state
    }
}

impl Collector for MonthlyQuota {
    fn collect(&self, exposition: &mut Exposition) {
        let (used, spent) = {
            let state = self.current_state();
            (state.counted.calls, state.exhausted.is_some())
        };
        exposition
            .gauge("feishu_pulse_upstream_quota_used_calls", "Successful calls to Feishu in the current month (UTC+8).")
            .sample(used as f64);
        exposition
            .gauge("feishu_pulse_upstream_quota_limit_calls", "Configured maximum number of calls per month.")
            .optional(self.config.monthly_limit.map(|calls| calls as f64));
        exposition
            .gauge("feishu_pulse_upstream_quota_spent", "1 while Feishu refuses calls for the rest of the month.")
            .sample(f64::from(u8::from(spent)));
    }
}

impl QuotaCharge {
    /// Counts the call if it is dropped before its reply is known.
    pub fn mark_sent(&mut self) {
        self.is_sent = true;
    }

    /// Counts the call, which was successful.
    pub fn commit(mut self) {
        self.is_sent = false;
        self.quota.count_call();
    }

    /// Does not count the call when it is dropped, because it was not successful.
    pub fn mark_failed(&mut self) {
        self.is_sent = false;
    }
}

impl Drop for QuotaCharge {
    fn drop(&mut self) {
        let mut state = self.quota.current_state();
        if self.is_sent {
            state.counted.calls += 1;
        }
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.is_trial {
            if let Some(exhausted) = &mut state.exhausted {
                exhausted.trial_in_flight = false;
            }
            drop(state);
            self.quota.changed.notify_waiters();
        }
    }
}

impl Exhausted {
    fn error(&self, state: &QuotaState) -> LoadError {
        let until = self.next_trial.min(next_month_start(state.counted.month));
        LoadError::QuotaExhausted { upstream: self.upstream.clone(), until }
    }
}

impl QuotaState {
    const fn of(month: Day) -> Self {
        Self {
            counted: MonthlyCalls { month, calls: 0, exhausted: false },
            in_flight: 0,
            max_calls_until_renewal: None,
            exhausted: None,
            logged_warnings: 0,
        }
    }
}

/// The first day of the month that contains `now`, in UTC+8.
fn first_of_month(now: Timestamp) -> Day {
    Day::from_date(QUOTA_UTC_OFFSET.to_datetime(now).date()).month().first()
}

/// The start of the month after `month`.
fn next_month_start(month: Day) -> Timestamp {
    let first: Date = month.date().saturating_add(1.month());
    QUOTA_UTC_OFFSET.to_timestamp(first.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::ManualClock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quota(now: &str, monthly_limit: Option<u64>) -> (Arc<MonthlyQuota>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(at(now)));
        (Arc::new(MonthlyQuota::new(QuotaConfig { monthly_limit, interactive_share: 0.2 }, clock.clone())), clock)
    }

    fn admission(quota: &MonthlyQuota, priority: Priority) -> Option<Result<(), LoadError>> {
        quota.admit(priority).now_or_never()
    }

    fn exhausted_until(until: &str) -> Result<(), LoadError> {
        Err(LoadError::QuotaExhausted { upstream: UpstreamDetail::default(), until: at(until) })
    }

    #[test]
    fn an_exhausted_quota_blocks_calls_until_the_next_month_in_china_at_the_latest() {
        let (quota, clock) = quota("2026-12-31T15:59:59Z", None);
        assert_eq!(admission(&quota, Priority::Interactive), Some(Ok(())));

        quota.record_exhausted(UpstreamDetail::default());

        let until = "2026-12-31T16:00:00Z";
        assert_eq!(admission(&quota, Priority::Interactive), Some(exhausted_until(until)));
        clock.set(at(until));
        assert_eq!(admission(&quota, Priority::Interactive), Some(Ok(())));
        assert_eq!(
            quota.calls_this_month(),
            MonthlyCalls { month: "2027-01-01".parse().unwrap(), calls: 0, exhausted: false }
        );
    }

    #[test]
    fn one_call_an_hour_is_tried_and_others_wait_for_its_end() {
        let (quota, clock) = quota("2026-11-05T00:00:00Z", None);
        quota.record_exhausted(UpstreamDetail::default());
        clock.set(at("2026-11-05T00:59:59Z"));
        assert_eq!(admission(&quota, Priority::Interactive), Some(exhausted_until("2026-11-05T01:00:00Z")));

        clock.set(at("2026-11-05T01:00:00Z"));
        let trial = quota.charge(Priority::Background).unwrap();
        let mut waiting = pin!(quota.admit(Priority::Interactive));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        assert_eq!(quota.charge(Priority::Interactive).unwrap_err(), QuotaRefusal::TrialInFlight);
        quota.record_exhausted(UpstreamDetail::default());
        drop(trial);

        assert_eq!(waiting.now_or_never(), Some(exhausted_until("2026-11-05T02:00:00Z")));
    }

    #[test]
    fn a_successful_trial_admits_all_calls_and_one_without_a_result_is_repeated() {
        let (quota, clock) = quota("2026-11-05T00:00:00Z", None);
        quota.record_exhausted(UpstreamDetail::default());
        clock.set(at("2026-11-05T01:00:00Z"));

        drop(quota.charge(Priority::Interactive).unwrap());
        let trial = quota.charge(Priority::Interactive).unwrap();
        let waiting = quota.admit(Priority::Interactive);
        trial.commit();

        assert_eq!(waiting.now_or_never(), Some(Ok(())));
        let charges = [(); 3].map(|()| quota.charge(Priority::Interactive));
        assert!(charges.iter().all(Result::is_ok));
        assert!(!quota.calls_this_month().exhausted);
    }

    #[test]
    fn a_call_that_is_cancelled_after_it_was_sent_counts() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(10));
        let sent = || {
            let mut charge = quota.charge(Priority::Interactive).unwrap();
            charge.mark_sent();
            charge
        };
        drop(quota.charge(Priority::Interactive).unwrap());
        sent().mark_failed();
        assert_eq!(quota.calls_this_month().calls, 0);

        drop(sent());
        sent().commit();
        assert_eq!(quota.calls_this_month().calls, 2);
    }

    #[test]
    fn after_a_restart_the_first_call_is_a_trial() {
        let (before, _) = quota("2026-11-05T00:00:00Z", None);
        before.record_exhausted(UpstreamDetail::default());
        let (after, _) = quota("2026-11-05T00:00:05Z", None);
        after.restore(&before.calls_this_month());

        let trial = after.charge(Priority::Interactive).unwrap();
        assert_eq!(admission(&after, Priority::Interactive), None);
        trial.commit();

        assert_eq!(admission(&after, Priority::Interactive), Some(Ok(())));
    }

    #[test]
    fn background_calls_leave_the_reserve_to_interactive_calls() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(10));

        (0..8).for_each(|_| quota.count_call());

        let is_admitted = |priority| quota.charge(priority).is_ok();
        assert!(!is_admitted(Priority::Background));
        assert!(is_admitted(Priority::Interactive));
        (0..2).for_each(|_| quota.count_call());
        assert!(!is_admitted(Priority::Interactive));
    }

    #[test]
    fn calls_in_flight_count_toward_the_limit_and_failed_calls_do_not() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(2));
        let charge = || quota.charge(Priority::Interactive);
        let (first, second) = (charge().unwrap(), charge().unwrap());
        assert!(charge().is_err());

        first.commit();
        drop(second);

        assert_eq!(quota.calls_this_month().calls, 1);
        assert!(charge().is_ok());
    }

    #[test]
    fn calls_wait_until_more_are_reserved_for_the_fleet() {
        let (quota, clock) = quota("2026-11-30T15:59:59Z", Some(10));
        let month = quota.calls_this_month().month;
        let charge = || quota.charge(Priority::Interactive);
        assert_eq!(quota.count_with(2), 2);
        quota.allow_until(month, 2);
        let (first, _second) = (charge().unwrap(), charge().unwrap());
        first.commit();
        assert_eq!(charge().unwrap_err(), QuotaRefusal::AwaitsRenewal);
        let mut waiting = pin!(quota.admit(Priority::Interactive));
        assert_eq!(waiting.as_mut().now_or_never(), None);

        assert_eq!((quota.count_with(1), quota.count_with(100)), (3, 10));
        quota.allow_until(month, 3);
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
        assert!(charge().is_ok());

        // The record reserves calls of the new month before the first one.
        clock.set(at("2026-11-30T16:00:00Z"));
        assert_eq!(charge().unwrap_err(), QuotaRefusal::AwaitsRenewal);
        quota.allow_until(month, 9);
        assert_eq!(charge().unwrap_err(), QuotaRefusal::AwaitsRenewal);
        quota.allow_until(quota.calls_this_month().month, 1);
        assert!(charge().is_ok());
    }

    #[test]
    fn the_count_is_restored_only_within_the_same_month() {
        let (quota, clock) = quota("2026-11-05T00:00:00Z", None);
        quota.count_call();
        let count = quota.calls_this_month();

        let (same, _) = super::tests::quota("2026-11-30T00:00:00Z", None);
        same.restore(&count);
        clock.set(at("2026-12-01T00:00:00Z"));
        quota.restore(&count);

        assert_eq!(same.calls_this_month().calls, 1);
        assert_eq!(quota.calls_this_month().calls, 0);
    }
}
