//! Freshness: decides from the calendar and the fetch time whether a day can still change.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Day, Geo};

/// Whether a day can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayState {
    /// Upstream has not produced it yet. It is not requested.
    Pending,
    /// It is available but may still change. It is served, and refreshed in the background.
    Provisional,
    /// It cannot change. It is never fetched again.
    Final,
}

/// The time limits of the freshness rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessPolicy {
    /// A day that was fetched less than this time after its production may have been fetched too early.
    pub settling_time: Duration,
    /// A day that looks incomplete stays provisional unless it was fetched at this age or later.
    pub max_wait_for_missing_rows: Duration,
    /// A provisional day is refreshed when its last fetch is longer ago than this.
    pub refresh_interval: Duration,
}

/// The facts about a fetched day that decide its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchInfo {
    /// When the day was fetched.
    pub at: Timestamp,
    /// Number of rows received.
    pub rows: usize,
    /// Whether the reply may be truncated, and no second fetch has returned the same rows.
    pub doubtful: bool,
    /// The median number of rows of the days around it; `None` if none of them is known.
    pub usual_rows: Option<usize>,
}

impl Default for FreshnessPolicy {
    fn default() -> Self {
        Self {
            settling_time: Duration::from_secs(6 * 3600),
            max_wait_for_missing_rows: Duration::from_secs(3 * 24 * 3600),
            refresh_interval: Duration::from_secs(30 * 60),
        }
    }
}

impl FreshnessPolicy {
    /// The state of a day at `now`.
    ///
    /// A day that looked incomplete stays provisional until it is fetched again at an age of at least
    /// [`FreshnessPolicy::max_wait_for_missing_rows`]: age without a new fetch proves nothing. A possibly truncated day
    /// stays provisional until a second fetch returns the same rows.
    #[must_use]
    pub fn state(&self, geo: Geo, day: Day, fetched: &FetchInfo, now: Timestamp) -> DayState {
        let produced = geo.produced_at(day);
        if now < produced {
            return DayState::Pending;
        }
        let too_early = fetched.at < produced + self.settling_time;
        let in_doubt =
            fetched.doubtful || (fetched.looks_incomplete() && fetched.at < produced + self.max_wait_for_missing_rows);
        if too_early || in_doubt { DayState::Provisional } else { DayState::Final }
    }

    /// Whether a provisional day that was fetched at `fetched_at` is due for a refresh.
    #[must_use]
    pub fn is_stale(&self, fetched_at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(fetched_at) > jiff::SignedDuration::try_from(self.refresh_interval).unwrap_or_default()
    }

    /// Whether the number of rows of a day fetched at `fetched_at` can change its state. If not, the caller can skip
    /// the row counts.
    #[must_use]
    pub fn depends_on_rows(&self, geo: Geo, day: Day, fetched_at: Timestamp) -> bool {
        fetched_at < geo.produced_at(day) + self.max_wait_for_missing_rows
    }
}

impl FetchInfo {
    /// True for an empty day and for one with fewer than half the usual rows.
    fn looks_incomplete(&self) -> bool {
        self.rows == 0 || self.usual_rows.is_some_and(|usual| self.rows * 2 < usual)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: fn() -> FreshnessPolicy = FreshnessPolicy::default;

    fn day() -> Day {
        Day::new(2026, 11, 1).unwrap()
    }

    fn hours(geo: Geo, hours: i64) -> Timestamp {
        geo.produced_at(day()) + jiff::SignedDuration::from_hours(hours)
    }

    fn fetched(at: Timestamp, rows: usize) -> FetchInfo {
        FetchInfo { at, rows, doubtful: false, usual_rows: Some(1000) }
    }

    #[test]
    fn a_day_is_first_pending_then_provisional_then_final() {
        let state = |fetched_after: i64, seen_after: i64| {
            POLICY().state(Geo::Cn, day(), &fetched(hours(Geo::Cn, fetched_after), 1000), hours(Geo::Cn, seen_after))
        };
        assert_eq!(state(-2, -1), DayState::Pending);
        assert_eq!(state(0, 0), DayState::Provisional);
        assert_eq!(state(5, 500), DayState::Provisional);
        assert_eq!(state(6, 6), DayState::Final);
    }

    #[test]
    fn a_day_with_few_rows_is_provisional_for_three_days() {
        let state = |rows: usize, age: i64| {
            POLICY().state(Geo::Us, day(), &fetched(hours(Geo::Us, age), rows), hours(Geo::Us, 1000))
        };
        assert_eq!(state(0, 71), DayState::Provisional);
        assert_eq!(state(499, 71), DayState::Provisional);
        assert_eq!(state(500, 71), DayState::Final);
        assert_eq!(state(0, 72), DayState::Final);
    }

    prop_compose! {
        fn any_fetched()(
            after in -100_i64..200,
            rows in 0_usize..3000,
            doubtful: bool,
            usual in proptest::option::of(0_usize..3000),
        ) -> FetchInfo {
            FetchInfo { at: hours(Geo::Cn, after), rows, doubtful, usual_rows: usual }
        }
    }

    proptest! {
        #[test]
        fn a_final_day_stays_final(fetched in any_fetched(), now in -100_i64..400, later in 0_i64..400) {
            let state = |now| POLICY().state(Geo::Cn, day(), &fetched, hours(Geo::Cn, now));
            prop_assert!(state(now) <= state(now + later));
        }

        #[test]
        fn a_final_day_is_produced_and_looks_complete_or_is_old(fetched in any_fetched(), now in -100_i64..400) {
            let state = POLICY().state(Geo::Cn, day(), &fetched, hours(Geo::Cn, now));
            if state == DayState::Final {
                prop_assert!(now >= 0);
                prop_assert!(fetched.at >= hours(Geo::Cn, 6));
                prop_assert!(!fetched.doubtful);
                prop_assert!(!fetched.looks_incomplete() || fetched.at >= hours(Geo::Cn, 72));
            } else {
                prop_assert!(now < 0 || fetched.doubtful || fetched.at < hours(Geo::Cn, 72));
            }
        }

        #[test]
        fn row_counts_do_not_change_the_state_of_an_old_fetch(fetched in any_fetched(), now in 0_i64..400) {
            if !POLICY().depends_on_rows(Geo::Cn, day(), fetched.at) {
                let whole = FetchInfo { rows: 1, usual_rows: None, ..fetched };
                let state = |fetched| POLICY().state(Geo::Cn, day(), fetched, hours(Geo::Cn, now));
                prop_assert_eq!(state(&fetched), state(&whole));
            }
        }
    }
}
