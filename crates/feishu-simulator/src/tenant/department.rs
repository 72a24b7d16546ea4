//! The tree of departments.

use super::{badge::Badges, names};
use crate::{
    model::DepartmentIdType,
    sim::chance::{draw, mix_text},
};

/// A department of the simulated tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Department {
    /// The id of type `open_department_id`: `od-…`.
    pub open_department_id: String,
    /// The id of type `department_id`.
    pub department_id: String,
    /// The department's own name.
    pub name: String,
    /// The names from the top department down to this one, joined by `/`.
    pub path: String,
    /// The place of the department above it in [`Tenant::departments`](super::Tenant::departments); `None` at the top.
    pub parent: Option<usize>,
    depth: usize,
}

/// All departments; each comes after the one above it.
#[derive(Clone, Debug)]
pub(crate) struct Departments(Vec<Department>);

const DEEPEST: usize = 4;

impl Departments {
    /// About one department for every twelve people.
    pub(super) fn grow(seed: u64, users: u32) -> Self {
        let count = (users as usize / 12).clamp(4, 400);
        let tops = (count / 6).clamp(3, 12);
        let mut rng = draw(&[seed, mix_text("departments")]);
        let mut tree = Self(Vec::with_capacity(count));
        for place in 0..tops {
            tree.add(Badges::new(seed), None, names::top_department(place));
        }
        for place in tops..count {
            let parent = tree.shallow(rng.usize(..place));
            let siblings = tree.0.iter().filter(|one| one.parent == Some(parent)).count();
            tree.add(Badges::new(seed), Some(parent), names::department(parent, siblings));
        }
        tree
    }

    pub(super) fn all(&self) -> &[Department] {
        &self.0
    }

    /// The place of the department with this id.
    pub(super) fn find(&self, kind: DepartmentIdType, id: &str) -> Option<usize> {
        self.0.iter().position(|one| match kind {
            DepartmentIdType::OpenDepartmentId => one.open_department_id == id,
            DepartmentIdType::DepartmentId => one.department_id == id,
        })
    }

    /// Whether `place` is `top` or lies below it.
    pub(super) fn is_within(&self, place: usize, top: usize) -> bool {
        std::iter::successors(Some(place), |place| self.0[*place].parent).any(|place| place == top)
    }

    /// The department at `place`, or the one above it where nothing may grow below that.
    fn shallow(&self, place: usize) -> usize {
        let one = &self.0[place];
        one.parent.filter(|_| one.depth >= DEEPEST).unwrap_or(place)
    }

    fn add(&mut self, badges: Badges, parent: Option<usize>, name: String) {
        let number = self.0.len();
        let above = parent.map(|parent| &self.0[parent]);
        let path = above.map_or_else(|| name.clone(), |above| format!("{}/{name}", above.path));
        let depth = above.map_or(1, |above| above.depth + 1);
        let (open_department_id, department_id) = (badges.open_department(number), badges.department(number));
        self.0.push(Department { open_department_id, department_id, name, path, parent, depth });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_departments_share_a_path_or_an_id() {
        let tree = Departments::grow(1, 100_000);

        let paths: HashSet<&str> = tree.all().iter().map(|one| one.path.as_str()).collect();
        let ids: HashSet<&str> = tree.all().iter().map(|one| one.department_id.as_str()).collect();

        assert_eq!((paths.len(), ids.len()), (tree.all().len(), tree.all().len()));
        assert!(tree.all().iter().all(|one| one.path.split('/').count() <= DEEPEST));
    }

    #[test]
    fn a_department_lies_within_those_above_it() {
        let tree = Departments::grow(1, 2000);
        let deep = tree.all().iter().position(|one| one.depth == 3).expect("a third level");
        let above = tree.all()[deep].parent.expect("a second level");

        assert!(tree.is_within(deep, deep) && tree.is_within(deep, above));
        assert!(!tree.is_within(above, deep));
        assert!(tree.all()[deep].path.starts_with(&tree.all()[above].path));
    }
}
