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
    day_figures::RowSums,
    department_tree::DepartmentTree,
    digest::{DayDigest, by_date},
    primary_departments::{Criterion, PrimaryDepartments},
    range_figures::{DistinctPeople, RangeFigures, RangeSums, default_regular_days},
    shared_people::{GeoRow, shared_people},
};
use crate::{
    model::{Day, DayRange},
    table::{DayMetadata as _, Feature, Flag, dictionary::DictionaryTables},
};

/// The totals of one department and all its sub-departments.
#[derive(Clone, Debug, PartialEq)]
pub struct DepartmentTotals {
    /// Number of rows on all days.
    pub rows: u64,
    /// The figures over all days.
    pub figures: RangeFigures,
}

/// The totals of every node of `tree`, in its order. The digests must be sorted by day. `regular_days` as in
/// [`activity`](super::activity::activity). Distinct people over several days are only counted if `distinct` is set.
#[must_use]
pub fn totals(
    days: &[Arc<DayDigest>],
    tree: &DepartmentTree,
    regular_days: Option<usize>,
    distinct: bool,
) -> Vec<DepartmentTotals> {
    let days_counted = day_count(days);
    let regular_days = regular_days.unwrap_or(default_regular_days(days_counted));
    let is_counted = distinct && days_counted != 1;
    let (sums, distinct) = rayon::join(
        || range_sums_by_node(days, tree),
        || is_counted.then(|| distinct_people(days, tree, regular_days)),
    );
    let distinct: Vec<DistinctPeople> = if days_counted == 1 {
        sums.iter().map(|sums| DistinctPeople::of_one_day(&sums.last, regular_days)).collect()
    } else {
        distinct.unwrap_or_else(|| vec![DistinctPeople::default(); tree.len()])
    };
    let totals = |(sums, distinct): (&RangeSums, &DistinctPeople)| DepartmentTotals {
        rows: sums.all.users,
        figures: RangeFigures::new(sums, distinct, regular_days),
    };
    sums.iter().zip(&distinct).map(totals).collect()
}

/// Distinct people of every node. `None` in place of a number if a person's id is missing.
fn distinct_people(days: &[Arc<DayDigest>], tree: &DepartmentTree, regular_days: usize) -> Vec<DistinctPeople> {
    const REGULAR: [Flag; 1 + Feature::COUNT] = *Flag::ALL.last_chunk().expect("all flags but `Activated`");
    /// The positions of the criteria: people with a row, people with each flag, regular people.
    const WITH_FLAG: usize = 1;
    const FIRST_REGULAR: usize = WITH_FLAG + Flag::COUNT;
    const CRITERIA: usize = FIRST_REGULAR + REGULAR.len();

    let criteria: [Criterion; CRITERIA] = std::array::from_fn(|position| match position {
        ..WITH_FLAG => Criterion { flag: None, days: 1 },
        WITH_FLAG..FIRST_REGULAR => Criterion::any_day(Flag::ALL[position - WITH_FLAG]),
        _ => Criterion { flag: Some(REGULAR[position - FIRST_REGULAR]), days: regular_days },
    });
    let can_be_regular = regular_days <= day_count(days);
    let people = |counts: [Option<u64>; CRITERIA]| {
        let mut regular = [None; Flag::COUNT];
        if can_be_regular {
            regular[Flag::COUNT - REGULAR.len()..].copy_from_slice(&counts[FIRST_REGULAR..]);
        }
        DistinctPeople { people: counts[0], with_flag: std::array::from_fn(|flag| counts[WITH_FLAG + flag]), regular }
    };
    count_distinct(days, tree, criteria).into_iter().map(people).collect()
}

/// Distinct people who meet each of the criteria, for every node of `tree`. `None` if a person's id is missing.
#[must_use]
fn count_distinct<const N: usize>(
    days: &[Arc<DayDigest>],
    tree: &DepartmentTree,
    criteria: [Criterion; N],
) -> Vec<[Option<u64>; N]> {
    let unidentified = unidentified_flags(days, tree);
    let counts = PrimaryDepartments::from_days(days).counts(days, tree, criteria).into_iter().zip(unidentified);
    let exact = |(counts, unidentified): ([u64; N], [bool; Flag::COUNT + 1])| {
        std::array::from_fn(|i| (!unidentified[criteria[i].flag.map_or(Flag::COUNT, Flag::index)]).then_some(counts[i]))
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
    let available = day_count(days);
    let window = days.last().map(|last| DayRange::ending(last.key().day, length));
    let known_empty = empty.iter().filter(|day| window.is_some_and(|window| window.contains(**day))).count();
    if available + known_empty < usize::from(length) {
        return vec![None; tree.len()];
    }
    let active = count_distinct(days, tree, [Criterion::any_day(Flag::Active)]);
    active.into_iter().map(|[active]| active).collect()
}

/// The digests of the `length` days that end with the last of `days`.
#[must_use]
pub fn trailing_window(days: &[Arc<DayDigest>], length: u16) -> &[Arc<DayDigest>] {
    let window = days.last().map(|last| DayRange::ending(last.key().day, length));
    let is_inside = |digest: &Arc<DayDigest>| window.is_some_and(|window| window.contains(digest.key().day));
    &days[days.partition_point(|digest| !is_inside(digest))..]
}

/// The number of active people of each day, added up over the days, for every node.
#[must_use]
pub fn active_days(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<u64> {
    let mut sums = vec![0; tree.len()];
    for geos in by_date(days) {
        for (sum, today) in sums.iter_mut().zip(activity_by_node(geos, tree)) {
            *sum += today.active;
        }
    }
    sums
}

/// The digests of the last day.
fn last_day(days: &[Arc<DayDigest>]) -> &[Arc<DayDigest>] {
    by_date(days).next_back().unwrap_or_default()
}

/// The tree of the departments with rows on `days`, with the names that they have on the latest of `named_days`. With `top`,
/// only that department and its sub-departments.
#[must_use]
pub fn tree_of_days(
    days: &[Arc<DayDigest>],
    named_days: &[Arc<DayDigest>],
    dictionary: &DictionaryTables,
    top: Option<&str>,
) -> DepartmentTree {
    let latest_first = named_days.iter().rev();
    let rows = latest_first.flat_map(|day| day.departments().iter().map(|own| (day.key().day, own.department)));
    DepartmentTree::new(&departments_with_rows(days), dictionary, top).with_names(rows, dictionary)
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

/// Number of dates.
#[must_use]
pub fn day_count(days: &[Arc<DayDigest>]) -> usize {
    by_date(days).count()
}

/// The sums of the days, for every node. A person with rows in several geos counts once a day in each node.
fn range_sums_by_node(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<RangeSums> {
    let all = sums_by_node(days, tree).into_iter().zip(sums_of_day_by_node(last_day(days), tree));
    let mut sums: Vec<RangeSums> = all.map(|(all, last)| RangeSums { last, all, ..RangeSums::default() }).collect();
    for geos in by_date(days) {
        for (node, flags) in shared_people_by_node(geos, tree) {
            sums[node].all.count_person_once(&flags);
        }
        for (sums, today) in sums.iter_mut().zip(activity_by_node(geos, tree)) {
            sums.days += 1;
            sums.add_active_rate(today.active, today.activated);
        }
    }
    sums
}

/// The sums of one day in all its `geos`, for every node. A person with rows in several geos counts once in each node.
fn sums_of_day_by_node(geos: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<RowSums> {
    let mut sums = sums_by_node(geos, tree);
    for (node, flags) in shared_people_by_node(geos, tree) {
        sums[node].count_person_once(&flags);
    }
    sums
}

/// The nodes of each person who has rows in several of the `geos`, each with the flags of the person's rows there as bits.
fn shared_people_by_node(geos: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<(usize, Vec<u16>)> {
    let by_node = |rows: Vec<GeoRow>| {
        let mut flags_by_node: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        for row in rows {
            for node in tree.self_and_ancestors(row.department) {
                flags_by_node.entry(node).or_default().push(row.flags);
            }
        }
        flags_by_node
    };
    shared_people(geos).into_iter().flat_map(by_node).collect()
}

/// The number of activated and of active people on one day.
#[derive(Clone, Copy, Debug, Default)]
struct DayActivity {
    activated: u64,
    active: u64,
}

/// The activity of one day in all its `geos`, for every node. Faster than [`sums_of_day_by_node`].
fn activity_by_node(geos: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<DayActivity> {
    let mut nodes = vec![DayActivity::default(); tree.len()];
    for department in geos.iter().flat_map(|digest| digest.departments()) {
        if let Some(node) = tree.self_and_ancestors(department.department).next() {
            nodes[node].activated += department.sums.rows_with(Flag::Activated);
            nodes[node].active += department.sums.rows_with(Flag::Active);
        }
    }
    // Each node precedes its descendants, so in reverse order a node is complete before it is added to its parent.
    for (node, parent) in tree.nodes().iter().enumerate().rev().filter_map(|(node, of)| Some((node, of.parent?))) {
        let DayActivity { activated, active } = nodes[node];
        nodes[parent].activated += activated;
        nodes[parent].active += active;
    }
    for (node, flags) in shared_people_by_node(geos, tree) {
        let repeated = |flag: Flag| {
            let rows = flags.iter().filter(|bits| **bits >> flag.index() & 1 == 1).count();
            rows.saturating_sub(1) as u64
        };
        nodes[node].activated -= repeated(Flag::Activated);
        nodes[node].active -= repeated(Flag::Active);
    }
    nodes
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

/// Whether each flag is set in a row without a person's id, for every node; last, whether there is such a row at all.
fn unidentified_flags(days: &[Arc<DayDigest>], tree: &DepartmentTree) -> Vec<[bool; Flag::COUNT + 1]> {
    let mut unidentified = vec![[false; Flag::COUNT + 1]; tree.len()];
    for digest in days.iter().filter(|digest| digest.figures().present.unidentified > 0) {
        let departments = digest.departments().iter();
        for department in departments.filter(|department| department.sums.users > department.members.len() as u64) {
            let nodes = || tree.self_and_ancestors(department.department);
            nodes().for_each(|node| unidentified[node][Flag::COUNT] = true);
            for flag in Flag::ALL {
                let people = digest.figures().people_with(flag);
                let identified =
                    department.members.people().iter().filter(|person| people.contains(**person)).count() as u64;
                if department.sums.rows_with(flag) > identified {
                    nodes().for_each(|node| unidentified[node][flag.index()] = true);
                }
            }
        }
    }
    unidentified
}
