//! When a person joined, first logged in, changed the department and left.
//!
//! Days are integers, counted from the first day of the history, so the people with a row on a day are found by
//! comparing integers.

use super::{activity::DayNumber, id_codec::geo_number};
use crate::{
    TenantGeo,
    seeded_rng::{hash_text, rng_for},
};

const EMPLOYMENT: u64 = hash_text("life");
/// The shortest time between the account creation and the history, for people who did not join during the history.
const MIN_TENURE_DAYS: i32 = 30;
/// The longest such time exceeds [`MIN_TENURE_DAYS`] by less than this.
const TENURE_RANGE_DAYS: i32 = 2000;

/// The parameters of the population.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PopulationConfig {
    pub(super) seed: u64,
    /// Days of history.
    pub(super) days: i32,
    /// The share of people who join or leave during the history, from 0 to 1.
    pub(super) turnover: f64,
    /// Number of departments.
    pub(super) departments: usize,
}

/// A time of the history: a day and a second of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HistoryTime {
    /// Days since the first day of the history; negative before it.
    pub(super) day: i32,
    /// Seconds since midnight.
    pub(super) second: u32,
}

/// When a person joined, first logged in, changed the department and left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Employment {
    /// When the account was created.
    pub(super) created: HistoryTime,
    /// When the person first logged in; `None` if never.
    pub(super) activated: Option<HistoryTime>,
    /// The last day with a row; `None` if the person does not leave.
    pub(super) last_day: Option<i32>,
    pub(super) department: usize,
    pub(super) transfer: Option<Transfer>,
}

/// A change of the department.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// The first day in the new department.
    pub(super) day: i32,
    pub(super) department: usize,
}

impl Employment {
    /// Generates the employment of a person. `start` is the first day of the history.
    ///
    /// Random days are drawn as calendar days modulo a period and not as distances from `start`. So a simulator that
    /// starts one day later generates the same employment for nearly all people.
    pub(super) fn generate(config: &PopulationConfig, geo: TenantGeo, start: DayNumber, person: u32) -> Self {
        let mut rng = rng_for(&[config.seed, geo_number(geo), u64::from(person), EMPLOYMENT]);
        let change_day = start.days_until(rng.i32(0..config.days), config.days);
        let random = rng.f64();
        let joins = random < config.turnover / 2.0;
        let leaves = !joins && random < config.turnover;
        let tenure = MIN_TENURE_DAYS + start.days_since(rng.i32(0..TENURE_RANGE_DAYS), TENURE_RANGE_DAYS);
        let created =
            HistoryTime { day: if joins { change_day } else { -tenure }, second: rng.u32(9 * 3600..19 * 3600) };
        let days_until_activation = if rng.u8(..4) == 0 { rng.i32(0..5) } else { 0 };
        let activated = HistoryTime {
            day: created.day + days_until_activation,
            second: (created.second + rng.u32(30..7000)).min(86_399),
        };
        let transfer_day = start.days_until(rng.i32(0..config.days), config.days);
        Self {
            created,
            activated: (rng.u8(..100) >= 4).then_some(activated),
            last_day: leaves.then_some(change_day),
            department: weighted_department(rng.f64(), config.departments),
            transfer: (rng.u8(..100) < 6)
                .then(|| Transfer { day: transfer_day, department: rng.usize(..config.departments) }),
        }
    }

    /// Whether the person has a row on `day`.
    pub(super) fn has_row_on(&self, day: i32) -> bool {
        self.created.day <= day && self.last_day.is_none_or(|last_day| day <= last_day)
    }

    /// The department on `day`.
    pub(super) fn department_on(&self, day: i32) -> usize {
        self.transfer.filter(|transfer| transfer.day <= day).map_or(self.department, |transfer| transfer.department)
    }

    /// When the person first logged in; `None` if not by the end of `day`.
    pub(super) fn activated_by(&self, day: i32) -> Option<HistoryTime> {
        self.activated.filter(|activated| activated.day <= day)
    }
}

/// The department for a random number from 0 to 1. Departments with a low index are more likely.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index below 400"
)]
fn weighted_department(random: f64, departments: usize) -> usize {
    ((random * random * departments as f64) as usize).min(departments - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: PopulationConfig = PopulationConfig { seed: 3, days: 60, turnover: 0.1, departments: 20 };

    fn employments(start: &str) -> Vec<Employment> {
        let start = DayNumber::of(start.parse().expect("a day"));
        (0..2000).map(|person| Employment::generate(&CONFIG, TenantGeo::Cn, start, person)).collect()
    }

    #[test]
    fn people_join_leave_change_the_department_or_never_log_in() {
        let employments = employments("2026-09-23");

        assert!(employments.iter().any(|employment| !employment.has_row_on(0) && employment.has_row_on(59)));
        assert!(employments.iter().any(|employment| employment.has_row_on(0) && !employment.has_row_on(59)));
        assert!(employments.iter().any(|employment| employment.department_on(0) != employment.department_on(59)));
        assert!(employments.iter().any(|employment| employment.activated.is_none()));
        assert!(employments.iter().all(|employment| employment.has_row_on(0) || employment.has_row_on(59)));
    }

    #[test]
    fn a_history_that_starts_a_day_later_is_nearly_the_same() {
        let (one, later) = (employments("2026-09-23"), employments("2026-09-24"));

        let is_same =
            |one: &Employment, later: &Employment| (1..60).all(|day| one.has_row_on(day) == later.has_row_on(day - 1));
        let same = one.iter().zip(&later).filter(|(one, later)| is_same(one, later)).count();

        assert!((1980..2000).contains(&same), "{same}");
    }

    #[test]
    fn without_turnover_all_people_have_a_row_on_every_day() {
        let config = PopulationConfig { turnover: 0.0, days: 1, ..CONFIG };
        let start = DayNumber::of("2026-09-23".parse().expect("a day"));

        assert!((0..500).all(|person| Employment::generate(&config, TenantGeo::Us, start, person).has_row_on(0)));
    }
}
