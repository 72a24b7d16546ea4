//! The departments of the tenant.

use super::{id_codec::IdCodec, names};
use crate::{
    DepartmentIdKind,
    seeded_rng::{hash_text, rng_for},
};

/// A department of the simulated tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDepartment {
    /// The id of type `open_department_id`: `od-…`.
    pub open_department_id: String,
    /// The id of type `department_id`.
    pub department_id: String,
    /// The department's own name.
    pub name: String,
    /// The names from the top department down to this one, joined by `/`.
    pub path: String,
    /// The index of the parent in [`Tenant::departments`](super::Tenant::departments); `None` for a top department.
    pub parent: Option<usize>,
    depth: usize,
}

/// All departments. A department comes after its parent.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantDepartments(Vec<TenantDepartment>);

/// Levels of departments.
const MAX_DEPTH: usize = 4;

impl TenantDepartments {
    /// Generates one department for every 12 people, at least 4 and at most 400.
    pub(super) fn generate(seed: u64, users: u32) -> Self {
        let count = (users as usize / 12).clamp(4, 400);
        let top_count = (count / 6).clamp(3, 12);
        let mut rng = rng_for(&[seed, hash_text("departments")]);
        let mut departments = Self(Vec::with_capacity(count));
        for index in 0..top_count {
            departments.add(IdCodec::new(seed), None, names::top_department(index));
        }
        for index in top_count..count {
            let parent = departments.parent_candidate(rng.usize(..index));
            let siblings = departments.0.iter().filter(|department| department.parent == Some(parent)).count();
            departments.add(IdCodec::new(seed), Some(parent), names::department(parent, siblings));
        }
        departments
    }

    pub(super) fn all(&self) -> &[TenantDepartment] {
        &self.0
    }

    /// The index of the department with this id.
    pub(super) fn find(&self, kind: DepartmentIdKind, id: &str) -> Option<usize> {
        self.0.iter().position(|department| match kind {
            DepartmentIdKind::OpenDepartmentId => department.open_department_id == id,
            DepartmentIdKind::DepartmentId => department.department_id == id,
        })
    }

    /// Whether department `index` is `top` or below it.
    pub(super) fn is_within(&self, index: usize, top: usize) -> bool {
        std::iter::successors(Some(index), |index| self.0[*index].parent).any(|index| index == top)
    }

    /// Department `index`, or its parent if it is at the maximum depth.
    fn parent_candidate(&self, index: usize) -> usize {
        let department = &self.0[index];
        department.parent.filter(|_| department.depth >= MAX_DEPTH).unwrap_or(index)
    }

    /// Adds a department and returns its index.
    pub(super) fn add(&mut self, codec: IdCodec, parent: Option<usize>, name: String) -> usize {
        let number = self.0.len();
        let parent_department = parent.map(|parent| &self.0[parent]);
        let path = parent_department
            .map_or_else(|| name.clone(), |parent_department| format!("{}/{name}", parent_department.path));
        let depth = parent_department.map_or(1, |parent_department| parent_department.depth + 1);
        let (open_department_id, department_id) = (codec.open_department_id(number), codec.department_id(number));
        self.0.push(TenantDepartment { open_department_id, department_id, name, path, parent, depth });
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_departments_share_a_path_or_an_id() {
        let departments = TenantDepartments::generate(1, 100_000);

        let paths: HashSet<&str> = departments.all().iter().map(|department| department.path.as_str()).collect();
        let ids: HashSet<&str> = departments.all().iter().map(|department| department.department_id.as_str()).collect();

        assert_eq!((paths.len(), ids.len()), (departments.all().len(), departments.all().len()));
        assert!(departments.all().iter().all(|department| department.path.split('/').count() <= MAX_DEPTH));
    }

    #[test]
    fn a_department_is_within_all_departments_above_it() {
        let departments = TenantDepartments::generate(1, 2000);
        let deep = departments.all().iter().position(|department| department.depth == 3).expect("a third level");
        let parent_department = departments.all()[deep].parent.expect("a second level");

        assert!(departments.is_within(deep, deep) && departments.is_within(deep, parent_department));
        assert!(!departments.is_within(parent_department, deep));
        assert!(departments.all()[deep].path.starts_with(&departments.all()[parent_department].path));
    }
}
