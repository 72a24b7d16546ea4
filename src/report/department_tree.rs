//! The tree of departments, built from their paths. Upstream lists only departments with their own people; missing
//! ancestors are derived from the paths of their descendants.

use std::{cmp::Ordering, iter, sync::Arc};

use fixedbitset::FixedBitSet;

use crate::{
    model::Day,
    table::{
        Department,
        dictionary::{DictionaryTables, ends_of_levels, is_path_within},
    },
};

/// Departments and their ancestors, in pre-order.
#[derive(Debug, Default)]
pub struct DepartmentTree {
    nodes: Vec<DepartmentNode>,
    /// The node of each department by index; [`NO_NODE`] for departments outside the tree.
    node_by_department: Vec<usize>,
}

/// One department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartmentNode {
    /// Its path from the root, separated by slashes.
    pub path: Arc<str>,
    /// Its own name, without the path.
    pub name: Arc<str>,
    /// Number of segments from the root; a root has depth 1.
    pub depth: usize,
    /// Whether the department has its own people. Otherwise it only connects others.
    pub has_own_people: bool,
    /// The parent node; `None` for a root.
    pub parent: Option<usize>,
}

/// Marks departments outside the tree.
const NO_NODE: usize = usize::MAX;

impl DepartmentTree {
    /// The tree of the departments with these indices. With `top`, only that department and its sub-departments. Each node
    /// has the last segment of its path as its name until [`Self::with_names`] is called.
    #[must_use]
    pub fn new(departments: &FixedBitSet, dictionary: &DictionaryTables, top: Option<&str>) -> Self {
        let indices = departments.ones().filter_map(|index| u32::try_from(index).ok());
        let all = indices.map(|index| (index, &**dictionary.department(index)));
        let mut included: Vec<(u32, &Department)> =
            all.filter(|(_, department)| top.is_none_or(|top| is_path_within(&department.path, top))).collect();
        included.sort_by(|(_, one), (_, other)| by_segments(&one.path, &other.path));
        let mut tree =
            Self { nodes: Vec::with_capacity(included.len()), node_by_department: vec![NO_NODE; departments.len()] };
        let top_depth = top.map_or(1, |path| ends_of_levels(path).count());
        let mut previous = None;
        for (index, department) in included {
            let node = tree.insert_path(department, previous, top_depth);
            tree.nodes[node].has_own_people = true;
            tree.node_by_department[index as usize] = node;
            previous = Some(node);
        }
        tree
    }

    /// Gives each node the name that its department has in the rows. `rows` holds the day and the department of rows, the
    /// latest day first; a department may be repeated. If a path has several names, the one on the latest day counts, and
    /// of several names on that day the smallest text. The order in which days were loaded therefore has no influence.
    #[must_use]
    pub fn with_names(mut self, rows: impl Iterator<Item = (Day, u32)>, dictionary: &DictionaryTables) -> Self {
        let mut named_on: Vec<Option<Day>> = vec![None; self.nodes.len()];
        let mut unnamed = self.nodes.iter().filter(|node| node.has_own_people).count();
        let mut current = None;
        for (day, department) in rows {
            // Usually the latest day has all names.
            if unnamed == 0 && current != Some(day) {
                break;
            }
            current = Some(day);
            let Some(node) = self.self_and_ancestors(department).next() else { continue };
            let name = &dictionary.department(department).name;
            let replaces = named_on[node].is_none_or(|named| named == day && *name < self.nodes[node].name);
            if replaces {
                unnamed -= usize::from(named_on[node].is_none());
                named_on[node] = Some(day);
                self.nodes[node].name = Arc::clone(name);
            }
        }
        self
    }

    /// Adds the missing nodes on the path to a department; the path begins at depth `top_depth`. `previous` is the node
    /// added before, in the order of the paths.
    fn insert_path(&mut self, department: &Department, previous: Option<usize>, top_depth: usize) -> usize {
        let path = &department.path;
        let mut parent =
            self.self_and_ancestors_of(previous).find(|node| is_path_within(path, &self.nodes[*node].path));
        let ends = ends_of_levels(path);
        let depth = parent.map_or(top_depth - 1, |node| self.nodes[node].depth);
        for (depth, end) in (1..).zip(ends).skip(depth) {
            let path: Arc<str> = if end == path.len() { Arc::clone(path) } else { path[..end].into() };
            let name = path.rsplit('/').next().unwrap_or_default().into();
            self.nodes.push(DepartmentNode { path, name, depth, has_own_people: false, parent });
            parent = Some(self.nodes.len() - 1);
        }
        // A path has at least one segment, so there is a node.
        parent.unwrap_or_default()
    }

    /// Number of nodes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes in pre-order: each before its descendants.
    #[must_use]
    pub fn nodes(&self) -> &[DepartmentNode] {
        &self.nodes
    }

    /// The node of a department and all its ancestors, nearest first. Empty if the department is outside the tree.
    pub fn self_and_ancestors(&self, department: u32) -> impl Iterator<Item = usize> + '_ {
        self.self_and_ancestors_of(
            self.node_by_department.get(department as usize).copied().filter(|node| *node != NO_NODE),
        )
    }

    fn self_and_ancestors_of(&self, node: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        iter::successors(node, |node| self.nodes[*node].parent)
    }
}

/// Compares paths segment by segment, so that a department directly precedes its descendants.
fn by_segments(one: &str, other: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    one.bytes().map(rank).cmp(other.bytes().map(rank))
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::table::Dictionary;

    /// The tree of departments with rows on a day of a month, interned in this order.
    fn tree_of(departments: &[(i8, &str, &str)]) -> (DepartmentTree, Vec<u32>) {
        let dictionary = Dictionary::default();
        let intern = |name: &str, path: &str| {
            dictionary.intern_departments(&[Department { name: name.into(), path: path.into() }])[0]
        };
        let numbers: Vec<u32> = departments.iter().map(|(_, name, path)| intern(name, path)).collect();
        let all = numbers.iter().map(|number| *number as usize).collect();
        let days = departments.iter().map(|(day, ..)| Day::new(2026, 11, *day).unwrap());
        let mut rows: Vec<(Day, u32)> = days.zip(numbers.iter().copied()).collect();
        rows.sort_by_key(|(day, _)| Reverse(*day));
        let tables = dictionary.read();
        let tree = DepartmentTree::new(&all, &tables, None).with_names(rows.into_iter(), &tables);
        (tree, numbers)
    }

    #[test]
    fn a_node_has_the_latest_name_or_the_last_segment_of_its_path() {
        let (tree, numbers) = tree_of(&[(2, "Laboratory", "hq/rd/lab"), (1, "HQ", "hq"), (1, "Lab", "hq/rd/lab")]);

        let content = |node: &DepartmentNode| {
            (node.path.to_string(), node.name.to_string(), node.depth, node.has_own_people, node.parent)
        };
        let expected = [
            ("hq", "HQ", 1, true, None),
            ("hq/rd", "rd", 2, false, Some(0)),
            ("hq/rd/lab", "Laboratory", 3, true, Some(1)),
        ];
        assert_eq!(
            tree.nodes().iter().map(content).collect::<Vec<_>>(),
            expected.map(|(path, name, depth, is_own, above)| (path.to_owned(), name.to_owned(), depth, is_own, above)),
        );
        let nodes: Vec<_> = numbers.iter().map(|number| tree.self_and_ancestors(*number).next()).collect();
        assert_eq!(nodes, [Some(2), Some(0), Some(2)]);
    }

    #[test]
    fn the_name_does_not_depend_on_the_order_in_which_departments_became_known() {
        let mut departments = [(1, "a", "hq"), (2, "c", "hq"), (2, "b", "hq"), (1, "d", "hq")];
        for _ in 0..departments.len() {
            departments.rotate_left(1);
            assert_eq!(&*tree_of(&departments).0.nodes()[0].name, "b", "{departments:?}");
        }
    }

    /// The parts of a path, one for each level. Nothing is above a path that begins with a slash.
    fn levels(path: &str) -> Vec<&str> {
        let first =
            path.char_indices().find(|(at, character)| *at > 0 && *character == '/').map_or(path.len(), |(at, _)| at);
        let rest = path.get(first + 1..).map(|rest| rest.split('/')).into_iter().flatten();
        std::iter::once(&path[..first]).chain(rest).collect()
    }

    proptest! {
        #[test]
        fn the_nodes_are_all_prefixes_of_the_paths_in_order(
            paths in proptest::collection::btree_set("[a!é]{0,2}(/[a!é]{0,2}){0,3}", 0..12).prop_map(Vec::from_iter).prop_shuffle(),
            top in proptest::option::of("[a!é]{0,1}(/[a!é]{0,1}){0,1}"),
        ) {
            let dictionary = Dictionary::default();
            let departments: Vec<Department> = paths.iter().map(|path| Department { name: "".into(), path: (**path).into() }).collect();
            let numbers = dictionary.intern_departments(&departments);

            let tree = DepartmentTree::new(&numbers.iter().map(|number| *number as usize).collect(), &dictionary.read(), top.as_deref());

            let top: Vec<&str> = top.as_deref().map(levels).unwrap_or_default();
            let below_top = paths.iter().map(|path| levels(path)).filter(|levels| levels.starts_with(&top));
            let prefixes = |levels: Vec<&str>| {
                (top.len().max(1)..=levels.len()).map(|depth| levels[..depth].join("/")).collect::<Vec<_>>()
            };
            let naive: BTreeSet<String> = below_top.flat_map(prefixes).collect();
            // The order of the tree is that of the segments.
            let mut naive: Vec<Vec<&str>> = naive.iter().map(|path| path.split('/').collect()).collect();
            naive.sort();
            let found: Vec<Vec<&str>> = tree.nodes().iter().map(|node| node.path.split('/').collect()).collect();
            prop_assert_eq!(&found, &naive);
            for (path, number) in paths.iter().zip(numbers) {
                let ancestors: Vec<&str> = tree.self_and_ancestors(number).map(|node| &*tree.nodes()[node].path).collect();
                prop_assert!(ancestors.is_empty() || ancestors[0] == path);
                prop_assert!(ancestors.windows(2).all(|pair| pair[0].rsplit_once('/').map(|(above, _)| above) == Some(pair[1])));
                let own = levels(path);
                prop_assert_eq!(ancestors.len(), if own.starts_with(&top) { own.len() + 1 - top.len().max(1) } else { 0 });
            }
        }
    }
}
