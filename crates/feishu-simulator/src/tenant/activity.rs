//! What people do all day: who is active, and how much.
//!
//! Workdays differ from weekends, people from one another, and a few do most of everything.

use fastrand::Rng;
use jiff::civil::date;

use super::{
    badge::geo_number,
    device::{self, Devices},
    truth::Counters,
};
use crate::{
    model::{Day, Geo},
    sim::chance::{draw, mix_text},
};

const HABITS: u64 = mix_text("habits");
const ACTIVE: u64 = mix_text("active");
const HOURS: u64 = mix_text("hours");
const FIGURES: u64 = mix_text("figures");
const DEVICES: u64 = mix_text("devices");

/// How a person works, on all days alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// How likely they are active on a workday.
    diligence: f64,
    /// How much they do compared to most, at least 0.5 and rarely above 10.
    vigour: f64,
    /// Whether the company's mail is theirs too.
    mails: bool,
}

/// A day as a number, for asking about many people and many days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    /// Days since 1970-01-01, a Thursday.
    number: i64,
}

/// Whose figures of which day; `revision` counts how often upstream has changed its mind about them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doings {
    pub(super) seed: u64,
    pub(super) geo: Geo,
    pub(super) person: u32,
    pub(super) calendar: Calendar,
    pub(super) revision: u16,
}

/// The figures of an active or idle day.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "upstream's flags, each of its own")]
pub(super) struct Figures {
    pub(super) im: bool,
    pub(super) docs: bool,
    pub(super) cal: bool,
    pub(super) vc: bool,
    pub(super) search: bool,
    pub(super) counters: Counters,
}

impl Habits {
    pub(super) fn of(seed: u64, geo: Geo, person: u32) -> Self {
        let mut rng = draw(&[seed, geo_number(geo), u64::from(person), HABITS]);
        let diligence = 1.0 - 0.8 * rng.f64().powi(3);
        let vigour = (0.5 / (1.0 - rng.f64() * 0.999).powf(0.7)).min(40.0);
        Self { diligence, vigour, mails: rng.u8(..10) < 7 }
    }
}

impl Calendar {
    pub(super) fn of(day: Day) -> Self {
        Self { number: day.date().duration_since(date(1970, 1, 1)).as_hours() / 24 }
    }

    /// The day this many days before.
    pub(super) fn before(self, days: i32) -> Self {
        Self { number: self.number - i64::from(days) }
    }

    /// Days from `earlier` to this day.
    pub(super) fn since(self, earlier: Self) -> i32 {
        i32::try_from(self.number - earlier.number).unwrap_or(0)
    }

    /// How long it is until the next day whose number leaves `rest` when divided by `cycle`; today counts.
    pub(super) fn days_until(self, rest: i32, cycle: i32) -> i32 {
        let left = (i64::from(rest) - self.number).rem_euclid(i64::from(cycle));
        i32::try_from(left).unwrap_or(0)
    }

    /// How long ago the last such day was; today counts.
    pub(super) fn days_since(self, rest: i32, cycle: i32) -> i32 {
        let gone = (self.number - i64::from(rest)).rem_euclid(i64::from(cycle));
        i32::try_from(gone).unwrap_or(0)
    }

    /// The day as a part of what chance belongs to.
    pub(super) const fn lot(self) -> u64 {
        self.number.cast_unsigned()
    }

    const fn is_weekend(self) -> bool {
        (self.number + 3).rem_euclid(7) >= 5
    }
}

impl Doings {
    /// Whether the person used anything that day, given that they could.
    pub(super) fn is_active(&self, habits: Habits) -> bool {
        let chance = if self.calendar.is_weekend() { habits.diligence * 0.18 } else { habits.diligence };
        self.rng(ACTIVE).f64() < chance
    }

    /// The second of the day at which they were last active.
    pub(super) fn last_second(&self) -> u32 {
        self.rng(HOURS).u32(7 * 3600..86_400)
    }

    /// The figures of a day on which the person was active, or was not.
    pub(super) fn figures(&self, habits: Habits, active: bool) -> Figures {
        let mut rng = self.rng(FIGURES);
        let mut figures = if active { busy(&mut rng, habits.vigour) } else { Figures::default() };
        if habits.mails {
            mail(&mut rng, habits.vigour, active, &mut figures.counters);
        }
        figures
    }

    /// The devices of an active day.
    pub(super) fn devices(&self) -> Devices {
        device::devices(&mut self.rng(DEVICES))
    }

    fn rng(&self, label: u64) -> Rng {
        let (geo, person, revision) = (geo_number(self.geo), u64::from(self.person), u64::from(self.revision));
        draw(&[self.seed, geo, person, self.calendar.lot(), revision, label])
    }
}

fn busy(rng: &mut Rng, vigour: f64) -> Figures {
    let (im, docs, cal) = (rng.f64() < 0.93, rng.f64() < 0.55, rng.f64() < 0.45);
    let (vc, search) = (rng.f64() < 0.3, rng.f64() < 0.35);
    let mut count = |used: bool, mean: f64| if used { heavy(rng, mean * vigour) } else { 0 };
    let vc_num = if vc { 1 + count(true, 0.6) } else { 0 };
    let (quick, tab) = (count(search, 1.5), count(search, 0.7));
    let counters = Counters {
        send_messenger_num: count(im, 14.0),
        create_docs_num: count(docs, 0.5),
        create_cal_num: count(cal, 0.4),
        create_task_num: count(im, 0.15),
        vc_num,
        vc_duration: vc_num + count(vc, 35.0),
        total_search_count: quick + tab,
        quick_search_count: quick,
        tab_search_count: tab,
        ..Counters::default()
    };
    Figures { im, docs, cal, vc, search, counters }
}

/// Mail arrives whether or not anybody is there to read it.
fn mail(rng: &mut Rng, vigour: f64, active: bool, counters: &mut Counters) {
    let sender = if active { vigour } else { 0.0 };
    counters.email_send_ext_count = heavy(rng, sender * 0.4);
    counters.email_send_in_count = heavy(rng, sender * 0.6);
    counters.email_receive_ext_count = heavy(rng, vigour * 1.2);
    counters.email_receive_in_count = heavy(rng, vigour * 2.0);
    counters.email_send_count = counters.email_send_ext_count + counters.email_send_in_count;
    counters.email_receive_count = counters.email_receive_ext_count + counters.email_receive_in_count;
}

/// A count that is mostly small and sometimes large, around `mean`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn heavy(rng: &mut Rng, mean: f64) -> u32 {
    (-mean * (1.0 - rng.f64()).ln()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active_share(day: &str) -> f64 {
        let calendar = Calendar::of(day.parse().expect("a day"));
        let doings = |person| Doings { seed: 1, geo: Geo::Cn, person, calendar, revision: 0 };
        let active = (0..4000).filter(|person| doings(*person).is_active(Habits::of(1, Geo::Cn, *person))).count();
        f64::from(u32::try_from(active).expect("few")) / 4000.0
    }

    #[test]
    fn workdays_are_busier_than_weekends() {
        let (friday, saturday) = (active_share("2026-11-20"), active_share("2026-11-21"));

        assert!((0.6..0.95).contains(&friday), "{friday}");
        assert!((0.05..0.3).contains(&saturday), "{saturday}");
    }

    #[test]
    fn a_day_by_number_is_the_same_day() {
        let day: Day = "2026-11-21".parse().expect("a day");

        for offset in 0..14 {
            let (one, earlier) = (Calendar::of(day), Calendar::of(day.plus(-offset)));
            assert_eq!((one.before(offset), one.since(earlier)), (earlier, offset));
            assert_eq!(earlier.is_weekend(), day.plus(-offset).is_weekend());
        }
    }

    #[test]
    fn sums_of_the_parts_are_the_whole() {
        let mut rng = Rng::with_seed(1);
        let mut figures = busy(&mut rng, 8.0);
        mail(&mut rng, 8.0, true, &mut figures.counters);
        let counters = figures.counters;

        assert_eq!(counters.email_send_count, counters.email_send_in_count + counters.email_send_ext_count);
        assert_eq!(counters.total_search_count, counters.quick_search_count + counters.tab_search_count);
        assert!(!figures.vc || counters.vc_duration >= counters.vc_num);
    }
}
