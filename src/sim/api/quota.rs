//! The monthly quota of successful calls.

use crate::{
    model::{Day, Month},
    sim::shared::Shared,
};

/// Counts the successful calls of each calendar month; only they are charged.
#[derive(Debug)]
pub(crate) struct Quota {
    most: Option<u64>,
    spent: Shared<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    month: Option<Month>,
    calls: u64,
}

impl Quota {
    pub(crate) fn new(most: Option<u64>) -> Self {
        Self { most, spent: Shared::default() }
    }

    /// Whether the month that `today` lies in has calls left.
    pub(crate) fn has_left(&self, today: Day) -> bool {
        let mut spent = self.spent.lock();
        spent.turn_to(today.month());
        self.most.is_none_or(|most| spent.calls < most)
    }

    /// Charges a call that succeeded.
    pub(crate) fn charge(&self, today: Day) {
        let mut spent = self.spent.lock();
        spent.turn_to(today.month());
        spent.calls += 1;
    }
}

impl Spent {
    fn turn_to(&mut self, month: Month) {
        if self.month != Some(month) {
            *self = Self { month: Some(month), calls: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_quota_is_back_on_the_first_of_the_next_month() {
        let day = |text: &str| text.parse::<Day>().expect("a day");
        let quota = Quota::new(Some(2));

        quota.charge(day("2026-11-29"));
        let one_left = quota.has_left(day("2026-11-30"));
        quota.charge(day("2026-11-30"));

        assert!(one_left);
        assert!(!quota.has_left(day("2026-11-30")));
        assert!(quota.has_left(day("2026-12-01")));
    }
}
