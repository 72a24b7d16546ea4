//! Small groups: whose figures must be withheld where nobody's own may be told.
//!
//! Figures of a department add up from those of the departments below it and of its own people. So to withhold one is not
//! enough: it is what the whole lacks when the others are taken away. Of the parts of every department that is shown,
//! so many are withheld that together they are a group again.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
};

use fixedbitset::FixedBitSet;

use super::{departments::present, digest::Digest, tree::Tree};
use crate::{
    model::Geo,
    table::{Origin as _, directory::is_within},
};

/// Departments whose figures are withheld, each with all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    everyone: bool,
    paths: BTreeSet<Arc<str>>,
}

/// How many people there are on one day, by place of a tree.
struct Sizes<'a> {
    tree: &'a Tree,
    /// In the department and all below it.
    all: Vec<u64>,
    /// In the department itself.
    own: Vec<u64>,
    /// The places right below each.
    below: Vec<Vec<usize>>,
    /// The places at the top.
    top: Vec<usize>,
}

impl Withheld {
    /// What must be withheld of figures over these days, so that no group of fewer than `least` people can be told, nor
    /// worked out from what is told of other departments. Days of several geos are looked at apart, since each of them
    /// can be asked for alone.
    #[must_use]
    pub fn of(days: &[Arc<Digest>], least: NonZeroU64) -> Self {
        let mut withheld = Self::default();
        let mut before: BTreeMap<Geo, (FixedBitSet, Tree)> = BTreeMap::new();
        for day in days {
            let departments = present(std::slice::from_ref(day));
            // Most days have the departments of the day before in the same geo.
            let same = before.remove(&day.key().geo).filter(|(others, _)| *others == departments);
            let tree = same.map_or_else(|| Tree::of(&departments, &day.directory().read(), None), |(_, tree)| tree);
            let sizes = Sizes::of(day, &tree);
            let everyone: u64 = sizes.top.iter().map(|place| sizes.all[*place]).sum();
            withheld.everyone |= (1..least.get()).contains(&everyone);
            sizes.withhold(0, &sizes.top, least.get(), &mut withheld.paths);
            before.insert(day.key().geo, (departments, tree));
        }
        withheld
    }

    /// Whether the figures of the department with that path are withheld; of everyone, without a path.
    #[must_use]
    pub fn hides(&self, path: Option<&str>) -> bool {
        self.everyone || path.is_some_and(|path| self.paths.iter().any(|above| is_within(path, above)))
    }

    /// Whether anything is withheld.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.everyone || !self.paths.is_empty()
    }
}

impl<'a> Sizes<'a> {
    fn of(day: &Digest, tree: &'a Tree) -> Self {
        let (mut all, mut own) = (vec![0; tree.len()], vec![0; tree.len()]);
        for part in day.departments() {
            for place in tree.upwards(part.department) {
                all[place] += part.sums.users;
            }
            if let Some(place) = tree.upwards(part.department).next() {
                own[place] += part.sums.users;
            }
        }
        let (mut below, mut top) = (vec![Vec::new(); tree.len()], Vec::new());
        for (at, place) in tree.places().iter().enumerate() {
            place.above.map_or(&mut top, |above| &mut below[above]).push(at);
        }
        Self { tree, all, own, below, top }
    }

    /// Withholds parts of a department that is shown: `own` people of its own, and the departments right below it.
    fn withhold(&self, own: u64, below: &[usize], least: u64, withheld: &mut BTreeSet<Arc<str>>) {
        let mut parts: Vec<usize> = below.to_vec();
        parts.sort_by_key(|place| (self.all[*place], *place));
        let mut hidden = own;
        for place in parts {
            // Too few by itself, or needed to make a group of what is withheld besides.
            if self.all[place] < least || (1..least).contains(&hidden) {
                hidden += self.all[place];
                withheld.insert(self.tree.places()[place].path.clone());
            } else {
                self.withhold(self.own[place], &self.below[place], least, withheld);
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
        model::{Day, DayKey, Geo, Scope, UserIdType},
        table::{Department, Directory, PartitionBuilder, Row},
    };

    /// A day on which so many people are in each department.
    fn day(directory: &Arc<Directory>, offset: i32, people: &BTreeMap<String, u64>) -> Arc<Digest> {
        let day = Day::new(2026, 11, 1).unwrap().plus(offset);
        let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
        let mut builder = PartitionBuilder::new(key, Arc::clone(directory));
        for (path, count) in people {
            for person in 0..*count {
                let department = Department { name: "x".into(), path: path.as_str().into() };
                builder.push(&Row { user_id: Some(format!("{path} {person}")), department, ..Row::default() });
            }
        }
        Arc::new(Digest::of(&builder.finish(Timestamp::UNIX_EPOCH), None))
    }

    fn people(departments: &[(&str, u64)]) -> BTreeMap<String, u64> {
        departments.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    }

    fn withheld(days: &[BTreeMap<String, u64>], least: u64) -> Withheld {
        let directory = Arc::default();
        let days: Vec<_> = (0..).zip(days).map(|(offset, people)| day(&directory, offset, people)).collect();
        Withheld::of(&days, NonZeroU64::new(least).unwrap())
    }

    #[test]
    fn a_small_department_is_withheld_and_so_is_one_that_would_give_it_away() {
        let small = withheld(&[people(&[("a/x", 3), ("a/y", 7), ("a/z", 20), ("b", 30)])], 5);
        assert!(small.hides(Some("a/x")), "too few");
        assert!(small.hides(Some("a/y")), "a without y and z would be x");
        assert!(!small.hides(Some("a/z")) && !small.hides(Some("a")) && !small.hides(Some("b")) && !small.hides(None));
    }

    #[test]
    fn people_at_the_head_of_a_department_are_a_part_of_it_too() {
        let head = withheld(&[people(&[("a", 1), ("a/y", 7), ("a/y/deep", 9), ("a/z", 20)])], 5);
        assert!(head.hides(Some("a/y")) && head.hides(Some("a/y/deep")));
        assert!(!head.hides(Some("a")) && !head.hides(Some("a/z")));
    }

    #[test]
    fn two_small_departments_that_are_a_group_together_hide_each_other() {
        let pair = withheld(&[people(&[("a", 3), ("b", 3), ("c", 9)])], 5);
        assert!(pair.hides(Some("a")) && pair.hides(Some("b")) && !pair.hides(Some("c")));
    }

    #[test]
    fn what_is_small_on_one_day_is_withheld_over_all() {
        let shrunk = withheld(&[people(&[("a", 9), ("b", 9)]), people(&[("a", 2), ("b", 9)])], 5);
        assert!(shrunk.hides(Some("a")) && shrunk.hides(Some("b")) && !shrunk.hides(None));
    }

    #[test]
    fn a_company_of_a_few_people_tells_nothing() {
        assert!(withheld(&[people(&[("a", 2)])], 5).hides(None));
        assert!(!withheld(&[people(&[])], 5).is_any());
    }

    proptest! {
        /// Whoever adds and takes away what is shown of departments, in any way, never comes to fewer people.
        #[test]
        fn what_is_shown_of_a_department_never_tells_of_fewer_people(
            sizes in proptest::collection::btree_map("[ab](/[ab]){0,2}", 1_u64..12, 1..8), least in 1_u64..10,
        ) {
            let withheld = withheld(std::slice::from_ref(&sizes), least);
            let within = |path: &str, above: &str| path == above || path.starts_with(&format!("{above}/"));
            let size = |above: &str| -> u64 { sizes.iter().filter(|(path, _)| within(path, above)).map(|(_, n)| n).sum() };
            let mut places: BTreeSet<String> = BTreeSet::new();
            for path in sizes.keys() {
                let segments: Vec<&str> = path.split('/').collect();
                places.extend((1..=segments.len()).map(|depth| segments[..depth].join("/")));
            }
            let is_shown = |path: &str| !withheld.hides(Some(path));
            let parent = |path: &str| path.rsplit_once('/').map(|(above, _)| above.to_owned());
            for place in places.iter().filter(|place| is_shown(place)) {
                prop_assert!(size(place) >= least, "{place} of {} people is shown", size(place));
                // Whoever is shown stands below nobody who is not, so parts can only be taken from the one right above.
                prop_assert!(parent(place).is_none_or(|above| is_shown(&above)));
                let parts = places.iter().filter(|below| parent(below).as_ref() == Some(place));
                let shown: u64 = parts.filter(|part| is_shown(part)).map(|part| size(part)).sum();
                let rest = size(place) - shown;
                prop_assert!(rest == 0 || rest >= least, "the rest of {place} is {rest} people");
            }
            if !withheld.hides(None) {
                let top = places.iter().filter(|place| parent(place).is_none() && is_shown(place));
                let rest = sizes.values().sum::<u64>() - top.map(|place| size(place)).sum::<u64>();
                prop_assert!(rest == 0 || rest >= least, "the rest of everyone is {rest} people");
            }
        }
    }
}
