//! The activity of a person on a day: whether the person is active, and the usage figures.
//!
//! People are more active on workdays than on weekends, and a few people account for most of the usage.

use fastrand::Rng;
use jiff::civil::{Date, date};

use super::{
    device::{self, DeviceFields},
    ground_truth::UsageCounters,
    id_codec::geo_number,
};
use crate::{
    TenantGeo,
    date::add_days,
    seeded_rng::{hash_text, rng_for},
};

const PROFILE: u64 = hash_text("habits");
const ACTIVE: u64 = hash_text("active");
const LAST_SECOND: u64 = hash_text("hours");
const USAGE: u64 = hash_text("figures");
const DEVICES: u64 = hash_text("devices");

/// The properties of a person that are the same on all days.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivityProfile {
    /// Probability that the person is active on a workday.
    workday_probability: f64,
    /// Factor on all counts, from 0.5 to 40 and rarely above 10.
    volume_factor: f64,
    /// Whether the person has a mail account.
    uses_mail: bool,
}

/// A day as a number, which makes date arithmetic cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DayNumber {
    /// Days since 1970-01-01, a Thursday.
    days_since_epoch: i64,
}

/// A person on a day. The random numbers of the day depend on all fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct PersonDay {
    pub(super) seed: u64,
    pub(super) geo: TenantGeo,
    pub(super) person: u32,
    pub(super) day: DayNumber,
    /// The number of revisions of the row.
    pub(super) revision: u16,
}

/// The flags and counters of a day.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the API")]
pub(super) struct DayUsage {
    pub(super) im: bool,
    pub(super) docs: bool,
    pub(super) cal: bool,
    pub(super) vc: bool,
    pub(super) search: bool,
    pub(super) counters: UsageCounters,
}

impl ActivityProfile {
    pub(super) fn of(seed: u64, geo: TenantGeo, person: u32) -> Self {
        let mut rng = rng_for(&[seed, geo_number(geo), u64::from(person), PROFILE]);
        let workday_probability = 1.0 - 0.8 * rng.f64().powi(3);
        let volume_factor = (0.5 / (1.0 - rng.f64() * 0.999).powf(0.7)).min(40.0);
        Self { workday_probability, volume_factor, uses_mail: rng.u8(..10) < 7 }
    }
}

impl DayNumber {
    pub(super) fn of(day: Date) -> Self {
        Self { days_since_epoch: day.duration_since(date(1970, 1, 1)).as_hours() / 24 }
    }

    /// The calendar date.
    pub(super) fn date(self) -> Date {
        add_days(date(1970, 1, 1), i32::try_from(self.days_since_epoch).unwrap_or(0))
    }

    /// The day `days` days earlier.
    pub(super) fn minus_days(self, days: i32) -> Self {
        Self { days_since_epoch: self.days_since_epoch - i64::from(days) }
    }

    /// Days from `earlier` to this day.
    pub(super) fn since(self, earlier: Self) -> i32 {
        i32::try_from(self.days_since_epoch - earlier.days_since_epoch).unwrap_or(0)
    }

    /// Days until the next day whose number modulo `period` is `remainder`; 0 if this day is one.
    pub(super) fn days_until(self, remainder: i32, period: i32) -> i32 {
        let days = (i64::from(remainder) - self.days_since_epoch).rem_euclid(i64::from(period));
        i32::try_from(days).unwrap_or(0)
    }

    /// Days since the last day whose number modulo `period` is `remainder`; 0 if this day is one.
    pub(super) fn days_since(self, remainder: i32, period: i32) -> i32 {
        let days = (self.days_since_epoch - i64::from(remainder)).rem_euclid(i64::from(period));
        i32::try_from(days).unwrap_or(0)
    }

    /// The day as a part of a random seed.
    pub(super) const fn as_seed(self) -> u64 {
        self.days_since_epoch.cast_unsigned()
    }

    const fn is_weekend(self) -> bool {
        (self.days_since_epoch + 3).rem_euclid(7) >= 5
    }
}

impl PersonDay {
    /// Whether the person is active on the day, if the account is activated.
    pub(super) fn is_active(&self, profile: ActivityProfile) -> bool {
        let probability =
            if self.day.is_weekend() { profile.workday_probability * 0.18 } else { profile.workday_probability };
        self.rng(ACTIVE).f64() < probability
    }

    /// The second of the day at which the person was last active.
    pub(super) fn last_second(&self) -> u32 {
        self.rng(LAST_SECOND).u32(7 * 3600..86_400)
    }

    /// The flags and counters of the day. A person who is not active still receives mail.
    pub(super) fn usage(&self, profile: ActivityProfile, active: bool) -> DayUsage {
        let mut rng = self.rng(USAGE);
        let mut usage = if active { random_usage(&mut rng, profile.volume_factor) } else { DayUsage::default() };
        if profile.uses_mail {
            set_mail_counters(&mut rng, profile.volume_factor, active, &mut usage.counters);
        }
        usage
    }

    /// The devices of an active day.
    pub(super) fn devices(&self) -> DeviceFields {
        device::random_devices(&mut self.rng(DEVICES))
    }

    /// The random number generator for a label.
    pub(super) fn rng(&self, label: u64) -> Rng {
        let (geo, person, revision) = (geo_number(self.geo), u64::from(self.person), u64::from(self.revision));
        rng_for(&[self.seed, geo, person, self.day.as_seed(), revision, label])
    }
}

fn random_usage(rng: &mut Rng, volume_factor: f64) -> DayUsage {
    let (im, docs, cal) = (rng.f64() < 0.93, rng.f64() < 0.55, rng.f64() < 0.45);
    let (vc, search) = (rng.f64() < 0.3, rng.f64() < 0.35);
    let mut count = |used: bool, mean: f64| if used { exponential_count(rng, mean * volume_factor) } else { 0 };
    let vc_num = if vc { 1 + count(true, 0.6) } else { 0 };
    let (quick, tab) = (count(search, 1.5), count(search, 0.7));
    let counters = UsageCounters {
        send_messenger_num: count(im, 14.0),
        create_docs_num: count(docs, 0.5),
        create_cal_num: count(cal, 0.4),
        create_task_num: count(im, 0.15),
        vc_num,
        vc_duration: vc_num + count(vc, 35.0),
        total_search_count: quick + tab,
        quick_search_count: quick,
        tab_search_count: tab,
        ..UsageCounters::default()
    };
    DayUsage { im, docs, cal, vc, search, counters }
}

/// Sets the mail counters. A person who is not active receives mail but sends none.
fn set_mail_counters(rng: &mut Rng, volume_factor: f64, active: bool, counters: &mut UsageCounters) {
    let sender = if active { volume_factor } else { 0.0 };
    counters.email_send_ext_count = exponential_count(rng, sender * 0.4);
    counters.email_send_in_count = exponential_count(rng, sender * 0.6);
    counters.email_receive_ext_count = exponential_count(rng, volume_factor * 1.2);
    counters.email_receive_in_count = exponential_count(rng, volume_factor * 2.0);
    counters.email_send_count = counters.email_send_ext_count + counters.email_send_in_count;
    counters.email_receive_count = counters.email_receive_ext_count + counters.email_receive_in_count;
}

/// A random count with an exponential distribution.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn exponential_count(rng: &mut Rng, mean: f64) -> u32 {
    (-mean * (1.0 - rng.f64()).ln()) as u32
}

#[cfg(test)]
mod tests {
    use jiff::civil::Weekday;

    use super::*;

    fn active_share(day: &str) -> f64 {
        let day = DayNumber::of(day.parse().expect("a day"));
        let person_day = |person| PersonDay { seed: 1, geo: TenantGeo::Cn, person, day, revision: 0 };
        let active = (0..4000)
            .filter(|person| person_day(*person).is_active(ActivityProfile::of(1, TenantGeo::Cn, *person)))
            .count();
        f64::from(u32::try_from(active).expect("few")) / 4000.0
    }

    #[test]
    fn more_people_are_active_on_workdays_than_on_weekends() {
        let (friday, saturday) = (active_share("2026-11-20"), active_share("2026-11-21"));

        assert!((0.6..0.95).contains(&friday), "{friday}");
        assert!((0.05..0.3).contains(&saturday), "{saturday}");
    }

    #[test]
    fn day_numbers_agree_with_the_calendar() {
        let day: Date = "2026-11-21".parse().expect("a day");

        for offset in 0..14 {
            let (one, earlier) = (DayNumber::of(day), DayNumber::of(add_days(day, -offset)));
            assert_eq!((one.minus_days(offset), one.since(earlier)), (earlier, offset));
            assert_eq!(
                earlier.is_weekend(),
                matches!(add_days(day, -offset).weekday(), Weekday::Saturday | Weekday::Sunday)
            );
        }
    }

    #[test]
    fn totals_are_the_sums_of_their_parts() {
        let mut rng = Rng::with_seed(1);
        let mut usage = random_usage(&mut rng, 8.0);
        set_mail_counters(&mut rng, 8.0, true, &mut usage.counters);
        let counters = usage.counters;

        assert_eq!(counters.email_send_count, counters.email_send_in_count + counters.email_send_ext_count);
        assert_eq!(counters.total_search_count, counters.quick_search_count + counters.tab_search_count);
        assert!(!usage.vc || counters.vc_duration >= counters.vc_num);
    }
}
