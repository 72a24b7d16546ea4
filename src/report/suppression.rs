//! Suppression of small groups: hides the figures of departments with few people. Numbers inside larger groups are withheld
//! by the reports (`withhold_small_cells`, `licences`, `movement::hidden`, cohorts and clients); docs/access.md lists all rules.
//!
//! The figures of a department are the sum of its sub-departments and its own people. If only one part were hidden, a
//! caller could subtract the visible parts from the total. Complementary suppression therefore hides further parts
//! until the hidden parts together have the minimum size.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
};

use fixedbitset::FixedBitSet;

use super::{department_totals::departments_with_rows, department_tree::DepartmentTree, digest::DayDigest};
use crate::{
    model::{Day, Geo},
    table::{DayMetadata as _, dictionary::is_path_within},
};

/// Departments whose figures are hidden, each with all its sub-departments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    everyone: bool,
    paths: BTreeSet<Arc<str>>,
}

/// Number of people on one day, by node of a tree.
struct GroupSizes<'a> {
    tree: &'a DepartmentTree,
    /// People of the department and its sub-departments.
    all: Vec<u64>,
    /// People of the department itself.
    own: Vec<u64>,
    /// The children of each node.
    children: Vec<Vec<usize>>,
    /// The root nodes.
    roots: Vec<usize>,
}

impl Suppressed {
    /// Finds the departments to hide so that no group of fewer than `min_people` people is visible or can be computed
    /// from visible figures. Each geo and day is examined separately, because a caller can request each of them alone.
    #[must_use]
    pub fn for_days(days: &[Arc<DayDigest>], min_people: NonZeroU64) -> Self {
        Self::by_day(days, min_people).into_values().fold(Self::default(), |all, day| Self {
            everyone: all.everyone || day.everyone,
            paths: all.paths.into_iter().chain(day.paths).collect(),
        })
    }

    /// The same for each day, over all its geos.
    #[must_use]
    pub fn by_day(days: &[Arc<DayDigest>], min_people: NonZeroU64) -> BTreeMap<Day, Self> {
        let mut by_day: BTreeMap<Day, Self> = BTreeMap::new();
        let mut trees: BTreeMap<Geo, (FixedBitSet, DepartmentTree)> = BTreeMap::new();
        for day in days {
            let departments = departments_with_rows(std::slice::from_ref(day));
            // Most days have the same departments as the day before in the same geo.
            let unchanged = trees.remove(&day.key().geo).filter(|(others, _)| *others == departments);
            let tree = unchanged
                .map_or_else(|| DepartmentTree::new(&departments, &day.dictionary().read(), None), |(_, tree)| tree);
            let sizes = GroupSizes::of(day, &tree);
            let everyone: u64 = sizes.roots.iter().map(|node| sizes.all[*node]).sum();
            let suppressed = by_day.entry(day.key().day).or_default();
            suppressed.everyone |= (1..min_people.get()).contains(&everyone);
            sizes.suppress(0, &sizes.roots, min_people.get(), &mut suppressed.paths);
            trees.insert(day.key().geo, (departments, tree));
        }
        by_day
    }

    /// Whether the figures of the department at `path` are hidden. Without a path: whether the figures of all people
    /// are hidden.
    #[must_use]
    pub fn covers(&self, path: Option<&str>) -> bool {
        self.everyone || path.is_some_and(|path| self.paths.iter().any(|hidden| is_path_within(path, hidden)))
    }

    /// Whether any figures are hidden.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.everyone || !self.paths.is_empty()
    }
}

impl<'a> GroupSizes<'a> {
    fn of(day: &DayDigest, tree: &'a DepartmentTree) -> Self {
        let (mut all, mut own) = (vec![0; tree.len()], vec![0; tree.len()]);
        for department in day.departments() {
            for node in tree.self_and_ancestors(department.department) {
                all[node] += department.sums.users;
            }
            if let Some(node) = tree.self_and_ancestors(department.department).next() {
                own[node] += department.sums.users;
            }
        }
        let (mut children, mut roots) = (vec![Vec::new(); tree.len()], Vec::new());
        for (index, node) in tree.nodes().iter().enumerate() {
            node.parent.map_or(&mut roots, |parent| &mut children[parent]).push(index);
        }
        Self { tree, all, own, children, roots }
    }

    /// Hides parts of a visible department: `own` is the number of its own people, `children` are its direct
    /// sub-departments.
    fn suppress(&self, own: u64, children: &[usize], min_people: u64, hidden: &mut BTreeSet<Arc<str>>) {
        let mut parts: Vec<usize> = children.to_vec();
        parts.sort_by_key(|node| (self.all[*node], *node));
        let mut hidden_people = own;
        for node in parts {
            // The part is too small, or the parts hidden so far are too few together.
            if self.all[node] < min_people || (1..min_people).contains(&hidden_people) {
                hidden_people += self.all[node];
                hidden.insert(self.tree.nodes()[node].path.clone());
            } else {
                self.suppress(self.own[node], &self.children[node], min_people, hidden);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{DataScope, Day, DayKey, Geo, UserIdType},
        table::{DayTableBuilder, Department, Dictionary, Row},
    };

    /// A day with the given number of people in each department.
    fn day(dictionary: &Arc<Dictionary>, offset: i32, people: &BTreeMap<String, u64>) -> Arc<DayDigest> {
        let day = Day::new(2026, 11, 1).unwrap().plus(offset);
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
        let mut builder = DayTableBuilder::new(key, Arc::clone(dictionary));
        for (path, count) in people {
            for person in 0..*count {
                let department = Department { name: "x".into(), path: path.as_str().into() };
                builder.push(&Row { user_id: Some(format!("{path} {person}")), department, ..Row::default() });
            }
        }
        Arc::new(DayDigest::from_day(&builder.finish(Timestamp::UNIX_EPOCH), None))
    }

    fn people(departments: &[(&str, u64)]) -> BTreeMap<String, u64> {
        departments.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    }

    fn suppressed(days: &[BTreeMap<String, u64>], min_people: u64) -> Suppressed {
        let dictionary = Arc::default();
        let days: Vec<_> = (0..).zip(days).map(|(offset, people)| day(&dictionary, offset, people)).collect();
        Suppressed::for_days(&days, NonZeroU64::new(min_people).unwrap())
    }

    #[test]
    fn a_small_department_and_the_sibling_that_would_reveal_it_are_hidden() {
        let small = suppressed(&[people(&[("a/x", 3), ("a/y", 7), ("a/z", 20), ("b", 30)])], 5);
        assert!(small.covers(Some("a/x")), "too small");
        assert!(small.covers(Some("a/y")), "a minus y and z would be x");
        assert!(
            !small.covers(Some("a/z")) && !small.covers(Some("a")) && !small.covers(Some("b")) && !small.covers(None)
        );
    }

    #[test]
    fn people_directly_in_a_department_are_a_part_of_it() {
        let head = suppressed(&[people(&[("a", 1), ("a/y", 7), ("a/y/deep", 9), ("a/z", 20)])], 5);
        assert!(head.covers(Some("a/y")) && head.covers(Some("a/y/deep")));
        assert!(!head.covers(Some("a")) && !head.covers(Some("a/z")));
    }

    #[test]
    fn two_small_departments_of_sufficient_total_size_need_no_further_suppression() {
        let pair = suppressed(&[people(&[("a", 3), ("b", 3), ("c", 9)])], 5);
        assert!(pair.covers(Some("a")) && pair.covers(Some("b")) && !pair.covers(Some("c")));
    }

    #[test]
    fn a_department_that_is_small_on_one_day_is_hidden_on_all_days() {
        let shrunk = suppressed(&[people(&[("a", 9), ("b", 9)]), people(&[("a", 2), ("b", 9)])], 5);
        assert!(shrunk.covers(Some("a")) && shrunk.covers(Some("b")) && !shrunk.covers(None));
    }

    #[test]
    fn all_figures_of_a_very_small_company_are_hidden() {
        assert!(suppressed(&[people(&[("a", 2)])], 5).covers(None));
        assert!(!suppressed(&[people(&[])], 5).has_any());
    }

    proptest! {
        /// No combination of visible figures, added or subtracted, reveals a group smaller than the minimum.
        #[test]
        fn visible_figures_never_reveal_a_group_below_the_minimum(
            sizes in proptest::collection::btree_map("[ab](/[ab]){0,2}", 1_u64..12, 1..8), min_people in 1_u64..10,
        ) {
            let suppressed = suppressed(std::slice::from_ref(&sizes), min_people);
            let within = |path: &str, above: &str| path == above || path.starts_with(&format!("{above}/"));
            let size = |above: &str| -> u64 { sizes.iter().filter(|(path, _)| within(path, above)).map(|(_, n)| n).sum() };
            let mut paths: BTreeSet<String> = BTreeSet::new();
            for path in sizes.keys() {
                let segments: Vec<&str> = path.split('/').collect();
                paths.extend((1..=segments.len()).map(|depth| segments[..depth].join("/")));
            }
            let is_visible = |path: &str| !suppressed.covers(Some(path));
            let parent = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
            for path in paths.iter().filter(|path| is_visible(path)) {
                prop_assert!(size(path) >= min_people, "{path} of {} people is visible", size(path));
                // All ancestors of a visible department are visible, so its figures can only be subtracted from its
                // parent's.
                prop_assert!(parent(path).is_none_or(|above| is_visible(&above)));
                let parts = paths.iter().filter(|child| parent(child).as_ref() == Some(path));
                let visible: u64 = parts.filter(|part| is_visible(part)).map(|part| size(part)).sum();
                let rest = size(path) - visible;
                prop_assert!(rest == 0 || rest >= min_people, "the rest of {path} is {rest} people");
            }
            if !suppressed.covers(None) {
                let top = paths.iter().filter(|path| parent(path).is_none() && is_visible(path));
                let rest = sizes.values().sum::<u64>() - top.map(|path| size(path)).sum::<u64>();
                prop_assert!(rest == 0 || rest >= min_people, "the rest of everyone is {rest} people");
            }
        }
    }
}
