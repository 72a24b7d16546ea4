//! The department of each person over several days, and the people who changed departments.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use super::{
    day_figures::PersonSet,
    department_members::{DepartmentMembers, MembershipChanges},
    department_tree::DepartmentTree,
    digest::DayDigest,
};
use crate::table::{Flag, PersonIndex};

/// The first department of each person, by person index.
#[derive(Debug)]
pub struct PrimaryDepartments {
    by_person: Vec<u32>,
    transferred: FixedBitSet,
}

/// The departments of one person, each with the flags the person had there: bit [`Flag::index`] is the flag.
type DepartmentFlags = Vec<(u32, u16)>;

/// Marks people without a row.
const NO_DEPARTMENT: u32 = u32::MAX;

impl PrimaryDepartments {
    /// Assigns the people of these days.
    #[must_use]
    pub fn from_days(days: &[Arc<DayDigest>]) -> Self {
        let people = days.iter().map(|digest| digest.figures().present.identified.len()).max().unwrap_or(0);
        let mut departments =
            Self { by_person: vec![NO_DEPARTMENT; people], transferred: FixedBitSet::with_capacity(people) };
        let mut changes = MembershipChanges::default();
        for digest in days.iter().flat_map(|digest| digest.departments()) {
            if changes.update(digest.department, &digest.members) {
                departments.assign(&digest.members, digest.department);
            }
        }
        departments
    }

    fn assign(&mut self, members: &DepartmentMembers, department: u32) {
        for person in members.people().iter().map(|person| *person as usize) {
            if self.by_person[person] == NO_DEPARTMENT {
                self.by_person[person] = department;
            } else if self.by_person[person] != department {
                self.transferred.insert(person);
            }
        }
    }

    /// Distinct people who had each of the flags on any of the days, for every node of `tree`. People without an id are
    /// not counted.
    #[must_use]
    pub fn counts<const N: usize>(
        &self,
        days: &[Arc<DayDigest>],
        tree: &DepartmentTree,
        flags: [Flag; N],
    ) -> Vec<[u64; N]> {
        let mut counts = vec![[0; N]; tree.len()];
        for (department, own) in (0..).zip(self.counts_without_transferred(days, flags)) {
            for node in tree.self_and_ancestors(department) {
                add(&mut counts[node], own);
            }
        }
        for departments in self.flags_of_transferred(days) {
            for (node, bits) in flags_by_node(&departments, tree) {
                add(&mut counts[node], flags.map(|flag| u64::from(bits >> flag.index() & 1)));
            }
        }
        counts
    }

    /// By department index, without transferred people.
    fn counts_without_transferred<const N: usize>(&self, days: &[Arc<DayDigest>], flags: [Flag; N]) -> Vec<[u64; N]> {
        let last = self.by_person.iter().filter(|department| **department != NO_DEPARTMENT).max();
        let mut counts = vec![[0; N]; last.map_or(0, |last| *last as usize + 1)];
        for (i, flag) in flags.into_iter().enumerate() {
            let mut people =
                PersonSet::union_of(days.iter().map(|digest| digest.figures().people_with(flag))).identified;
            people.difference_with(&self.transferred);
            for person in people.ones() {
                counts[self.by_person[person] as usize][i] += 1;
            }
        }
        counts
    }

    /// The departments and flags of each transferred person.
    fn flags_of_transferred(&self, days: &[Arc<DayDigest>]) -> Vec<DepartmentFlags> {
        let transferred: Vec<PersonIndex> =
            self.transferred.ones().filter_map(|person| PersonIndex::try_from(person).ok()).collect();
        let mut flags: Vec<DepartmentFlags> = vec![DepartmentFlags::new(); transferred.len()];
        if transferred.is_empty() {
            return flags;
        }
        let mut changes = MembershipChanges::default();
        // By department index: its transferred members, as positions in `transferred`.
        let mut transferred_members: Vec<Vec<usize>> = Vec::new();
        for digest in days {
            for department in digest.departments() {
                let index = department.department as usize;
                if changes.update(department.department, &department.members) {
                    let len = transferred_members.len().max(index + 1);
                    transferred_members.resize_with(len, Vec::new);
                    let people = department.members.people().iter();
                    let people = people.filter(|person| self.transferred.contains(**person as usize));
                    let positions = people.filter_map(|person| transferred.binary_search(person).ok());
                    transferred_members[index] = positions.collect();
                }
                for position in &transferred_members[index] {
                    let bits = digest.figures().flag_bits(transferred[*position]);
                    merge_flags(&mut flags[*position], department.department, bits);
                }
            }
        }
        flags
    }
}

fn merge_flags(departments: &mut DepartmentFlags, department: u32, flags: u16) {
    match departments.iter_mut().find(|(known, _)| *known == department) {
        Some((_, bits)) => *bits |= flags,
        None => departments.push((department, flags)),
    }
}

/// All nodes that contain these departments, each with the union of the flags.
fn flags_by_node(departments: &DepartmentFlags, tree: &DepartmentTree) -> Vec<(usize, u16)> {
    let mut nodes: Vec<(usize, u16)> = Vec::new();
    for (department, flags) in departments {
        for node in tree.self_and_ancestors(*department) {
            match nodes.iter_mut().find(|(known, _)| *known == node) {
                Some((_, bits)) => *bits |= flags,
                None => nodes.push((node, *flags)),
            }
        }
    }
    nodes
}

fn add<const N: usize>(counts: &mut [u64; N], more: [u64; N]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
