//! The tenant's calls of the month, which can be spent.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{Timestamp, ToSpan as _, civil::time, tz::Offset};

use crate::{
    model::Clock,
    source::{LoadError, Upstream},
};

/// Remembers that the month's calls are spent, so that no call is made in vain until the next month begins.
#[derive(Debug)]
pub struct Quota {
    clock: Arc<dyn Clock>,
    spent: Mutex<Option<Spent>>,
}

#[derive(Clone, Debug)]
struct Spent {
    until: Timestamp,
    upstream: Upstream,
}

impl Quota {
    /// A quota that is not known to be spent.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, spent: Mutex::new(None) }
    }

    /// Whether a call may be made.
    ///
    /// # Errors
    /// [`LoadError::QuotaExhausted`] while the month's calls are known to be spent.
    pub fn check(&self) -> Result<(), LoadError> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        match &*spent {
            Some(known) if self.clock.now() < known.until => {
                Err(LoadError::QuotaExhausted { upstream: known.upstream.clone(), until: known.until })
            }
            _ => {
                *spent = None;
                Ok(())
            }
        }
    }

    /// Takes note that upstream says the month's calls are spent.
    pub fn spent(&self, upstream: Upstream) -> LoadError {
        let until = next_month(self.clock.now());
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.is_none() {
            tracing::error!(upstream.code, %until, "the upstream quota of this month is spent; no call is made until the next");
        }
        *spent = Some(Spent { until, upstream: upstream.clone() });
        LoadError::QuotaExhausted { upstream, until }
    }
}

/// The beginning of the next month in UTC+8, where upstream counts.
fn next_month(now: Timestamp) -> Timestamp {
    let offset = Offset::constant(8);
    let first = offset.to_datetime(now).date().first_of_month();
    let next = first.saturating_add(1.month()).to_datetime(time(0, 0, 0, 0));
    offset.to_timestamp(next).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ManualClock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn calls_stop_until_the_first_of_the_next_month_in_china() {
        let clock = Arc::new(ManualClock::at(at("2026-11-30T15:59:59Z")));
        let quota = Quota::new(clock.clone());
        assert_eq!(quota.check(), Ok(()));

        quota.spent(Upstream::default());

        let until = at("2026-11-30T16:00:00Z");
        assert_eq!(quota.check(), Err(LoadError::QuotaExhausted { upstream: Upstream::default(), until }));
        clock.set(until);
        assert_eq!(quota.check(), Ok(()));
    }

    #[test]
    fn december_ends_in_the_next_year() {
        assert_eq!(next_month(at("2026-12-05T00:00:00Z")), at("2026-12-31T16:00:00Z"));
    }
}
