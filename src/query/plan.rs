//! What a question needs: pure, from the question and the time at which it is asked.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    model::{Day, DayKey, DayRange, Geo, Month, Scope, UserIdType},
    table::Selection,
};

/// A question about user-days, as every data endpoint understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which days.
    pub span: Span,
    /// Which geos; at least one, none twice.
    pub geos: Vec<Geo>,
    /// Which ids the rows carry.
    pub user_id_type: UserIdType,
    /// Whose rows are asked for, where the days are not held.
    pub scope: Scope,
    /// Which rows of the days are meant.
    pub selection: Selection,
    /// Days before the span that are needed as well, such as those that a trailing figure looks back over.
    pub lead: u16,
}

/// Which days a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// These days.
    Days(DayRange),
    /// The days of a period, reckoned from now.
    Period(Period),
}

/// A period that needs no dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// So many days, ending with the latest that is produced.
    Latest(u16),
    /// The day before today, produced or not.
    Yesterday,
    /// A calendar month, up to the latest day that is produced.
    Month(Month),
}

/// The days that a question needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The days that were selected.
    pub range: DayRange,
    /// The geos, in the order asked for.
    pub geos: Vec<Geo>,
    /// The days to load: by day, then geo. Those before `range` are needed and not selected.
    pub keys: Vec<DayKey>,
    /// Selected days that upstream has not produced yet.
    pub pending: Vec<(Geo, Day)>,
}

/// A text that names no period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected yesterday, a number of days such as 7d (1d to 3660d), or a month such as 2026-10")]
pub struct ParsePeriodError;

/// The days that `query` needs when it is asked at `now`.
#[must_use]
pub fn plan(query: &Query, now: Timestamp) -> Plan {
    let (range, needed) = (query.span.days(&query.geos, now), query.needed(now));
    let key = |geo, day| DayKey { geo, user_id_type: query.user_id_type, scope: query.scope.clone(), day };
    let all = needed.days().flat_map(|day| query.geos.iter().map(move |geo| (*geo, day)));
    let (ready, pending): (Vec<_>, Vec<_>) = all.partition(|(geo, day)| geo.produced_at(*day) <= now);
    Plan {
        range,
        geos: query.geos.clone(),
        keys: ready.into_iter().map(|(geo, day)| key(geo, day)).collect(),
        pending: pending.into_iter().filter(|(_, day)| range.contains(*day)).collect(),
    }
}

impl Query {
    /// The selected days and those that lead up to them, as of `now`.
    #[must_use]
    pub fn needed(&self, now: Timestamp) -> DayRange {
        let range = self.span.days(&self.geos, now);
        DayRange::ending(range.last(), u16::try_from(range.len()).unwrap_or(u16::MAX).saturating_add(self.lead))
    }
}

impl Span {
    /// The selected days, given the geos whose calendars count and the time.
    #[must_use]
    pub fn days(self, geos: &[Geo], now: Timestamp) -> DayRange {
        // The latest day that every geo has: a period should not end in a day that is half there.
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

    fn query(span: Span, geos: &[Geo]) -> Query {
        Query {
            span,
            geos: geos.to_vec(),
            user_id_type: UserIdType::OpenId,
            scope: Scope::Everyone,
            selection: Selection::default(),
            lead: 0,
        }
    }

    #[test]
    fn a_period_ends_with_the_latest_day_that_every_geo_has_produced() {
        // 02:00 in UTC: cn has produced the 21st half an hour ago, us will in seven hours and a half.
        let now = at("2026-11-22T02:00:00Z");
        let week = Span::Period(Period::Latest(7));
        assert_eq!(week.days(&[Geo::Cn], now).to_string(), "2026-11-15..2026-11-21");
        assert_eq!(week.days(&[Geo::Cn, Geo::Us], now).to_string(), "2026-11-14..2026-11-20");
    }

    #[test]
    fn a_month_that_is_not_over_ends_with_its_latest_day() {
        let month = |text: &str| Span::Period(text.parse().unwrap()).days(&[Geo::Cn], at("2026-11-22T02:00:00Z"));
        assert_eq!(month("2026-11").to_string(), "2026-11-01..2026-11-21");
        assert_eq!(month("2026-10").len(), 31);
        assert_eq!(month("2026-12").len(), 31);
    }

    #[test]
    fn days_that_are_not_produced_are_listed_and_not_asked_for() {
        let span = Span::Days(DayRange::new(day("2026-11-20"), day("2026-11-23")).unwrap());
        let plan = plan(&query(span, &[Geo::Cn, Geo::Us]), at("2026-11-22T02:00:00Z"));

        let keys: Vec<_> = plan.keys.iter().map(|key| (key.geo, key.day)).collect();
        assert_eq!(keys, [(Geo::Cn, day("2026-11-20")), (Geo::Us, day("2026-11-20")), (Geo::Cn, day("2026-11-21"))]);
        assert_eq!(plan.pending.len(), 5);
    }

    #[test]
    fn a_lead_is_loaded_and_not_selected() {
        let span = Span::Days(DayRange::single(day("2026-11-10")));
        let plan = plan(&Query { lead: 29, ..query(span, &[Geo::Cn]) }, at("2026-11-22T02:00:00Z"));
        assert_eq!(plan.range.len(), 1);
        assert_eq!(plan.keys.len(), 30);
        assert_eq!(plan.keys[0].day, day("2026-10-12"));
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for wrong in ["", "d", "0d", "-1d", "3661d", "99999d", "+7d", "7", "2026", "2026-13", "today", "7D"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong:?}");
        }
        assert_eq!("365d".parse(), Ok(Period::Latest(365)));
    }
}
