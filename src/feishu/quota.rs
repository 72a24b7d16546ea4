//! [`MonthlyQuota`]: counts the calls of the month, limits them as configured, and blocks them once upstream refuses them.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::Offset};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Clock, Day},
    prometheus::{Collector, Exposition},
    source::{LoadError, Priority, UpstreamDetail},
};

/// Time zone in which months are counted: China standard time, UTC+8.
const QUOTA_UTC_OFFSET: Offset = Offset::constant(8);

/// Shares of the monthly limit at which a warning is logged.
const WARNING_SHARES: [f64; 2] = [0.80, 0.95];

/// Configuration of the monthly quota.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuotaConfig {
    /// Maximum number of successful calls per month. `None`: only the upstream quota applies.
    pub monthly_limit: Option<u64>,
    /// Share of the limit that is reserved for interactive calls, 0 to 1. Background calls do not use it.
    pub reserve: f64,
}

/// Counts the calls of the month and decides whether another call may be made.
#[derive(Debug)]
pub struct MonthlyQuota {
    clock: Arc<dyn Clock>,
    config: QuotaConfig,
    state: Mutex<QuotaState>,
}

/// Call count of one month, as stored in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthlyCalls {
    /// The first day of the month, in UTC+8.
    pub month: Day,
    /// Successful calls. Documented: Feishu does not count failed calls.
    pub calls: u64,
}

/// A call in flight. It counts toward the limit until it is dropped; [`QuotaCharge::commit`] counts it permanently.
#[derive(Debug)]
pub struct QuotaCharge {
    quota: Arc<MonthlyQuota>,
}

#[derive(Debug)]
struct QuotaState {
    counted: MonthlyCalls,
    /// Calls in flight.
    in_flight: u64,
    /// The reply with which upstream refused calls for the rest of the month.
    exhausted: Option<UpstreamDetail>,
    logged_warnings: usize,
}

impl MonthlyQuota {
    /// Creates a quota without counted calls.
    #[must_use]
    pub fn new(config: QuotaConfig, clock: Arc<dyn Clock>) -> Self {
        let state = QuotaState::of(first_of_month(clock.now()));
        Self { clock, config, state: Mutex::new(state) }
    }

    /// The first day of the month at `now`, in UTC+8.
    #[must_use]
    pub fn month_at(now: Timestamp) -> Day {
        first_of_month(now)
    }

    /// Restores the count of a previous process. A count of another month is ignored.
    pub fn restore(&self, restored: &MonthlyCalls) {
        let mut state = self.current_state();
        if restored.month == state.counted.month {
            state.counted.calls = state.counted.calls.max(restored.calls);
        }
    }

    /// Checks whether a call may be made.
    ///
    /// # Errors
    /// [`LoadError::QuotaExhausted`] if upstream refuses calls for the rest of the month, or if the configured limit is
    /// reached.
    pub fn check(&self, priority: Priority) -> Result<(), LoadError> {
        let state = self.current_state();
        if let Some(upstream) = &state.exhausted {
            return Err(exhausted_error(&state, upstream.clone()));
        }
        match self.limit_for(priority) {
            Some(limit) if state.counted.calls + state.in_flight >= limit => {
                Err(exhausted_error(&state, UpstreamDetail::default()))
            }
            _ => Ok(()),
        }
    }

    /// Reserves one call.
    ///
    /// # Errors
    /// The same as [`MonthlyQuota::check`].
    pub fn charge(self: &Arc<Self>, priority: Priority) -> Result<QuotaCharge, LoadError> {
        self.check(priority)?;
        self.current_state().in_flight += 1;
        Ok(QuotaCharge { quota: Arc::clone(self) })
    }

    fn count_call(&self) {
        let mut state = self.current_state();
        state.counted.calls += 1;
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
        let error = exhausted_error(&state, upstream.clone());
        if state.exhausted.replace(upstream).is_none() {
            tracing::error!(%error, "the monthly upstream quota is exhausted; no call is made until the next month");
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
            Priority::Background => (limit as f64 * (1.0 - self.config.reserve.clamp(0.0, 1.0))) as u64,
        })
    }

    /// The state of the current month. It is reset when a new month starts.
    fn current_state(&self) -> MutexGuard<'_, QuotaState> {
        let mut state = self.state.lock();
        let month = first_of_month(self.clock.now());
        if state.counted.month != month {
            *state = QuotaState::of(month);
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
    /// Counts the call, which was successful.
    pub fn commit(self) {
        self.quota.count_call();
    }
}

impl Drop for QuotaCharge {
    fn drop(&mut self) {
        let mut state = self.quota.current_state();
        state.in_flight = state.in_flight.saturating_sub(1);
    }
}

impl QuotaState {
    const fn of(month: Day) -> Self {
        Self { counted: MonthlyCalls { month, calls: 0 }, in_flight: 0, exhausted: None, logged_warnings: 0 }
    }
}

fn exhausted_error(state: &QuotaState, upstream: UpstreamDetail) -> LoadError {
    LoadError::QuotaExhausted { upstream, until: next_month_start(state.counted.month) }
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
    use super::*;
    use crate::model::ManualClock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quota(now: &str, monthly_limit: Option<u64>) -> (Arc<MonthlyQuota>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(at(now)));
        (Arc::new(MonthlyQuota::new(QuotaConfig { monthly_limit, reserve: 0.2 }, clock.clone())), clock)
    }

    #[test]
    fn an_exhausted_quota_blocks_calls_until_the_next_month_in_china() {
        let (quota, clock) = quota("2026-12-31T15:59:59Z", None);
        assert_eq!(quota.check(Priority::Interactive), Ok(()));

        quota.record_exhausted(UpstreamDetail::default());

        let until = at("2026-12-31T16:00:00Z");
        let error = LoadError::QuotaExhausted { upstream: UpstreamDetail::default(), until };
        assert_eq!(quota.check(Priority::Interactive), Err(error));
        clock.set(until);
        assert_eq!(quota.check(Priority::Interactive), Ok(()));
        assert_eq!(quota.calls_this_month().calls, 0);
    }

    #[test]
    fn background_calls_leave_the_reserve_to_interactive_calls() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(10));

        (0..8).for_each(|_| quota.count_call());

        assert!(quota.check(Priority::Background).is_err());
        assert!(quota.check(Priority::Interactive).is_ok());
        (0..2).for_each(|_| quota.count_call());
        assert!(quota.check(Priority::Interactive).is_err());
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
