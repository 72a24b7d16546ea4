//! The geos (data residencies) of a tenant, and when the data of a day is produced in each.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, time},
    tz::Offset,
};

use crate::date::add_days;

/// A geo of the simulated tenant. Each geo holds its own people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TenantGeo {
    /// China (UTC+8).
    Cn,
    /// United States.
    Us,
    /// Singapore.
    Sg,
    /// Japan.
    Jp,
}

/// The error for a text that names no geo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of cn, us, sg, jp")]
pub struct ParseTenantGeoError;

impl TenantGeo {
    /// All geos.
    pub const ALL: [Self; 4] = [Self::Cn, Self::Us, Self::Sg, Self::Jp];

    /// The value of the parameter `target_geo`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cn => "cn",
            Self::Us => "us",
            Self::Sg => "sg",
            Self::Jp => "jp",
        }
    }

    /// The UTC offset of the geo's dates and times: UTC+8 for `cn`, UTC for the others. Documented by Feishu; there is
    /// no daylight saving time.
    #[must_use]
    pub const fn offset(self) -> Offset {
        match self {
            Self::Cn => Offset::constant(8),
            Self::Us | Self::Sg | Self::Jp => Offset::UTC,
        }
    }

    /// The date in this geo at `now`.
    #[must_use]
    pub fn today(self, now: Timestamp) -> Date {
        self.offset().to_datetime(now).date()
    }

    /// When the data of `day` is produced: at 09:30 of the next day. Documented by Feishu.
    #[must_use]
    pub fn produced_at(self, day: Date) -> Timestamp {
        let produced = add_days(day, 1).to_datetime(time(9, 30, 0, 0));
        self.offset().to_timestamp(produced).unwrap_or(Timestamp::MAX)
    }

    /// The latest day whose data is produced at `now`.
    #[must_use]
    pub fn latest_produced(self, now: Timestamp) -> Date {
        let yesterday = add_days(self.today(now), -1);
        if self.produced_at(yesterday) <= now { yesterday } else { add_days(yesterday, -1) }
    }
}

impl fmt::Display for TenantGeo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TenantGeo {
    type Err = ParseTenantGeoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|geo| geo.name() == text).ok_or(ParseTenantGeoError)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(TenantGeo::Cn, "2026-11-22T01:29:59Z", "2026-11-20")]
    #[case(TenantGeo::Cn, "2026-11-22T01:30:00Z", "2026-11-21")]
    #[case(TenantGeo::Us, "2026-11-22T09:29:59Z", "2026-11-20")]
    #[case(TenantGeo::Us, "2026-11-22T09:30:00Z", "2026-11-21")]
    fn a_day_is_produced_at_half_past_nine_of_the_next_day(
        #[case] geo: TenantGeo,
        #[case] now: Timestamp,
        #[case] latest: Date,
    ) {
        assert_eq!(geo.latest_produced(now), latest);
        assert!(geo.produced_at(latest) <= now);
        assert!(geo.produced_at(add_days(latest, 1)) > now);
    }
}
