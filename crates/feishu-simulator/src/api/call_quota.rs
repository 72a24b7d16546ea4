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

    /// Charges a call to the month that `today` lies in; `false` where nothing is left of it.
    pub(crate) fn charge(&self, today: Day) -> bool {
        let mut spent = self.spent.lock();
        spent.turn_to(today.month());
        let has_left = self.most.is_none_or(|most| spent.calls < most);
        spent.calls += u64::from(has_left);
        has_left
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

        let charged = ["2026-11-29", "2026-11-30", "2026-11-30", "2026-12-01"].map(|today| quota.charge(day(today)));

        assert_eq!(charged, [true, true, false, true]);
    }
}
