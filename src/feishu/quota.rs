//! The tenant's calls of the month: counted, kept within what the operator sets, and stopped where they are spent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::Offset};
use serde::{Deserialize, Serialize};

use crate::{
    meter::{Exposition, Meter},
    model::{Clock, Day},
    source::{LoadError, Priority, Upstream},
};

/// Upstream counts months in China's time.
const ZONE: Offset = Offset::constant(8);

/// Shares of the month's calls at which the operator is warned.
const WARNINGS: [f64; 2] = [0.80, 0.95];

/// What an operator may set about the month's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QuotaConfig {
    /// Calls a month that this gateway may make; without it, only upstream's own quota counts.
    pub monthly: Option<u64>,
    /// The share of them, 0 to 1, that is kept for callers who wait: background work stops short of it.
    pub reserve: f64,
}

/// Counts the month's calls, and says whether another may be made.
#[derive(Debug)]
pub struct Quota {
    clock: Arc<dyn Clock>,
    config: QuotaConfig,
    state: Mutex<State>,
}

/// Calls that were made in a month, in a form that survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthlyCalls {
    /// The first day of the month, in UTC+8.
    pub month: Day,
    /// Successful calls. Upstream counts no others.
    pub calls: u64,
}

/// A call that is about to be made, which has its place within the month's calls until it is known what became of it.
#[derive(Debug)]
pub struct Charge {
    quota: Arc<Quota>,
}

#[derive(Debug)]
struct State {
    made: MonthlyCalls,
    /// Calls under way.
    pending: u64,
    /// What upstream said when it refused the month's calls.
    refused: Option<Upstream>,
    warnings: usize,
}

impl Quota {
    /// A quota of which nothing has been used.
    #[must_use]
    pub fn new(config: QuotaConfig, clock: Arc<dyn Clock>) -> Self {
        let state = State::of(month(clock.now()));
        Self { clock, config, state: Mutex::new(state) }
    }

    /// Goes on counting where a former process stopped, if that was in the same month.
    pub fn resume(&self, made: &MonthlyCalls) {
        let mut state = self.current();
        if made.month == state.made.month {
            state.made.calls = state.made.calls.max(made.calls);
        }
    }

    /// Whether a call may be made.
    ///
    /// # Errors
    /// [`LoadError::QuotaExhausted`] while upstream refuses calls for the rest of the month, or where the calls that
    /// the operator allows are used up.
    pub fn check(&self, priority: Priority) -> Result<(), LoadError> {
        let state = self.current();
        if let Some(upstream) = &state.refused {
            return Err(exhausted(&state, upstream.clone()));
        }
        match self.allowed(priority) {
            Some(allowed) if state.made.calls + state.pending >= allowed => Err(exhausted(&state, Upstream::default())),
            _ => Ok(()),
        }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// As [`Quota::check`].
    pub fn charge(self: &Arc<Self>, priority: Priority) -> Result<Charge, LoadError> {
        self.check(priority)?;
        self.current().pending += 1;
        Ok(Charge { quota: Arc::clone(self) })
    }

    fn count(&self) {
        let mut state = self.current();
        state.made.calls += 1;
        let Some(monthly) = self.config.monthly else { return };
        let used = state.made.calls as f64 / monthly.max(1) as f64;
        if WARNINGS.get(state.warnings).is_some_and(|share| used >= *share) {
            state.warnings += 1;
            tracing::warn!(
                quota.calls = state.made.calls,
                quota.monthly = monthly,
                "the month's calls are running out"
            );
        }
    }

    /// Takes note that upstream refuses calls for the rest of the month.
    pub fn refused(&self, upstream: Upstream) -> LoadError {
        let mut state = self.current();
        let error = exhausted(&state, upstream.clone());
        if state.refused.replace(upstream).is_none() {
            tracing::error!(%error, "no call is made until the next month");
        }
        error
    }

    /// The calls of this month.
    #[must_use]
    pub fn made(&self) -> MonthlyCalls {
        self.current().made.clone()
    }

    /// Calls a month that the operator allows.
    #[must_use]
    pub const fn monthly(&self) -> Option<u64> {
        self.config.monthly
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    fn allowed(&self, priority: Priority) -> Option<u64> {
        let monthly = self.config.monthly?;
        Some(match priority {
            Priority::Interactive => monthly,
            Priority::Background => (monthly as f64 * (1.0 - self.config.reserve.clamp(0.0, 1.0))) as u64,
        })
    }

    /// The state of the present month: a new month begins afresh.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let month = month(self.clock.now());
        if state.made.month != month {
            *state = State::of(month);
        }
        state
    }
}

impl Meter for Quota {
    fn write(&self, page: &mut Exposition) {
        let (used, spent) = {
            let state = self.current();
            (state.made.calls, state.refused.is_some())
        };
        page.gauge("feishu_pulse_upstream_quota_used_calls", "Successful calls of Feishu in this month (UTC+8).")
            .value(used as f64);
        page.gauge("feishu_pulse_upstream_quota_limit_calls", "Calls a month that the operator allows.")
            .known(self.config.monthly.map(|calls| calls as f64));
        page.gauge("feishu_pulse_upstream_quota_spent", "1 while Feishu refuses calls for the rest of the month.")
            .value(f64::from(u8::from(spent)));
    }
}

impl Charge {
    /// The call was successful, so upstream counts it.
    pub fn spend(self) {
        self.quota.count();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.quota.current();
        state.pending = state.pending.saturating_sub(1);
    }
}

impl State {
    const fn of(month: Day) -> Self {
        Self { made: MonthlyCalls { month, calls: 0 }, pending: 0, refused: None, warnings: 0 }
    }
}

fn exhausted(state: &State, upstream: Upstream) -> LoadError {
    LoadError::QuotaExhausted { upstream, until: next(state.made.month) }
}

/// The first day of the month in which `now` lies.
fn month(now: Timestamp) -> Day {
    Day::from_date(ZONE.to_datetime(now).date()).month().first()
}

/// The instant at which the month after begins.
fn next(month: Day) -> Timestamp {
    let first: Date = month.date().saturating_add(1.month());
    ZONE.to_timestamp(first.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ManualClock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quota(now: &str, monthly: Option<u64>) -> (Arc<Quota>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(at(now)));
        (Arc::new(Quota::new(QuotaConfig { monthly, reserve: 0.2 }, clock.clone())), clock)
    }

    #[test]
    fn refused_calls_stop_until_the_first_of_the_next_month_in_china() {
        let (quota, clock) = quota("2026-12-31T15:59:59Z", None);
        assert_eq!(quota.check(Priority::Interactive), Ok(()));

        quota.refused(Upstream::default());

        let until = at("2026-12-31T16:00:00Z");
        let error = LoadError::QuotaExhausted { upstream: Upstream::default(), until };
        assert_eq!(quota.check(Priority::Interactive), Err(error));
        clock.set(until);
        assert_eq!(quota.check(Priority::Interactive), Ok(()));
        assert_eq!(quota.made().calls, 0);
    }

    #[test]
    fn a_share_of_the_calls_is_kept_for_those_who_wait() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(10));

        (0..8).for_each(|_| quota.count());

        assert!(quota.check(Priority::Background).is_err());
        assert!(quota.check(Priority::Interactive).is_ok());
        (0..2).for_each(|_| quota.count());
        assert!(quota.check(Priority::Interactive).is_err());
    }

    #[test]
    fn calls_under_way_have_their_place_and_failed_ones_leave_it() {
        let (quota, _) = quota("2026-11-05T00:00:00Z", Some(2));
        let charge = || quota.charge(Priority::Interactive);
        let (first, second) = (charge().unwrap(), charge().unwrap());
        assert!(charge().is_err());

        first.spend();
        drop(second);

        assert_eq!(quota.made().calls, 1);
        assert!(charge().is_ok());
    }

    #[test]
    fn counting_goes_on_after_a_restart_within_the_same_month_only() {
        let (quota, clock) = quota("2026-11-05T00:00:00Z", None);
        quota.count();
        let made = quota.made();

        let (same, _) = super::tests::quota("2026-11-30T00:00:00Z", None);
        same.resume(&made);
        clock.set(at("2026-12-01T00:00:00Z"));
        quota.resume(&made);

        assert_eq!(same.made().calls, 1);
        assert_eq!(quota.made().calls, 0);
    }
}
