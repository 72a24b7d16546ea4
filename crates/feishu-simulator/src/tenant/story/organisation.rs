//! The organisation chart of the company.

use std::ops::Range;

use fastrand::Rng;

use super::{
    habits::{BUSINESS_UNITS, BusinessUnit},
    random::weighted_index,
};
use crate::tenant::{department::TenantDepartments, id_codec::IdCodec};

/// People per team or group, on average.
const TEAM_SIZE: f64 = 25.0;
/// The most groups of a team, so that the company has fewer than 400 departments.
const MAX_GROUPS: usize = 8;
const GROUP_NAMES: [&str; MAX_GROUPS] = ["一组", "二组", "三组", "四组", "五组", "六组", "七组", "八组"];

/// The departments of each business unit.
#[derive(Debug)]
pub(super) struct Organisation {
    units: Vec<UnitDepartments>,
    /// The index of the business unit of each department.
    unit_of_department: Vec<usize>,
}

/// The indices of the departments of a business unit.
#[derive(Debug)]
struct UnitDepartments {
    top: usize,
    teams: Vec<TeamDepartments>,
}

#[derive(Debug)]
struct TeamDepartments {
    team: usize,
    groups: Range<usize>,
}

impl Organisation {
    /// Generates the departments for a number of people.
    pub(super) fn generate(seed: u64, users: u32) -> (TenantDepartments, Self) {
        let codec = IdCodec::new(seed);
        let mut departments = TenantDepartments::default();
        let mut units = Vec::with_capacity(BUSINESS_UNITS.len());
        let mut unit_of_department = Vec::new();
        for (number, unit) in BUSINESS_UNITS.iter().enumerate() {
            let first = departments.all().len();
            let top = departments.add(codec, None, unit.name.to_owned());
            let people = f64::from(users) * unit.share;
            let team_count = rounded(people / TEAM_SIZE).min(unit.teams.len());
            let group_count = rounded(people / unit.teams.len() as f64 / TEAM_SIZE).min(MAX_GROUPS);
            let group_names = if group_count > 1 { &GROUP_NAMES[..group_count] } else { &[] };
            let teams = unit.teams[..team_count].iter().map(|name| {
                let team = departments.add(codec, Some(top), (*name).to_owned());
                for group_name in group_names {
                    departments.add(codec, Some(team), (*group_name).to_owned());
                }
                TeamDepartments { team, groups: team + 1..team + 1 + group_names.len() }
            });
            units.push(UnitDepartments { top, teams: teams.collect() });
            unit_of_department.extend(std::iter::repeat_n(number, departments.all().len() - first));
        }
        (departments, Self { units, unit_of_department })
    }

    /// The business unit of a department, and its number.
    pub(super) fn unit_of(&self, department: usize) -> (usize, &'static BusinessUnit) {
        let unit = self.unit_of_department[department];
        (unit, &BUSINESS_UNITS[unit])
    }

    /// A department for a random number from 0 to 1, which decides the business unit.
    pub(super) fn department(&self, random: f64, rng: &mut Rng) -> usize {
        let unit = weighted_index(random, BUSINESS_UNITS.iter().map(|unit| unit.share));
        self.department_within(unit, rng)
    }

    /// A department of the same business unit, or of another one for half of the numbers.
    pub(super) fn other_department(&self, department: usize, rng: &mut Rng) -> usize {
        let (unit, _) = self.unit_of(department);
        let random = rng.f64();
        if rng.bool() { self.department_within(unit, rng) } else { self.department(random, rng) }
    }

    fn department_within(&self, unit: usize, rng: &mut Rng) -> usize {
        let UnitDepartments { top, teams } = &self.units[unit];
        // The head of a unit and the staff of the head belong to no team.
        if teams.is_empty() || rng.u8(..100) < 2 {
            return *top;
        }
        // The first teams are larger.
        let position = rng.f64().powf(1.3) * teams.len() as f64;
        let TeamDepartments { team, groups } = &teams[rounded_down(position).min(teams.len() - 1)];
        if groups.is_empty() || rng.u8(..100) < 6 { *team } else { rng.usize(groups.clone()) }
    }
}

fn rounded(number: f64) -> usize {
    rounded_down(number.round())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of departments")]
fn rounded_down(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_departments_share_a_path() {
        for users in [1, 30, 500, 2000, 100_000] {
            let (departments, organisation) = Organisation::generate(1, users);

            let paths: HashSet<&str> = departments.all().iter().map(|department| department.path.as_str()).collect();
            assert_eq!(paths.len(), departments.all().len());
            assert_eq!(organisation.unit_of_department.len(), departments.all().len());
            assert!((8..400).contains(&paths.len()), "{}", paths.len());
        }
    }

    #[test]
    fn a_department_belongs_to_the_unit_at_the_start_of_its_path() {
        let (departments, organisation) = Organisation::generate(1, 2000);

        for (index, department) in departments.all().iter().enumerate() {
            let (_, unit) = organisation.unit_of(index);
            assert_eq!(department.path.split('/').next(), Some(unit.name));
        }
    }
}
