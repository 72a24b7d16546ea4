//! The profile `story`: a company whose figures look like those of a real one.
//!
//! The company grows. It has holidays, departments with different habits, and a roll-out of documents in two
//! departments. Some accounts are dormant or were never activated. As in the rest of the tenant, each value is computed
//! from seed, geo, person and day alone.
//!
//! Shares of people come from a low-discrepancy sequence over the people's numbers and not from random numbers, so that
//! they also hold in small tenants.

mod calendar;
mod career;
mod clients;
mod habits;
mod organisation;
mod random;
mod story_person;

pub(super) use self::story_person::StoryPerson;
use self::{career::Career, organisation::Organisation};
use super::{activity::DayNumber, department::TenantDepartments, employment::Employment};
use crate::TenantGeo;

/// Generates the people of the company.
#[derive(Debug)]
pub(super) struct Story {
    seed: u64,
    /// Days of history.
    days: i32,
    organisation: Organisation,
}

impl Story {
    /// Generates the company and its departments.
    pub(super) fn generate(seed: u64, users: u32, days: i32) -> (TenantDepartments, Self) {
        let (departments, organisation) = Organisation::generate(seed, users);
        (departments, Self { seed, days, organisation })
    }

    /// The employment of a person. `start` is the first day of the history.
    pub(super) fn employment(&self, geo: TenantGeo, start: DayNumber, person: u32) -> Employment {
        Career::generate(self, geo, start, person).employment
    }

    /// A person. `start` is the first day of the history.
    pub(super) fn person(&self, geo: TenantGeo, start: DayNumber, person: u32) -> StoryPerson<'_> {
        StoryPerson::generate(self, geo, start, person)
    }
}
