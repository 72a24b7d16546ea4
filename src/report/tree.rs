//! The departments as a tree, read off their paths. Upstream names no departments that have no people of their own;
//! those in between are made up from the paths of those below them.

use std::collections::BTreeMap;

use fixedbitset::FixedBitSet;

use crate::table::directory::Tables;

/// Departments and those above them; each stands before all below it.
#[derive(Debug)]
pub struct Tree {
    places: Vec<Place>,
    /// By department number: its own place and those above it. Empty for departments that are not meant.
    upwards: BTreeMap<u32, Vec<usize>>,
}

/// One department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path from the root, joined by slashes.
    pub path: String,
    /// Its own name.
    pub name: String,
    /// How many steps down the path it stands; the top is 1.
    pub depth: usize,
    /// Whether it has people of its own, or is only passed on the way to others.
    pub is_own: bool,
}

impl Tree {
    /// The tree of the departments with these numbers; with `top`, only of that one and those below it.
    #[must_use]
    pub fn of(departments: &FixedBitSet, tables: &Tables, top: Option<&str>) -> Self {
        let top: Option<Vec<&str>> = top.map(|path| path.split('/').collect());
        let segments = |number: u32| tables.department(number).path.split('/').collect::<Vec<&str>>();
        let least = top.as_ref().map_or(1, Vec::len);
        let within = |path: &[&str]| top.as_deref().is_none_or(|top| path.starts_with(top));
        let numbers = departments.ones().filter_map(|number| u32::try_from(number).ok());
        let meant: Vec<(u32, Vec<&str>)> =
            numbers.map(|number| (number, segments(number))).filter(|(_, path)| within(path)).collect();
        let mut paths: BTreeMap<&[&str], Option<u32>> = BTreeMap::new();
        for (number, path) in &meant {
            for depth in least..path.len() {
                paths.entry(&path[..depth]).or_default();
            }
            paths.insert(path, Some(*number));
        }
        let order: BTreeMap<&[&str], usize> = paths.keys().copied().zip(0..).collect();
        let upwards = meant.iter().map(|(number, path)| {
            let places = (least..=path.len()).map(|depth| order[&path[..depth]]);
            (*number, places.collect())
        });
        let places = paths.iter().map(|(path, number)| Place::new(path, *number, tables)).collect();
        Self { upwards: upwards.collect(), places }
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

    /// The place of the department with that number and of all above it; none where it is not meant.
    pub fn upwards(&self, department: u32) -> impl Iterator<Item = usize> + '_ {
        self.upwards.get(&department).into_iter().flatten().copied()
    }
}

impl Place {
    fn new(path: &[&str], number: Option<u32>, tables: &Tables) -> Self {
        let last = path.last().copied().unwrap_or_default();
        Self {
            path: path.join("/"),
            name: number.map_or(last, |number| &tables.department(number).name).to_owned(),
            depth: path.len(),
            is_own: number.is_some(),
        }
    }
}
