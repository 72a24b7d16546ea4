//! The departments as a tree, read off their paths. Upstream names no departments that have no people of their own;
//! those in between are made up from the paths of those below them.

use std::{cmp::Ordering, iter, sync::Arc};

use fixedbitset::FixedBitSet;

use crate::table::{
    Department,
    directory::{Tables, is_within},
};

/// Departments and those above them; each stands before all below it.
#[derive(Debug, Default)]
pub struct Tree {
    places: Vec<Place>,
    /// The place of each department by number; [`NOWHERE`] for those that are not meant.
    of: Vec<usize>,
}

/// One department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path from the root, joined by slashes.
    pub path: Arc<str>,
    /// Its own name.
    pub name: Arc<str>,
    /// How many steps down the path it stands; the top is 1.
    pub depth: usize,
    /// Whether it has people of its own, or is only passed on the way to others.
    pub is_own: bool,
    /// The place right above it.
    pub above: Option<usize>,
}

/// Stands for "has no place".
const NOWHERE: usize = usize::MAX;

impl Tree {
    /// The tree of the departments with these numbers; with `top`, only of that one and those below it.
    #[must_use]
    pub fn of(departments: &FixedBitSet, tables: &Tables, top: Option<&str>) -> Self {
        let numbers = departments.ones().filter_map(|number| u32::try_from(number).ok());
        let all = numbers.map(|number| (number, &**tables.department(number)));
        let mut meant: Vec<(u32, &Department)> =
            all.filter(|(_, department)| top.is_none_or(|top| is_within(&department.path, top))).collect();
        meant.sort_by(|(_, one), (_, other)| by_segments(&one.path, &other.path));
        let mut tree = Self { places: Vec::with_capacity(meant.len()), of: vec![NOWHERE; departments.len()] };
        let top = top.map_or(1, |path| path.split('/').count());
        let mut at = None;
        for (number, department) in meant {
            let place = tree.way_to(department, at, top);
            // Of two names for one path, the one that came last.
            tree.places[place].name = Arc::clone(&department.name);
            tree.places[place].is_own = true;
            tree.of[number as usize] = place;
            at = Some(place);
        }
        tree
    }

    /// Adds what is not there yet of the way to a department, which begins at depth `top`. The department comes next to
    /// the place `at` in order.
    fn way_to(&mut self, department: &Department, at: Option<usize>, top: usize) -> usize {
        let path = &department.path;
        let mut above = self.from(at).find(|place| is_within(path, &self.places[*place].path));
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        let depth = above.map_or(top - 1, |place| self.places[place].depth);
        for (depth, end) in (1..).zip(ends).skip(depth) {
            let (path, name) = match &path[..end] {
                whole if whole.len() == path.len() => (Arc::clone(path), Arc::clone(&department.name)),
                part => (part.into(), part.rsplit('/').next().unwrap_or_default().into()),
            };
            self.places.push(Place { path, name, depth, is_own: false, above });
            above = Some(self.places.len() - 1);
        }
        // A path has a segment at least, and so a place by now.
        above.unwrap_or_default()
    }

    /// How many places there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no place.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The places, each before all below it.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The place of the department with that number and of all above it, the nearest first; none where it is not meant.
    pub fn upwards(&self, department: u32) -> impl Iterator<Item = usize> + '_ {
        self.from(self.of.get(department as usize).copied().filter(|place| *place != NOWHERE))
    }

    fn from(&self, place: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        iter::successors(place, |place| self.places[*place].above)
    }
}

/// The order of paths segment by segment: a department comes right before all below it.
fn by_segments(one: &str, other: &str) -> Ordering {
    let weigh = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
    one.bytes().map(weigh).cmp(other.bytes().map(weigh))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::table::Directory;

    #[test]
    fn a_place_has_the_name_that_came_last_or_the_end_of_its_path() {
        let directory = Directory::default();
        let departments = [("Lab", "hq/rd/lab"), ("HQ", "hq"), ("Laboratory", "hq/rd/lab")];
        let numbers = departments
            .map(|(name, path)| directory.number_department(&Department { name: name.into(), path: path.into() }));

        let tree = Tree::of(&numbers.map(|number| number as usize).into_iter().collect(), &directory.read(), None);

        let told =
            |place: &Place| (place.path.to_string(), place.name.to_string(), place.depth, place.is_own, place.above);
        let expected = [
            ("hq", "HQ", 1, true, None),
            ("hq/rd", "rd", 2, false, Some(0)),
            ("hq/rd/lab", "Laboratory", 3, true, Some(1)),
        ];
        assert_eq!(
            tree.places().iter().map(told).collect::<Vec<_>>(),
            expected.map(|(path, name, depth, is_own, above)| (path.to_owned(), name.to_owned(), depth, is_own, above)),
        );
        assert_eq!(numbers.map(|number| tree.upwards(number).next()), [Some(2), Some(0), Some(2)]);
    }

    proptest! {
        #[test]
        fn the_places_are_all_prefixes_of_the_paths_in_order(
            paths in proptest::collection::btree_set("[a!é]{0,2}(/[a!é]{0,2}){0,3}", 0..12).prop_map(Vec::from_iter).prop_shuffle(),
            top in proptest::option::of("[a!é]{0,1}(/[a!é]{0,1}){0,1}"),
        ) {
            let directory = Directory::default();
            let departments: Vec<Department> = paths.iter().map(|path| Department { name: "".into(), path: (**path).into() }).collect();
            let numbers: Vec<u32> = departments.iter().map(|department| directory.number_department(department)).collect();

            let tree = Tree::of(&numbers.iter().map(|number| *number as usize).collect(), &directory.read(), top.as_deref());

            // As lists of segments, which are ordered as the tree is.
            let top: Vec<&str> = top.as_deref().map(|top| top.split('/').collect()).unwrap_or_default();
            let ways = paths.iter().map(|path| path.split('/').collect::<Vec<_>>()).filter(|way| way.starts_with(&top));
            let prefixes = |way: Vec<_>| (top.len().max(1)..=way.len()).map(|depth| way[..depth].to_vec()).collect::<Vec<_>>();
            let naive: BTreeSet<Vec<&str>> = ways.flat_map(prefixes).collect();
            let placed: Vec<Vec<&str>> = tree.places().iter().map(|place| place.path.split('/').collect()).collect();
            prop_assert_eq!(&placed, &Vec::from_iter(naive));
            for (path, number) in paths.iter().zip(numbers) {
                let upwards: Vec<&str> = tree.upwards(number).map(|place| &*tree.places()[place].path).collect();
                prop_assert!(upwards.is_empty() || upwards[0] == path);
                prop_assert!(upwards.windows(2).all(|pair| pair[0].rsplit_once('/').map(|(above, _)| above) == Some(pair[1])));
                let own = path.split('/').collect::<Vec<_>>();
                prop_assert_eq!(upwards.len(), if own.starts_with(&top) { own.len() + 1 - top.len().max(1) } else { 0 });
            }
        }
    }
}
