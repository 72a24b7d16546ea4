//! When a day can still change: the rule that makes caching safe, as one pure function.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Day, Geo};

/// Whether a day can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Upstream has not produced it yet: not to be asked for.
    Pending,
    /// It is there but may still change: served, and fetched anew in the background.
    Provisional,
    /// It cannot change: kept for ever and never asked for again.
    Final,
}

/// The hours of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A day fetched within this time of its production may have been fetched too early.
    pub settling: Duration,
    /// A day that looks incomplete is given up to this age to become complete.
    pub doubt: Duration,
    /// How old a provisional day may be before it is fetched anew.
    pub refresh: Duration,
}

/// What is known of a day that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// When upstream was asked.
    pub at: Timestamp,
    /// How many rows came.
    pub rows: usize,
    /// Whether upstream broke off without saying so, and no second fetch has brought the same.
    pub doubtful: bool,
    /// The usual number of rows of the days around it, where any are held.
    pub neighbours: Option<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            settling: Duration::from_secs(6 * 3600),
            doubt: Duration::from_secs(3 * 24 * 3600),
            refresh: Duration::from_secs(30 * 60),
        }
    }
}

impl Policy {
    /// The state of a day, seen at `now`.
    ///
    /// A day that looked incomplete stays provisional until it has been fetched at an age of [`Policy::doubt`]: merely
    /// growing old with nobody asking again proves nothing. A day that was broken off stays so until a second fetch has
    /// brought the same.
    #[must_use]
    pub fn state(&self, geo: Geo, day: Day, fetched: &Fetched, now: Timestamp) -> State {
        let produced = geo.produced_at(day);
        if now < produced {
            return State::Pending;
        }
        let too_early = fetched.at < produced + self.settling;
        let in_doubt = fetched.doubtful || (fetched.looks_small() && fetched.at < produced + self.doubt);
        if too_early || in_doubt { State::Provisional } else { State::Final }
    }

    /// Whether a provisional day that was fetched at `fetched_at` is due to be fetched anew.
    #[must_use]
    pub fn is_stale(&self, fetched_at: Timestamp, now: Timestamp) -> bool {
        now.duration_since(fetched_at) > jiff::SignedDuration::try_from(self.refresh).unwrap_or_default()
    }

    /// Whether the rows of a day fetched at `fetched_at` can matter to its state; if not, nobody need count them.
    #[must_use]
    pub fn rows_matter(&self, geo: Geo, day: Day, fetched_at: Timestamp) -> bool {
        fetched_at < geo.produced_at(day) + self.doubt
    }
}

impl Fetched {
    /// Empty, or fewer than half the rows of its neighbours.
    fn looks_small(&self) -> bool {
        self.rows == 0 || self.neighbours.is_some_and(|usual| self.rows * 2 < usual)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: fn() -> Policy = Policy::default;

    fn day() -> Day {
        Day::new(2026, 11, 1).unwrap()
    }

    fn hours(geo: Geo, hours: i64) -> Timestamp {
        geo.produced_at(day()) + jiff::SignedDuration::from_hours(hours)
    }

    fn fetched(at: Timestamp, rows: usize) -> Fetched {
        Fetched { at, rows, doubtful: false, neighbours: Some(1000) }
    }

    #[test]
    fn a_day_is_pending_provisional_and_final_in_turn() {
        let state = |fetched_after: i64, seen_after: i64| {
            POLICY().state(Geo::Cn, day(), &fetched(hours(Geo::Cn, fetched_after), 1000), hours(Geo::Cn, seen_after))
        };
        assert_eq!(state(-2, -1), State::Pending);
        assert_eq!(state(0, 0), State::Provisional);
        assert_eq!(state(5, 500), State::Provisional);
        assert_eq!(state(6, 6), State::Final);
    }

    #[test]
    fn a_small_day_is_doubted_for_three_days() {
        let state = |rows: usize, age: i64| {
            POLICY().state(Geo::Us, day(), &fetched(hours(Geo::Us, age), rows), hours(Geo::Us, 1000))
        };
        assert_eq!(state(0, 71), State::Provisional);
        assert_eq!(state(499, 71), State::Provisional);
        assert_eq!(state(500, 71), State::Final);
        assert_eq!(state(0, 72), State::Final);
    }

    prop_compose! {
        fn any_fetched()(after in -100_i64..200, rows in 0_usize..3000, doubtful: bool, usual in proptest::option::of(0_usize..3000)) -> Fetched {
            Fetched { at: hours(Geo::Cn, after), rows, doubtful, neighbours: usual }
        }
    }

    proptest! {
        #[test]
        fn a_final_day_stays_final(fetched in any_fetched(), now in -100_i64..400, later in 0_i64..400) {
            let state = |now| POLICY().state(Geo::Cn, day(), &fetched, hours(Geo::Cn, now));
            prop_assert!(state(now) <= state(now + later));
        }

        #[test]
        fn only_a_produced_day_that_looks_whole_or_is_old_is_final(fetched in any_fetched(), now in -100_i64..400) {
            let state = POLICY().state(Geo::Cn, day(), &fetched, hours(Geo::Cn, now));
            if state == State::Final {
                prop_assert!(now >= 0);
                prop_assert!(fetched.at >= hours(Geo::Cn, 6));
                prop_assert!(!fetched.doubtful);
                prop_assert!(!fetched.looks_small() || fetched.at >= hours(Geo::Cn, 72));
            } else {
                prop_assert!(now < 0 || fetched.doubtful || fetched.at < hours(Geo::Cn, 72));
            }
        }

        #[test]
        fn rows_that_do_not_matter_do_not_change_the_state(fetched in any_fetched(), now in 0_i64..400) {
            if !POLICY().rows_matter(Geo::Cn, day(), fetched.at) {
                let whole = Fetched { rows: 1, neighbours: None, ..fetched };
                let state = |fetched| POLICY().state(Geo::Cn, day(), fetched, hours(Geo::Cn, now));
                prop_assert_eq!(state(&fetched), state(&whole));
            }
        }
    }
}
