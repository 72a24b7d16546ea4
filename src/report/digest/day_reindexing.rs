//! Moves days from one dictionary to another.

use std::{collections::HashMap, sync::Arc};

use super::day_digest::{DayDigest, DepartmentDigest};
use crate::{
    report::{
        day_figures::{DayFigures, PersonSet},
        department_members::DepartmentMembers,
    },
    table::{Dictionary, PersonIndex, Reindexing},
};

/// The indices of a second dictionary for the days of a first one. Digests that shared members share them afterwards.
#[derive(Debug)]
pub struct DayReindexing {
    /// The indices, for rows and roll-ups.
    pub indices: Reindexing,
    /// Members by the address of the members that they replace, which are kept so that no address is used twice.
    members: HashMap<usize, (Arc<DepartmentMembers>, Arc<DepartmentMembers>)>,
}

impl DayReindexing {
    /// No day yet.
    #[must_use]
    pub fn new(from: Arc<Dictionary>, to: Arc<Dictionary>) -> Self {
        Self { indices: Reindexing::new(from, to), members: HashMap::new() }
    }

    /// Whether these are the indices for days of this dictionary.
    #[must_use]
    pub fn applies_to(&self, dictionary: &Arc<Dictionary>) -> bool {
        self.indices.applies_to(dictionary)
    }

    fn figures(&mut self, figures: &DayFigures) -> DayFigures {
        DayFigures {
            sums: figures.sums,
            present: self.set(&figures.present),
            flags: figures.flags.each_ref().map(|people| self.set(people)),
        }
    }

    fn set(&mut self, people: &PersonSet) -> PersonSet {
        let old: Vec<PersonIndex> = people.identified.ones().filter_map(|person| u32::try_from(person).ok()).collect();
        let new = self.indices.people(&old).into_iter().map(|person| person as usize);
        PersonSet { identified: new.collect(), unidentified: people.unidentified }
    }

    fn members(&mut self, members: &Arc<DepartmentMembers>) -> Arc<DepartmentMembers> {
        let address = Arc::as_ptr(members).addr();
        if let Some((_, moved)) = self.members.get(&address) {
            return Arc::clone(moved);
        }
        let people = self.indices.people(members.people());
        let moved = Arc::new(members.with_people(people));
        self.members.insert(address, (Arc::clone(members), Arc::clone(&moved)));
        moved
    }
}

impl DayDigest {
    /// The same digest with the indices of another dictionary.
    #[must_use]
    pub fn reindexed(&self, reindexing: &mut DayReindexing) -> Self {
        let old: Vec<u32> = self.departments.iter().map(|digest| digest.department).collect();
        let departments = reindexing.indices.departments(&old);
        let moved = departments.into_iter().zip(&self.departments).map(|(department, digest)| DepartmentDigest {
            department,
            sums: digest.sums,
            members: reindexing.members(&digest.members),
        });
        let mut departments: Vec<DepartmentDigest> = moved.collect();
        departments.sort_unstable_by_key(|digest| digest.department);
        Self {
            key: self.key.clone(),
            fetched_at: self.fetched_at,
            hash: self.hash,
            quality: self.quality,
            dictionary: Arc::clone(reindexing.indices.target()),
            figures: Arc::new(reindexing.figures(&self.figures)),
            departments: departments.into(),
            // The sets of people have the same size or are smaller.
            bytes: self.bytes,
        }
    }
}
