//! Query plan: computes from a query and the present time which days to load.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    model::{DataScope, Day, DayKey, DayRange, Geo, Month, UserIdType},
    table::RowSelection,
};

/// A query over user-days, the common input of all data endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The selected days.
    pub dates: QueryDates,
    /// The geos: at least one, without duplicates.
    pub geos: Vec<Geo>,
    /// The type of the user ids in the rows.
    pub user_id_type: UserIdType,
    /// The scope to fetch if the days are not stored.
    pub scope: DataScope,
    /// The selected rows of the days.
    pub selection: RowSelection,
    /// Number of days before the selected ones that are loaded as well, for example for trailing counts.
    pub lead_days: u16,
}

/// The dates of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryDates {
    /// Fixed dates.
    Days(DayRange),
    /// A period that is resolved at the time of the query.
    Period(Period),
}

/// A period given without dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A number of days that ends with the latest produced day.
    Latest(u16),
    /// The day before today, whether or not it is produced.
    Yesterday,
    /// A calendar month, up to the latest produced day.
    Month(Month),
}

/// The days that a query needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryPlan {
    /// The selected days.
    pub range: DayRange,
    /// The geos, in the order of the request.
    pub geos: Vec<Geo>,
    /// The days to load, by day, then geo. Days before `range` are lead days.
    pub keys: Vec<DayKey>,
    /// The selected days that upstream has not produced yet.
    pub pending: Vec<(Geo, Day)>,
    /// The days, including lead days, that are older than the retention. They are not loaded.
    pub expired: Vec<(Geo, Day)>,
}

/// The text is not a valid period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected yesterday, a number of days such as 7d (1d to 3660d), or a month such as 2026-10")]
pub struct ParsePeriodError;

/// The days that `query` needs at `now`. `oldest_kept` is the earliest day of a geo that has not expired.
#[must_use]
pub fn plan(query: &Query, now: Timestamp, oldest_kept: impl Fn(Geo) -> Option<Day>) -> QueryPlan {
    let (range, needed) = (query.dates.resolve(&query.geos, now), query.days_to_load(now));
    let key = |geo, day| DayKey { geo, user_id_type: query.user_id_type, scope: query.scope.clone(), day };
    let all = needed.days().flat_map(|day| query.geos.iter().map(move |geo| (*geo, day)));
    let (ready, pending): (Vec<_>, Vec<_>) = all.partition(|(geo, day)| geo.produced_at(*day) <= now);
    let is_expired = |(geo, day): &(Geo, Day)| oldest_kept(*geo).is_some_and(|oldest| *day < oldest);
    let (expired, kept): (Vec<_>, Vec<_>) = ready.into_iter().partition(is_expired);
    QueryPlan {
        range,
        geos: query.geos.clone(),
        keys: kept.into_iter().map(|(geo, day)| key(geo, day)).collect(),
        pending: pending.into_iter().filter(|(_, day)| range.contains(*day)).collect(),
        expired,
    }
}

impl Query {
    /// The selected days and the lead days, as of `now`.
    #[must_use]
    pub fn days_to_load(&self, now: Timestamp) -> DayRange {
        let range = self.dates.resolve(&self.geos, now);
        DayRange::ending(range.last(), u16::try_from(range.len()).unwrap_or(u16::MAX).saturating_add(self.lead_days))
    }
}

impl QueryDates {
    /// The selected days as of `now`, by the calendars of `geos`.
    #[must_use]
    pub fn resolve(self, geos: &[Geo], now: Timestamp) -> DayRange {
        // The latest day that every geo has, so that a period does not end with a day that only some geos have.
        let latest = |of: fn(Geo, Timestamp) -> Day| {
            geos.iter().map(|geo| of(*geo, now)).min().unwrap_or_else(|| of(Geo::Cn, now))
        };
        match self {
            Self::Days(range) => range,
            Self::Period(Period::Latest(days)) => DayRange::ending(latest(Geo::latest_produced), days),
            Self::Period(Period::Yesterday) => DayRange::single(latest(Geo::today).plus(-1)),
            Self::Period(Period::Month(month)) => {
                let whole = month.days();
                DayRange::new(whole.first(), whole.last().min(latest(Geo::latest_produced))).unwrap_or(whole)
            }
        }
    }
}

impl FromStr for Period {
    type Err = ParsePeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "yesterday" {
            return Ok(Self::Yesterday);
        }
        if let Some(days) = text.strip_suffix('d').filter(|days| days.bytes().all(|byte| byte.is_ascii_digit())) {
            return days
                .parse()
                .ok()
                .filter(|days| (1..=3660).contains(days))
                .map(Self::Latest)
                .ok_or(ParsePeriodError);
        }
        text.parse().map(Self::Month).map_err(|_| ParsePeriodError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn query(span: QueryDates, geos: &[Geo]) -> Query {
        Query {
            dates: span,
            geos: geos.to_vec(),
            user_id_type: UserIdType::OpenId,
            scope: DataScope::Everyone,
            selection: RowSelection::default(),
            lead_days: 0,
        }
    }

    #[test]
    fn a_period_ends_with_the_latest_day_that_every_geo_has_produced() {
        // At 02:00 UTC, cn produced the 21st half an hour ago, and us will produce it in seven and a half hours.
        let now = at("2026-11-22T02:00:00Z");
        let week = QueryDates::Period(Period::Latest(7));
        assert_eq!(week.resolve(&[Geo::Cn], now).to_string(), "2026-11-15..2026-11-21");
        assert_eq!(week.resolve(&[Geo::Cn, Geo::Us], now).to_string(), "2026-11-14..2026-11-20");
    }

    #[test]
    fn the_current_month_ends_with_the_latest_produced_day() {
        let month =
            |text: &str| QueryDates::Period(text.parse().unwrap()).resolve(&[Geo::Cn], at("2026-11-22T02:00:00Z"));
        assert_eq!(month("2026-11").to_string(), "2026-11-01..2026-11-21");
        assert_eq!(month("2026-10").len(), 31);
        assert_eq!(month("2026-12").len(), 31);
    }

    #[test]
    fn days_that_are_not_produced_are_pending_and_not_loaded() {
        let span = QueryDates::Days(DayRange::new(day("2026-11-20"), day("2026-11-23")).unwrap());
        let plan = plan(&query(span, &[Geo::Cn, Geo::Us]), at("2026-11-22T02:00:00Z"), |_| None);

        let keys: Vec<_> = plan.keys.iter().map(|key| (key.geo, key.day)).collect();
        assert_eq!(keys, [(Geo::Cn, day("2026-11-20")), (Geo::Us, day("2026-11-20")), (Geo::Cn, day("2026-11-21"))]);
        assert_eq!(plan.pending.len(), 5);
    }

    #[test]
    fn lead_days_are_loaded_and_not_selected() {
        let span = QueryDates::Days(DayRange::single(day("2026-11-10")));
        let plan = plan(&Query { lead_days: 29, ..query(span, &[Geo::Cn]) }, at("2026-11-22T02:00:00Z"), |_| None);
        assert_eq!(plan.range.len(), 1);
        assert_eq!(plan.keys.len(), 30);
        assert_eq!(plan.keys[0].day, day("2026-10-12"));
    }

    #[test]
    fn expired_days_are_not_loaded() {
        let span = QueryDates::Days(DayRange::new(day("2026-11-01"), day("2026-11-03")).unwrap());
        let plan = plan(&query(span, &[Geo::Cn]), at("2026-11-22T02:00:00Z"), |_| Some(day("2026-11-03")));
        assert_eq!(plan.keys.iter().map(|key| key.day).collect::<Vec<_>>(), [day("2026-11-03")]);
        assert_eq!(plan.expired, [(Geo::Cn, day("2026-11-01")), (Geo::Cn, day("2026-11-02"))]);
    }

    #[test]
    fn an_invalid_period_is_refused() {
        for wrong in ["", "d", "0d", "-1d", "3661d", "99999d", "+7d", "7", "2026", "2026-13", "today", "7D"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong:?}");
        }
        assert_eq!("365d".parse(), Ok(Period::Latest(365)));
    }
}
