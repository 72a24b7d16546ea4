//! Moves indices from one dictionary to another.

use std::sync::Arc;

use super::{
    DayTable, Dictionary,
    dictionary::DictionaryTables,
    profile::{PersonIndex, Profile, ProfileIndex},
};

/// Number of entries that are added under one lock, so that readers do not wait for long.
const ENTRIES_PER_LOCK: usize = 4096;

/// Marks entries without a new index.
const NO_INDEX: u32 = u32::MAX;

/// The indices of a second dictionary for entries of a first one. Entries are added to the second one as needed.
///
/// No two dictionaries are locked at the same time.
#[derive(Debug)]
pub struct Reindexing {
    from: Arc<Dictionary>,
    to: Arc<Dictionary>,
    people: NewIndices,
    profiles: NewIndices,
    departments: NewIndices,
    devices: NewIndices,
}

/// The new index of each entry, by old index; [`NO_INDEX`] if it is not known yet.
#[derive(Debug, Default)]
struct NewIndices(Vec<u32>);

impl NewIndices {
    /// Those of these entries that have no new index, each once.
    fn unknown(&mut self, indices: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut unknown: Vec<u32> = indices.filter(|index| self.get(*index) == NO_INDEX).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if let Some(last) = unknown.last() {
            self.0.resize(self.0.len().max(*last as usize + 1), NO_INDEX);
        }
        unknown
    }

    fn get(&self, index: u32) -> u32 {
        self.0.get(index as usize).copied().unwrap_or(NO_INDEX)
    }

    fn set(&mut self, index: u32, new: u32) {
        self.0[index as usize] = new;
    }

    /// Adds those of these entries of `from` that have no new index to `to`. `read` returns an entry, `intern` adds it.
    fn add<V>(
        &mut self,
        indices: &[u32],
        (from, to): (&Dictionary, &Dictionary),
        read: impl Fn(&DictionaryTables, u32) -> V,
        intern: impl Fn(&mut DictionaryTables, &V) -> u32,
    ) {
        for part in self.unknown(indices.iter().copied()).chunks(ENTRIES_PER_LOCK) {
            let tables = from.read();
            let values: Vec<V> = part.iter().map(|index| read(&tables, *index)).collect();
            drop(tables);
            let mut tables = to.write();
            for (index, value) in part.iter().zip(values) {
                self.set(*index, intern(&mut tables, &value));
            }
        }
    }

    fn all<B: FromIterator<u32>>(&self, indices: &[u32]) -> B {
        indices.iter().map(|index| self.0[*index as usize]).collect()
    }
}

impl Reindexing {
    /// No entry yet.
    #[must_use]
    pub fn new(from: Arc<Dictionary>, to: Arc<Dictionary>) -> Self {
        let none = NewIndices::default;
        Self { from, to, people: none(), profiles: none(), departments: none(), devices: none() }
    }

    /// The dictionary of the new indices.
    #[must_use]
    pub const fn target(&self) -> &Arc<Dictionary> {
        &self.to
    }

    /// Whether these are the indices for days of this dictionary.
    #[must_use]
    pub fn applies_to(&self, dictionary: &Arc<Dictionary>) -> bool {
        Arc::ptr_eq(&self.from, dictionary)
    }

    /// The new indices of these people, in the same order.
    pub fn people(&mut self, people: &[PersonIndex]) -> Vec<PersonIndex> {
        self.people.add(
            people,
            (&self.from, &self.to),
            |tables, person| Arc::clone(tables.user_id(person)),
            |tables, user_id| tables.intern_person(user_id),
        );
        self.people.all(people)
    }

    /// The new indices of these departments, in the same order.
    pub fn departments(&mut self, departments: &[u32]) -> Vec<u32> {
        self.departments.add(
            departments,
            (&self.from, &self.to),
            |tables, index| Arc::clone(tables.department(index)),
            |tables, department| tables.intern_department(department),
        );
        self.departments.all(departments)
    }

    /// The new indices of these profiles, in the same order.
    pub fn profiles(&mut self, profiles: &[ProfileIndex]) -> Box<[ProfileIndex]> {
        for part in self.profiles.unknown(profiles.iter().copied()).chunks(ENTRIES_PER_LOCK) {
            let tables = self.from.read();
            let values: Vec<Arc<Profile>> = part.iter().map(|index| Arc::clone(tables.profile(*index))).collect();
            drop(tables);
            let people: Vec<PersonIndex> = values.iter().filter_map(|profile| profile.person).collect();
            self.people(&people);
            self.departments(&values.iter().map(|profile| profile.department).collect::<Vec<_>>());
            let mut tables = self.to.write();
            for (index, profile) in part.iter().zip(values) {
                let person = profile.person.map(|person| self.people.get(person));
                let moved = Profile {
                    person,
                    user_id: person.map(|person| Arc::clone(tables.user_id(person))),
                    department: self.departments.get(profile.department),
                    ..(*profile).clone()
                };
                self.profiles.set(*index, tables.intern_profile(&moved));
            }
        }
        self.profiles.all(profiles)
    }

    /// The new indices of these devices, in the same order.
    pub fn devices(&mut self, devices: &[u32]) -> Box<[u32]> {
        self.devices.add(
            devices,
            (&self.from, &self.to),
            |tables, index| Arc::clone(tables.devices(index)),
            |tables, devices| tables.intern_devices(devices),
        );
        self.devices.all(devices)
    }
}

impl DayTable {
    /// The same day with the indices of another dictionary.
    #[must_use]
    pub fn reindexed(&self, indices: &mut Reindexing) -> Self {
        let mut day = self.clone();
        day.columns.profiles = indices.profiles(self.profiles());
        day.columns.devices = indices.devices(self.devices());
        day.dictionary = Arc::clone(indices.target());
        day
    }
}
