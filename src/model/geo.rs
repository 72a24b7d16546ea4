//! Feishu's data residencies (geos), with their time offsets and production times.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{DateTime, time},
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

use super::Day;

/// A data residency of Feishu. Each geo has data only about its own people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Geo {
    /// China (UTC+8).
    Cn,
    /// United States.
    Us,
    /// Singapore.
    Sg,
    /// Japan.
    Jp,
}

/// The error of parsing a text that is not the name of a geo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of cn, us, sg, jp")]
pub struct ParseGeoError;

impl Geo {
    /// All geos.
    pub const ALL: [Self; 4] = [Self::Cn, Self::Us, Self::Sg, Self::Jp];

    /// Feishu's name of the geo, as sent in `target_geo`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cn => "cn",
            Self::Us => "us",
            Self::Sg => "sg",
            Self::Jp => "jp",
        }
    }

    /// The UTC offset of the geo's days and times: UTC+8 for `cn`, UTC for all others. Documented by Feishu. There is
    /// no daylight saving time.
    #[must_use]
    pub const fn offset(self) -> Offset {
        match self {
            Self::Cn => Offset::constant(8),
            Self::Us | Self::Sg | Self::Jp => Offset::UTC,
        }
    }

    /// The day that contains the instant `now` in this geo.
    #[must_use]
    pub fn today(self, now: Timestamp) -> Day {
        Day::from_date(self.offset().to_datetime(now).date())
    }

    /// The instant of a civil date and time in this geo.
    #[must_use]
    pub fn instant(self, civil: DateTime) -> Timestamp {
        self.offset().to_timestamp(civil).unwrap_or(Timestamp::MAX)
    }

    /// The instant at which `day` begins in this geo.
    #[must_use]
    pub fn starts_at(self, day: Day) -> Timestamp {
        self.instant(day.date().at(0, 0, 0, 0))
    }

    /// The instant from which the data of `day` is available, according to Feishu's documentation: 09:30 on the next
    /// day.
    #[must_use]
    pub fn produced_at(self, day: Day) -> Timestamp {
        self.instant(day.next().date().to_datetime(time(9, 30, 0, 0)))
    }

    /// The latest day whose data is available at `now`, according to [`Geo::produced_at`].
    #[must_use]
    pub fn latest_produced(self, now: Timestamp) -> Day {
        let yesterday = self.today(now).plus(-1);
        if self.produced_at(yesterday) <= now { yesterday } else { yesterday.plus(-1) }
    }

    /// Formats an instant as RFC 3339 with this geo's offset.
    #[must_use]
    pub fn rfc3339(self, instant: Timestamp) -> String {
        let zoned = instant.to_zoned(TimeZone::fixed(self.offset()));
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

impl fmt::Display for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Geo {
    type Err = ParseGeoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|geo| geo.name() == text).ok_or(ParseGeoError)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Geo::Cn, "2026-11-22T01:29:59Z", "2026-11-20")]
    #[case(Geo::Cn, "2026-11-22T01:30:00Z", "2026-11-21")]
    #[case(Geo::Us, "2026-11-22T09:29:59Z", "2026-11-20")]
    #[case(Geo::Us, "2026-11-22T09:30:00Z", "2026-11-21")]
    #[case(Geo::Cn, "2026-11-21T23:00:00Z", "2026-11-20")]
    fn the_data_of_a_day_is_available_at_half_past_nine_on_the_next_day(
        #[case] geo: Geo,
        #[case] now: Timestamp,
        #[case] latest: Day,
    ) {
        assert_eq!(geo.latest_produced(now), latest);
        assert!(geo.produced_at(latest) <= now);
        assert!(geo.produced_at(latest.next()) > now);
    }

    #[test]
    fn an_instant_is_written_with_the_offset_of_its_geo() {
        let instant: Timestamp = "2026-11-22T01:30:00Z".parse().expect("an instant");
        assert_eq!(Geo::Cn.rfc3339(instant), "2026-11-22T09:30:00+08:00");
        assert_eq!(Geo::Jp.rfc3339(instant), "2026-11-22T01:30:00+00:00");
    }
}
