//! Cache warming: computes from a geo's calendar which days to fetch in advance, and when.

use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, UserIdType},
    store::FreshnessPolicy,
};

/// The next time after `now` at which to fetch a day of `geo`: first when the day is produced, then when a fetch makes
/// it final. `jitter` spreads the requests of many gateways over time.
#[must_use]
pub fn next_fetch_time(geo: Geo, policy: &FreshnessPolicy, jitter: SignedDuration, now: Timestamp) -> Timestamp {
    let settling = SignedDuration::try_from(policy.settling_time).unwrap_or_default();
    let today = geo.today(now);
    let produced = [-2, -1, 0].map(|offset| geo.produced_at(today.plus(offset)) + jitter);
    let fetch_times = produced.into_iter().flat_map(|at| [at, at + settling]);
    fetch_times.filter(|at| *at > now).min().unwrap_or(Timestamp::MAX)
}

/// The `days` days that end with the latest produced one, newest first because the newest is requested most often.
#[must_use]
pub fn latest_days(geo: Geo, user_id_type: UserIdType, days: u16, now: Timestamp) -> Vec<DayKey> {
    let range = DayRange::ending(geo.latest_produced(now), days);
    let key = |day: Day| DayKey { geo, user_id_type, scope: DataScope::Everyone, day };
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
    fn a_day_is_fetched_when_produced_and_when_it_can_be_final(#[case] now: Timestamp, #[case] expected: Timestamp) {
        assert_eq!(next_fetch_time(Geo::Cn, &FreshnessPolicy::default(), SignedDuration::from_mins(5), now), expected);
    }

    #[test]
    fn the_latest_days_begin_with_the_last_produced_day() {
        let keys = latest_days(Geo::Us, UserIdType::OpenId, 3, "2026-11-22T09:30:00Z".parse().unwrap());
        let days: Vec<_> = keys.iter().map(|key| key.day.to_string()).collect();
        assert_eq!(days, ["2026-11-21", "2026-11-20", "2026-11-19"]);
        assert!(latest_days(Geo::Us, UserIdType::OpenId, 0, Timestamp::UNIX_EPOCH).is_empty());
    }
}
