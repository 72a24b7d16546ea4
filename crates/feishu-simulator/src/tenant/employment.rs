//! One person's time in the company: when they joined, were activated, moved and left.
//!
//! Days are counted from the first day of the history, which makes asking "who was there?" of a hundred thousand
//! people a matter of comparing integers.

use super::{activity::Calendar, badge::geo_number};
use crate::{
    model::Geo,
    sim::chance::{draw, mix_text},
};

const LIFE: u64 = mix_text("life");
/// Those who were there before the history have been so for more days than this …
const SETTLED: i32 = 30;
/// … and for at most so many more.
const LONGEST: i32 = 2000;

/// What all lives have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Company {
    pub(super) seed: u64,
    /// Days of history.
    pub(super) days: i32,
    /// The share of people that join or leave during the history.
    pub(super) turnover: f64,
    /// How many departments there are.
    pub(super) departments: usize,
}

/// A moment of the history: a day and a second of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Days since the first day of the history; negative before it.
    pub(super) day: i32,
    /// Seconds since midnight.
    pub(super) second: u32,
}

/// One person's time in the company.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) created: Moment,
    /// `None` for those who never logged in.
    pub(super) activated: Option<Moment>,
    /// The last day with a row; `None` for those who stay.
    left: Option<i32>,
    department: usize,
    /// From which day on they belong to which other department.
    moved: Option<(i32, usize)>,
}

impl Life {
    /// The life of a person, told in days from `start`, the first day of the history.
    ///
    /// What is drawn is not the distance from `start` but a day of an endless calendar, so that a simulator started
    /// tomorrow tells nearly everybody's life as it does today.
    pub(super) fn of(company: &Company, geo: Geo, start: Calendar, person: u32) -> Self {
        let mut rng = draw(&[company.seed, geo_number(geo), u64::from(person), LIFE]);
        let turn = start.days_until(rng.i32(0..company.days), company.days);
        let fate = rng.f64();
        let joins = fate < company.turnover / 2.0;
        let leaves = !joins && fate < company.turnover;
        let seniority = SETTLED + start.days_since(rng.i32(0..LONGEST), LONGEST);
        let created = Moment { day: if joins { turn } else { -seniority }, second: rng.u32(9 * 3600..19 * 3600) };
        let wait = if rng.u8(..4) == 0 { rng.i32(0..5) } else { 0 };
        let activated = Moment { day: created.day + wait, second: (created.second + rng.u32(30..7000)).min(86_399) };
        let move_day = start.days_until(rng.i32(0..company.days), company.days);
        Self {
            created,
            activated: (rng.u8(..100) >= 4).then_some(activated),
            left: leaves.then_some(turn),
            department: some_department(rng.f64(), company.departments),
            moved: (rng.u8(..100) < 6).then(|| (move_day, rng.usize(..company.departments))),
        }
    }

    /// Whether there is a row for `day`.
    pub(super) fn holds(&self, day: i32) -> bool {
        self.created.day <= day && self.left.is_none_or(|left| day <= left)
    }

    pub(super) fn department_on(&self, day: i32) -> usize {
        self.moved.filter(|(from, _)| *from <= day).map_or(self.department, |(_, department)| department)
    }

    /// When they were activated, as known at the end of `day`.
    pub(super) fn activated_by(&self, day: i32) -> Option<Moment> {
        self.activated.filter(|activated| activated.day <= day)
    }
}

/// A number between 0 and 1 becomes a department; the first ones are the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a short list"
)]
fn some_department(chance: f64, departments: usize) -> usize {
    ((chance * chance * departments as f64) as usize).min(departments - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPANY: Company = Company { seed: 3, days: 60, turnover: 0.1, departments: 20 };

    fn lives(start: &str) -> Vec<Life> {
        let start = Calendar::of(start.parse().expect("a day"));
        (0..2000).map(|person| Life::of(&COMPANY, Geo::Cn, start, person)).collect()
    }

    #[test]
    fn people_join_leave_move_and_some_never_log_in() {
        let lives = lives("2026-09-23");

        assert!(lives.iter().any(|life| !life.holds(0) && life.holds(59)));
        assert!(lives.iter().any(|life| life.holds(0) && !life.holds(59)));
        assert!(lives.iter().any(|life| life.department_on(0) != life.department_on(59)));
        assert!(lives.iter().any(|life| life.activated.is_none()));
        assert!(lives.iter().all(|life| life.holds(0) || life.holds(59)));
    }

    #[test]
    fn a_history_that_starts_a_day_later_tells_nearly_all_lives_alike() {
        let (one, later) = (lives("2026-09-23"), lives("2026-09-24"));

        let alike = |one: &Life, later: &Life| (1..60).all(|day| one.holds(day) == later.holds(day - 1));
        let same = one.iter().zip(&later).filter(|(one, later)| alike(one, later)).count();

        assert!((1980..2000).contains(&same), "{same}");
    }

    #[test]
    fn without_turnover_everybody_is_always_there() {
        let quiet = Company { turnover: 0.0, days: 1, ..COMPANY };
        let start = Calendar::of("2026-09-23".parse().expect("a day"));

        assert!((0..500).all(|person| Life::of(&quiet, Geo::Us, start, person).holds(0)));
    }
}
