//! When days are fetched though nobody has asked: pure, from the calendar of a geo.

use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{Day, DayKey, DayRange, Geo, Scope, UserIdType},
    store::Policy,
};

/// The next instant after `now` at which a day of `geo` is worth fetching: when it has been produced, and when what was
/// fetched then can be made final. `jitter` keeps many gateways from asking at the same second.
#[must_use]
pub fn next_wake(geo: Geo, policy: &Policy, jitter: SignedDuration, now: Timestamp) -> Timestamp {
    let settling = SignedDuration::try_from(policy.settling).unwrap_or_default();
    let today = geo.today(now);
    let produced = [-2, -1, 0].map(|offset| geo.produced_at(today.plus(offset)) + jitter);
    let wakes = produced.into_iter().flat_map(|at| [at, at + settling]);
    wakes.filter(|at| *at > now).min().unwrap_or(Timestamp::MAX)
}

/// The `days` days that end with the latest produced one, the latest first: it is asked for most.
#[must_use]
pub fn latest(geo: Geo, user_id_type: UserIdType, days: u16, now: Timestamp) -> Vec<DayKey> {
    let range = DayRange::ending(geo.latest_produced(now), days);
    let key = |day: Day| DayKey { geo, user_id_type, scope: Scope::Everyone, day };
    range.days().rev().take(usize::from(days)).map(key).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::before_production("2026-11-22T00:00:00Z", "2026-11-22T01:35:00Z")]
    #[case::at_production("2026-11-22T01:35:00Z", "2026-11-22T07:35:00Z")]
    #[case::when_it_can_be_final("2026-11-22T07:35:00Z", "2026-11-23T01:35:00Z")]
    fn a_day_is_fetched_when_produced_and_again_when_it_can_be_final(#[case] now: Timestamp, #[case] wake: Timestamp) {
        assert_eq!(next_wake(Geo::Cn, &Policy::default(), SignedDuration::from_mins(5), now), wake);
    }

    #[test]
    fn the_latest_days_end_with_the_one_that_was_produced_last() {
        let keys = latest(Geo::Us, UserIdType::OpenId, 3, "2026-11-22T09:30:00Z".parse().unwrap());
        let days: Vec<_> = keys.iter().map(|key| key.day.to_string()).collect();
        assert_eq!(days, ["2026-11-21", "2026-11-20", "2026-11-19"]);
        assert!(latest(Geo::Us, UserIdType::OpenId, 0, Timestamp::UNIX_EPOCH).is_empty());
    }
}
