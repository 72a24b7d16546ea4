//! The monthly quota of successful calls.

use jiff::civil::Date;
use parking_lot::Mutex;

/// Counts the successful calls per calendar month. Failed calls do not count.
#[derive(Debug)]
pub(crate) struct CallQuota {
    calls_per_month: Option<u64>,
    usage: Mutex<MonthUsage>,
}

#[derive(Debug, Default)]
struct MonthUsage {
    /// The first day of the month.
    month: Option<Date>,
    calls: u64,
}

impl CallQuota {
    pub(crate) fn new(calls_per_month: Option<u64>) -> Self {
        Self { calls_per_month, usage: Mutex::default() }
    }

    /// Counts a call in the month of `today`, or returns `false` if the quota of the month is used up.
    pub(crate) fn charge(&self, today: Date) -> bool {
        let mut usage = self.usage.lock();
        usage.start_month(today.first_of_month());
        let is_within_quota = self.calls_per_month.is_none_or(|limit| usage.calls < limit);
        usage.calls += u64::from(is_within_quota);
        is_within_quota
    }
}

impl MonthUsage {
    fn start_month(&mut self, month: Date) {
        if self.month != Some(month) {
            *self = Self { month: Some(month), calls: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_renewed_on_the_first_day_of_a_month() {
        let day = |text: &str| text.parse::<Date>().expect("a day");
        let quota = CallQuota::new(Some(2));

        let counted = ["2026-11-29", "2026-11-30", "2026-11-30", "2026-12-01"].map(|today| quota.charge(day(today)));

        assert_eq!(counted, [true, true, false, true]);
    }
}
