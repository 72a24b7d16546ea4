//! Figures of selected departments.

use fixedbitset::FixedBitSet;

use super::day_digest::{DayDigest, DepartmentDigest};
use crate::{report::day_figures::DayFigures, table::PersonIndex};

/// Computes figures of selected departments with dense person indices, so that the sets of people are as small as the
/// departments and not as large as the company.
#[derive(Debug)]
pub struct DepartmentSlice {
    departments: FixedBitSet,
    /// Dense index by person index; [`Self::UNASSIGNED`] for people without one.
    dense_indices: Vec<PersonIndex>,
    next_index: PersonIndex,
}

impl DepartmentSlice {
    const UNASSIGNED: PersonIndex = PersonIndex::MAX;

    /// A slice of the departments with these indices.
    #[must_use]
    pub const fn new(departments: FixedBitSet) -> Self {
        Self { departments, dense_indices: Vec::new(), next_index: 0 }
    }

    /// The figures of the selected departments on one day. A person has the same dense index on all days.
    pub fn figures(&mut self, digest: &DayDigest) -> DayFigures {
        let departments: Vec<&DepartmentDigest> = digest.selected(&self.departments).collect();
        let members = departments.iter().map(|department| department.members.len()).sum::<usize>();
        let mut figures = DayFigures::with_capacity(self.next_index as usize + members);
        for department in departments {
            figures.sums.add(&department.sums);
            for person in department.members.people() {
                let index = Some(self.assign_dense_index(*person));
                figures.present.add(index);
                for (people, all) in figures.flags.iter_mut().zip(&digest.figures.flags) {
                    if all.contains(*person) {
                        people.add(index);
                    }
                }
            }
        }
        // Rows of these departments that belong to no member have no person id.
        figures.present.unidentified = figures.sums.users - figures.present.count();
        for (people, count) in figures.flags.iter_mut().zip(figures.sums.flags) {
            people.unidentified = count - people.count();
        }
        figures
    }

    /// The dense index of a person, if one was assigned.
    #[must_use]
    pub fn dense_index(&self, person: PersonIndex) -> Option<PersonIndex> {
        self.dense_indices.get(person as usize).copied().filter(|index| *index != Self::UNASSIGNED)
    }

    /// The dense index of a person; assigns the next one if needed.
    fn assign_dense_index(&mut self, person: PersonIndex) -> PersonIndex {
        let position = person as usize;
        if self.dense_indices.len() <= position {
            self.dense_indices.resize(position + 1, Self::UNASSIGNED);
        }
        if self.dense_indices[position] == Self::UNASSIGNED {
            self.dense_indices[position] = self.next_index;
            self.next_index += 1;
        }
        self.dense_indices[position]
    }
}
