//! Totals of every department including its sub-departments, with distinct people.
//!
//! Sums add up over departments and days, and distinct people do not. Most people stay in one department for the whole
//! range. Their flags are united over all days, and each person is then counted in that department. People who changed
//! departments are processed day by day.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fixedbitset::FixedBitSet;

use super::{
    day_figures::RowSums, department_tree::DepartmentTree, digest::DayDigest, primary_departments::PrimaryDepartments,
    shared_people::shared_people,
};
use crate::{
    model::{Day, DayRange},
    table::{Counter, DayMetadata as _, Flag},
};

/// The totals of one department and all its sub-departments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DepartmentTotals {
    /// Number of rows on all days.
    pub rows: u64,
    /// Number of people on the last day.
    pub users: u64,
    /// How many of these people have an activated account.
    pub activated: u64,
    /// Distinct people who had each flag on any day, by [`Flag::index`]. `None` if there are several days and either a
    /// person's id is missing or distinct people were not counted.
    pub people: [Option<u64>; Flag::COUNT],
    /// The sum of each counter, by [`Counter::index`]; saturates.
    pub counters: [u64; Counter::COUNT],
}

/// The totals of every node of `tree`, in its order, without distinct people over several days. The digests must be
/// sorted by day. If all are of one day, `people` is exact.
#[must_use]
pub fn totals_without_distinct(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<DepartmentTotals> {
    if is_single_day(days) {
        let of_one_day = |sums: &RowSums| DepartmentTotals {
            people: sums.flags.map(Some),
            ..DepartmentTotals::from_sums(sums, sums)
        };
        return sums_of_day_by_node(days, tree).iter().map(of_one_day).collect();
    }
    let latest = sums_of_day_by_node(last_day(days), tree);
    sums_by_node(days, tree).iter().zip(latest).map(|(all, latest)| DepartmentTotals::from_sums(all, &latest)).collect()
}

/// The totals of every node of `tree`, with distinct people over all days.
#[must_use]
pub fn totals(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<DepartmentTotals> {
    let mut totals = totals_without_distinct(days, tree);
    if !is_single_day(days) {
        for (node, people) in totals.iter_mut().zip(distinct_people(days, tree, Flag::ALL)) {
            node.people = people;
        }
    }
    totals
}

/// Distinct people who had each of the flags on any of the days, for every node of `tree`. `None` if a person's id is
/// missing.
#[must_use]
pub fn distinct_people<const N: usize>(
    days: &[Arc<DayDigest>],
    tree: &DepartmentTree,
    flags: [Flag; N],
) -> Vec<[Option<u64>; N]> {
    let unidentified = unidentified_flags(days, tree);
    let counts = PrimaryDepartments::from_days(days).counts(days, tree, flags).into_iter().zip(unidentified);
    let exact = |(counts, unidentified): ([u64; N], [bool; Flag::COUNT])| {
        std::array::from_fn(|i| (!unidentified[flags[i].index()]).then_some(counts[i]))
    };
    counts.map(exact).collect()
}

/// Distinct people active in the `length` days that end with the last of `days`, for every node. `None` for all nodes
/// if one of these days is missing. `empty` are the dates that are known to have no people; they are not in `days`.
#[must_use]
pub fn trailing_active(
    days: &[Arc<DayDigest>],
    empty: &BTreeSet<Day>,
    tree: &DepartmentTree,
    length: u16,
) -> Vec<Option<u64>> {
    let days = trailing_window(days, length);
    let available = days.chunk_by(|one, other| one.key().day == other.key().day).count();
    let window = days.last().map(|last| DayRange::ending(last.key().day, length));
    let known_empty = empty.iter().filter(|day| window.is_some_and(|window| window.contains(**day))).count();
    if available + known_empty < usize::from(length) {
        return vec![None; tree.len()];
    }
    distinct_people(days, tree, [Flag::Active]).into_iter().map(|[active]| active).collect()
}

/// The digests of the `length` days that end with the last of `days`.
#[must_use]
pub fn trailing_window(days: &[Arc<DayDigest>], length: u16) -> &[Arc<DayDigest>] {
    let window = days.last().map(|last| DayRange::ending(last.key().day, length));
    let is_inside = |digest: &Arc<DayDigest>| window.is_some_and(|window| window.contains(digest.key().day));
    &days[days.partition_point(|digest| !is_inside(digest))..]
}

/// People active on the last of `days`, for every node.
#[must_use]
pub fn active_on_last_day(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<u64> {
    sums_of_day_by_node(last_day(days), tree).iter().map(|sums| sums.rows_with(Flag::Active)).collect()
}

/// The digests of the last day.
fn last_day(days: &[Arc<DayDigest>]) -> &[Arc<DayDigest>] {
    days.chunk_by(|one, other| one.key().day == other.key().day).next_back().unwrap_or_default()
}

/// The departments that have their own rows on any of the days.
#[must_use]
pub fn departments_with_rows(days: &[Arc<DayDigest>]) -> FixedBitSet {
    let mut present = FixedBitSet::new();
    for department in days.iter().flat_map(|day| day.departments()) {
        present.grow_and_insert(department.department as usize);
    }
    present
}

impl DepartmentTotals {
    fn from_sums(all: &RowSums, latest: &RowSums) -> Self {
        let activated = latest.rows_with(Flag::Activated);
        Self { rows: all.users, users: latest.users, activated, people: Default::default(), counters: all.counters }
    }
}

fn is_single_day(days: &[Arc<DayDigest>]) -> bool {
    days.first().map(|first| first.key().day) == days.last().map(|last| last.key().day)
}

/// The sums of one day in all its `geos`, for every node. A person with rows in several geos counts once in each node.
fn sums_of_day_by_node(geos: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<RowSums> {
    let mut sums = sums_by_node(geos, tree);
    for rows in shared_people(geos) {
        let mut flags_by_node: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        for row in rows {
            for node in tree.self_and_ancestors(row.department) {
                flags_by_node.entry(node).or_default().push(row.flags);
            }
        }
        for (node, flags) in flags_by_node {
            sums[node].count_person_once(&flags);
        }
    }
    sums
}

/// The sums of all rows of these days, for every node. Sums are added per department first, so that the tree is walked
/// once and not once a day.
fn sums_by_node(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<RowSums> {
    let mut own: Vec<RowSums> = vec![RowSums::default(); departments_with_rows(days).len()];
    for department in days.iter().flat_map(|digest| digest.departments()) {
        own[department.department as usize].add(&department.sums);
    }
    let mut all = vec![RowSums::default(); tree.len()];
    for (department, own) in (0..).zip(&own) {
        for node in tree.self_and_ancestors(department) {
            all[node].add(own);
        }
    }
    all
}

/// Whether each flag is set in a row without a person's id, for every node.
fn unidentified_flags(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<[bool; Flag::COUNT]> {
    let mut unidentified = vec![[false; Flag::COUNT]; tree.len()];
    for digest in days.iter().filter(|digest| digest.figures().present.unidentified > 0) {
        let departments = digest.departments().iter();
        for department in departments.filter(|department| department.sums.users > department.members.len() as u64) {
            for flag in Flag::ALL {
                let people = digest.figures().people_with(flag);
                let identified =
                    department.members.people().iter().filter(|person| people.contains(**person)).count() as u64;
                for node in tree.self_and_ancestors(department.department) {
                    unidentified[node][flag.index()] |= department.sums.rows_with(flag) > identified;
                }
            }
        }
    }
    unidentified
}
