//! The department of each person over several days, and the people who changed departments.

use std::{collections::BTreeMap, sync::Arc};

use fixedbitset::FixedBitSet;

use super::{
    day_counts::in_at_least,
    day_figures::PersonSet,
    department_members::{DepartmentMembers, MembershipChanges},
    department_tree::DepartmentTree,
    digest::{DayDigest, by_date},
};
use crate::table::{Flag, PersonIndex};

/// The first department of each person, by person index.
#[derive(Debug)]
pub struct PrimaryDepartments {
    by_person: Vec<u32>,
    transferred: FixedBitSet,
}

/// A condition on the rows of a person over several days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// The flag that rows must have; `None`: any row.
    pub flag: Option<Flag>,
    /// On how many days there must be such a row; at least 1.
    pub days: usize,
}

/// Number of days by flag, by [`Flag::index`]; last, the number of days with a row.
type DaysByFlag = [u32; Flag::COUNT + 1];

/// The rows of one transferred person.
#[derive(Clone, Debug, Default)]
struct TransferredPerson {
    /// Days on which the person was in one department, by department.
    days_by_department: Vec<(u32, DaysByFlag)>,
    /// Days on which the person was in several departments, in different geos: each with its flags as bits.
    split_days: Vec<Vec<(u32, u16)>>,
    /// The rows of the day that is being read.
    today: Vec<(u32, u16)>,
}

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

    /// Distinct people who meet each of the criteria, for every node of `tree`, by their rows in the departments of the node.
    /// People without an id are not counted. The digests must be sorted by day.
    #[must_use]
    pub fn counts<const N: usize>(
        &self,
        days: &[Arc<DayDigest>],
        tree: &DepartmentTree,
        criteria: [Criterion; N],
    ) -> Vec<[u64; N]> {
        let mut counts = vec![[0; N]; tree.len()];
        for (department, own) in (0..).zip(self.counts_without_transferred(days, criteria)) {
            for node in tree.self_and_ancestors(department) {
                add(&mut counts[node], own);
            }
        }
        for person in self.transferred_people(days) {
            for (node, days) in person.days_by_node(tree) {
                add(&mut counts[node], criteria.map(|criterion| u64::from(criterion.is_met_by(&days))));
            }
        }
        counts
    }

    /// By department index, without transferred people.
    fn counts_without_transferred<const N: usize>(
        &self,
        days: &[Arc<DayDigest>],
        criteria: [Criterion; N],
    ) -> Vec<[u64; N]> {
        let last = self.by_person.iter().filter(|department| **department != NO_DEPARTMENT).max();
        let mut counts = vec![[0; N]; last.map_or(0, |last| *last as usize + 1)];
        for (i, criterion) in criteria.into_iter().enumerate() {
            let mut people = criterion.people(days);
            people.difference_with(&self.transferred);
            for person in people.ones() {
                counts[self.by_person[person] as usize][i] += 1;
            }
        }
        counts
    }

    /// The rows of each transferred person.
    fn transferred_people(&self, days: &[Arc<DayDigest>]) -> Vec<TransferredPerson> {
        let transferred: Vec<PersonIndex> =
            self.transferred.ones().filter_map(|person| PersonIndex::try_from(person).ok()).collect();
        let mut people = vec![TransferredPerson::default(); transferred.len()];
        if transferred.is_empty() {
            return people;
        }
        let mut changes = MembershipChanges::default();
        // By department index: its transferred members, as positions in `transferred`.
        let mut transferred_members: Vec<Vec<usize>> = Vec::new();
        for geos in by_date(days) {
            for digest in geos {
                for department in digest.departments() {
                    let index = department.department as usize;
                    if changes.update(department.department, &department.members) {
                        let len = transferred_members.len().max(index + 1);
                        transferred_members.resize_with(len, Vec::new);
                        let members = department.members.people().iter();
                        let members = members.filter(|person| self.transferred.contains(**person as usize));
                        let positions = members.filter_map(|person| transferred.binary_search(person).ok());
                        transferred_members[index] = positions.collect();
                    }
                    for position in &transferred_members[index] {
                        let bits = digest.figures().flag_bits(transferred[*position]);
                        merge_flags(&mut people[*position].today, department.department, bits);
                    }
                }
            }
            people.iter_mut().for_each(TransferredPerson::end_day);
        }
        people
    }
}

impl Criterion {
    /// People with the flag on any day.
    #[must_use]
    pub const fn any_day(flag: Flag) -> Self {
        Self { flag: Some(flag), days: 1 }
    }

    fn is_met_by(self, days: &DaysByFlag) -> bool {
        days[self.flag.map_or(Flag::COUNT, Flag::index)] as usize >= self.days
    }

    /// The people of one day and geo with the flag.
    fn set_of(self, digest: &DayDigest) -> &PersonSet {
        self.flag.map_or(&digest.figures().present, |flag| digest.figures().people_with(flag))
    }

    /// The people who meet the criterion, in any department. A day of several geos counts once.
    fn people(self, days: &[Arc<DayDigest>]) -> FixedBitSet {
        let by_day = || by_date(days);
        if self.days == 1 || by_day().all(|geos| geos.len() == 1) {
            return in_at_least(&days.iter().map(|digest| self.set_of(digest)).collect::<Vec<_>>(), self.days);
        }
        let merged: Vec<PersonSet> =
            by_day().map(|geos| PersonSet::union_of(geos.iter().map(|digest| self.set_of(digest)))).collect();
        in_at_least(&merged.iter().collect::<Vec<_>>(), self.days)
    }
}

impl TransferredPerson {
    /// Adds the rows of the day that was read.
    fn end_day(&mut self) {
        match self.today[..] {
            [] => {}
            [(department, bits)] => {
                let position = self.days_by_department.iter().position(|(known, _)| *known == department);
                let position = position.unwrap_or_else(|| {
                    self.days_by_department.push((department, DaysByFlag::default()));
                    self.days_by_department.len() - 1
                });
                add_day(&mut self.days_by_department[position].1, bits);
                self.today.clear();
            }
            _ => self.split_days.push(std::mem::take(&mut self.today)),
        }
    }

    /// The days at each node that contains one of the departments.
    fn days_by_node(&self, tree: &DepartmentTree) -> BTreeMap<usize, DaysByFlag> {
        let mut nodes: BTreeMap<usize, DaysByFlag> = BTreeMap::new();
        for (department, days) in &self.days_by_department {
            for node in tree.self_and_ancestors(*department) {
                for (sum, days) in nodes.entry(node).or_default().iter_mut().zip(days) {
                    *sum += days;
                }
            }
        }
        for day in &self.split_days {
            for (node, bits) in flags_by_node(day, tree) {
                add_day(nodes.entry(node).or_default(), bits);
            }
        }
        nodes
    }
}

/// Counts one day with a row that has these flags.
fn add_day(days: &mut DaysByFlag, bits: u16) {
    for (flag, days) in days.iter_mut().enumerate() {
        *days += u32::from(flag == Flag::COUNT || bits >> flag & 1 == 1);
    }
}

fn merge_flags(departments: &mut Vec<(u32, u16)>, department: u32, flags: u16) {
    match departments.iter_mut().find(|(known, _)| *known == department) {
        Some((_, bits)) => *bits |= flags,
        None => departments.push((department, flags)),
    }
}

/// All nodes that contain these departments, each with the union of the flags.
fn flags_by_node(departments: &[(u32, u16)], tree: &DepartmentTree) -> BTreeMap<usize, u16> {
    let mut nodes: BTreeMap<usize, u16> = BTreeMap::new();
    for (department, flags) in departments {
        for node in tree.self_and_ancestors(*department) {
            *nodes.entry(node).or_default() |= flags;
        }
    }
    nodes
}

fn add<const N: usize>(counts: &mut [u64; N], more: [u64; N]) {
    for (count, more) in counts.iter_mut().zip(more) {
        *count += more;
    }
}
