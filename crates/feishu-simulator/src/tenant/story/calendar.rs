//! The calendar of the company: weekdays, weekends and public holidays.

use jiff::civil::{Date, date};

use crate::{TenantGeo, date::add_days, tenant::activity::DayNumber};

/// The first days of the lunar years 2020 to 2035. Other years have no Spring Festival here.
const LUNAR_NEW_YEARS: [Date; 16] = [
    date(2020, 1, 25),
    date(2021, 2, 12),
    date(2022, 2, 1),
    date(2023, 1, 22),
    date(2024, 2, 10),
    date(2025, 1, 29),
    date(2026, 2, 17),
    date(2027, 2, 6),
    date(2028, 1, 26),
    date(2029, 2, 13),
    date(2030, 2, 3),
    date(2031, 1, 23),
    date(2032, 2, 11),
    date(2033, 1, 31),
    date(2034, 2, 19),
    date(2035, 2, 8),
];
/// Days of a Spring Festival, from the eve of the new year on.
const SPRING_FESTIVAL_DAYS: i32 = 8;

/// A day of the company.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompanyDay {
    pub(super) kind: DayKind,
    /// Factor on the usual presence of such a day.
    pub(super) factor: f64,
    pub(super) month: i8,
    pub(super) day_of_month: i8,
    /// Days since Monday.
    pub(super) weekday: i8,
}

/// Whether people work on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DayKind {
    Workday,
    Weekend,
    Holiday,
}

impl CompanyDay {
    pub(super) fn of(geo: TenantGeo, day: DayNumber) -> Self {
        let day = day.date();
        let weekday = day.weekday().to_monday_zero_offset();
        let (kind, factor) = match holiday(geo, day) {
            Some(Holiday::On(factor)) => (DayKind::Holiday, factor),
            Some(Holiday::Beside(factor)) if weekday < 5 => (DayKind::Workday, factor * weekday_factor(weekday)),
            _ if weekday < 5 => (DayKind::Workday, weekday_factor(weekday)),
            // Some people work on Saturdays, fewer on Sundays.
            _ => (DayKind::Weekend, if weekday == 5 { 1.15 } else { 0.85 }),
        };
        Self { kind, factor, month: day.month(), day_of_month: day.day(), weekday }
    }

    pub(super) fn is_workday(self) -> bool {
        self.kind == DayKind::Workday
    }
}

/// A holiday or a workday close to one, with the factor on the presence.
enum Holiday {
    On(f64),
    /// People travel before and after long holidays.
    Beside(f64),
}

fn holiday(geo: TenantGeo, day: Date) -> Option<Holiday> {
    match (geo, day.month(), day.day()) {
        (_, 1, 1) | (TenantGeo::Cn, 10, 1..=8) => Some(Holiday::On(1.0)),
        (TenantGeo::Cn, 5, 1..=5) => Some(Holiday::On(1.1)),
        (TenantGeo::Cn, 9, 30) => Some(Holiday::Beside(0.9)),
        (TenantGeo::Cn, 4, 30) | (TenantGeo::Cn, 10, 9) => Some(Holiday::Beside(0.95)),
        (TenantGeo::Cn, 1..=3, _) => spring_festival(day),
        (TenantGeo::Us | TenantGeo::Sg | TenantGeo::Jp, 12, 25..=31) => Some(Holiday::On(1.2)),
        _ => None,
    }
}

fn spring_festival(day: Date) -> Option<Holiday> {
    let new_year = LUNAR_NEW_YEARS.iter().find(|new_year| new_year.year() == day.year())?;
    let eve = DayNumber::of(add_days(*new_year, -1));
    match DayNumber::of(day).since(eve) {
        0..=2 => Some(Holiday::On(0.5)),
        3..SPRING_FESTIVAL_DAYS => Some(Holiday::On(0.8)),
        before @ -5..=-1 => Some(Holiday::Beside(0.08f64.mul_add(f64::from(-1 - before), 0.6))),
        after @ SPRING_FESTIVAL_DAYS..=11 => Some(Holiday::Beside(0.05f64.mul_add(f64::from(after - 8), 0.82))),
        _ => None,
    }
}

fn weekday_factor(weekday: i8) -> f64 {
    match weekday {
        0 | 3 => 0.99,
        1 | 2 => 1.0,
        _ => 0.96,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2025-01-27", DayKind::Workday)]
    #[case("2025-01-28", DayKind::Holiday)]
    #[case("2025-02-04", DayKind::Holiday)]
    #[case("2025-02-05", DayKind::Workday)]
    #[case("2026-02-16", DayKind::Holiday)]
    #[case("2026-02-23", DayKind::Holiday)]
    #[case("2026-02-24", DayKind::Workday)]
    #[case("2026-09-30", DayKind::Workday)]
    #[case("2026-10-01", DayKind::Holiday)]
    #[case("2026-10-08", DayKind::Holiday)]
    #[case("2026-10-09", DayKind::Workday)]
    #[case("2026-11-21", DayKind::Weekend)]
    #[case("1999-02-16", DayKind::Workday)]
    fn public_holidays_of_china_are_those_of_the_calendar(#[case] day: Date, #[case] kind: DayKind) {
        assert_eq!(CompanyDay::of(TenantGeo::Cn, DayNumber::of(day)).kind, kind);
    }

    #[test]
    fn presence_falls_before_the_spring_festival_and_recovers_after_it() {
        let factor = |day: &str| {
            let day = CompanyDay::of(TenantGeo::Cn, DayNumber::of(day.parse().expect("a day")));
            assert!((0.3..=1.2).contains(&day.factor), "{day:?}");
            day.factor
        };

        assert!(factor("2026-02-13") < factor("2026-02-11") && factor("2026-02-11") < factor("2026-02-04"));
        assert!(factor("2026-02-24") < factor("2026-02-26") && factor("2026-02-26") < factor("2026-03-04"));
    }

    #[test]
    fn other_geos_have_no_holidays_of_china() {
        assert!(CompanyDay::of(TenantGeo::Us, DayNumber::of(date(2026, 10, 1))).is_workday());
    }
}
