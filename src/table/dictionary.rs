//! A dictionary of the strings and attributes that many rows share, each held once and identified by an index.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use fixedbitset::FixedBitSet;
use indexmap::Equivalent as _;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    interner::Interner,
    profile::{Department, DepartmentKey, Devices, NO_PERSON, PersonIndex, Profile, ProfileIndex, ProfileKey},
};

/// Assigns indices to people, profiles, departments and devices.
///
/// Entries are never removed, because indices are bits in sets of people. Instead a dictionary gets a successor, a new
/// generation to which days move with the entries that they use. See [`Dictionaries`](super::Dictionaries).
#[derive(Debug)]
pub struct Dictionary {
    tables: RwLock<DictionaryTables>,
    id: u64,
    /// The bytes of the tables.
    bytes: AtomicU64,
    /// The bytes of all dictionaries of the process.
    total_bytes: Arc<AtomicU64>,
    /// The bytes at which the dictionary gets a successor.
    renewal_bytes: AtomicU64,
    successor: OnceLock<Arc<Self>>,
}

/// The tables of a dictionary, locked for writing. Dropping it updates the number of bytes.
pub(super) struct DictionaryWriter<'a> {
    dictionary: &'a Dictionary,
    tables: RwLockWriteGuard<'a, DictionaryTables>,
}

/// The id of the next dictionary.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The tables of a dictionary. A caller that needs many entries reads them all under one lock.
#[derive(Debug, Default)]
pub struct DictionaryTables {
    people: Interner<str>,
    profiles: Interner<Profile>,
    /// The person of each profile, by profile index. [`NO_PERSON`] if the user id is missing.
    profile_persons: Vec<PersonIndex>,
    /// The profile of each person that was added or found last, by person index; [`NO_PROFILE`] if there is none. Most rows have
    /// the profile that the person had on the day before.
    latest_profiles: Vec<ProfileIndex>,
    departments: Interner<Department>,
    devices: Interner<Devices>,
    /// The strings in `devices`: few different strings occur in many combinations.
    device_texts: Interner<str>,
    /// The rank of each person in the order of user ids, by person index. Computed on first use, and reset when a
    /// person is added.
    user_id_ranks: OnceLock<Box<[u32]>>,
}

/// How many likely people are passed over at once.
const MAX_SKIPPED: usize = 16;

/// Marks people without a profile in `latest_profiles`.
const NO_PROFILE: ProfileIndex = ProfileIndex::MAX;

/// The memory use of one table of a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// The name of the table.
    pub table: &'static str,
    /// The approximate size in bytes.
    pub bytes: usize,
}

impl Default for Dictionary {
    fn default() -> Self {
        Self::new(Arc::default(), u64::MAX)
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        self.total_bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

impl Deref for DictionaryWriter<'_> {
    type Target = DictionaryTables;

    fn deref(&self) -> &DictionaryTables {
        &self.tables
    }
}

impl DerefMut for DictionaryWriter<'_> {
    fn deref_mut(&mut self) -> &mut DictionaryTables {
        &mut self.tables
    }
}

impl Drop for DictionaryWriter<'_> {
    fn drop(&mut self) {
        let bytes = self.tables.table_sizes().iter().map(|size| size.bytes as u64).sum();
        // Tables only grow, and only one writer holds the lock.
        let before = self.dictionary.bytes.swap(bytes, Ordering::Relaxed);
        self.dictionary.total_bytes.fetch_add(bytes - before, Ordering::Relaxed);
    }
}

impl Dictionary {
    /// An empty dictionary, whose bytes are part of `total_bytes`. It gets a successor at `renewal_bytes` bytes.
    pub(super) fn new(total_bytes: Arc<AtomicU64>, renewal_bytes: u64) -> Self {
        Self {
            tables: RwLock::default(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            bytes: AtomicU64::default(),
            total_bytes,
            renewal_bytes: AtomicU64::new(renewal_bytes),
            successor: OnceLock::new(),
        }
    }

    /// The id of this dictionary in the process. A later dictionary has a larger id.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The approximate memory use in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The newest generation, if this is an earlier one. Days move to it.
    #[must_use]
    pub fn newest_successor(&self) -> Option<&Arc<Self>> {
        let mut newest = self.successor.get()?;
        while let Some(next) = newest.successor.get() {
            newest = next;
        }
        Some(newest)
    }

    /// Whether the dictionary has as many bytes as allowed before it gets a successor.
    pub(super) fn is_renewal_due(&self) -> bool {
        self.bytes() >= self.renewal_bytes.load(Ordering::Relaxed)
    }

    /// Sets the number of bytes at which the dictionary gets a successor.
    pub(super) fn set_renewal_bytes(&self, bytes: u64) {
        self.renewal_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the next generation. Has no effect if there is one.
    pub(super) fn set_successor(&self, successor: &Arc<Self>) {
        let _ = self.successor.set(Arc::clone(successor));
    }

    /// Locks the tables for reading. New rows can't be added while the lock is held, so hold it only briefly.
    pub fn read(&self) -> RwLockReadGuard<'_, DictionaryTables> {
        self.tables.read()
    }

    /// The indices of these people. People without an index get one. `likely` changes only how long it takes: if most of these people are
    /// in it, in the same order, most are found by a comparison instead of a lookup.
    pub fn intern_people<'a>(
        &self,
        user_ids: impl Iterator<Item = &'a str>,
        likely: &[PersonIndex],
    ) -> Vec<PersonIndex> {
        let user_ids: Vec<&str> = user_ids.collect();
        // Usually all are known, and several threads can read.
        let known = self.read().find_people(&user_ids, likely);
        known.unwrap_or_else(|| {
            let mut tables = self.write();
            user_ids.into_iter().map(|user_id| tables.intern_person(user_id)).collect()
        })
    }

    /// The indices of these departments. Departments without an index get one.
    #[must_use]
    pub fn intern_departments(&self, departments: &[Department]) -> Vec<u32> {
        let known = |tables: &DictionaryTables| {
            departments.iter().map(|department| tables.departments.index_of(department)).collect()
        };
        let known: Option<Vec<u32>> = known(&self.read());
        known.unwrap_or_else(|| {
            let mut tables = self.write();
            departments.iter().map(|department| tables.intern_department(department)).collect()
        })
    }

    /// Locks the tables for writing.
    pub(super) fn write(&self) -> DictionaryWriter<'_> {
        DictionaryWriter { dictionary: self, tables: self.tables.write() }
    }
}

impl DictionaryTables {
    /// The profile with that index.
    ///
    /// # Panics
    /// If this dictionary has no such index.
    #[must_use]
    pub fn profile(&self, index: ProfileIndex) -> &Arc<Profile> {
        self.profiles.get(index)
    }

    /// All profiles, by index.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }

    /// The person of each profile, by profile index. [`NO_PERSON`] if the user id is missing.
    #[must_use]
    pub fn profile_persons(&self) -> &[PersonIndex] {
        &self.profile_persons
    }

    /// The user id of a person.
    ///
    /// # Panics
    /// If this dictionary has no such index.
    #[must_use]
    pub fn user_id(&self, person: PersonIndex) -> &Arc<str> {
        self.people.get(person)
    }

    /// The department with that index.
    ///
    /// # Panics
    /// If this dictionary has no such index.
    #[must_use]
    pub fn department(&self, index: u32) -> &Arc<Department> {
        self.departments.get(index)
    }

    /// The devices with that index.
    ///
    /// # Panics
    /// If this dictionary has no such index.
    #[must_use]
    pub fn devices(&self, index: u32) -> &Arc<Devices> {
        self.devices.get(index)
    }

    /// The index of the person with that user id, if the dictionary has one.
    #[must_use]
    pub fn find_person(&self, user_id: &str) -> Option<PersonIndex> {
        self.people.index_of(user_id)
    }

    /// The indices of these people; `None` if one has none. `likely` as in [`Dictionary::intern_people`].
    fn find_people(&self, user_ids: &[&str], mut likely: &[PersonIndex]) -> Option<Vec<PersonIndex>> {
        let mut find = |user_id: &str| {
            // The next person, or the one after it if the next person is missing here. If several are missing, the lookup tells how many.
            let next = likely.iter().take(2).find(|person| **self.user_id(**person) == *user_id).copied();
            let person = next.or_else(|| self.find_person(user_id))?;
            if let Some(position) = likely.iter().take(MAX_SKIPPED).position(|one| *one == person) {
                likely = &likely[position + 1..];
            }
            Some(person)
        };
        user_ids.iter().map(|user_id| find(user_id)).collect()
    }

    /// The rank of each person in the order of user ids, by person index.
    #[must_use]
    pub fn user_id_ranks(&self) -> &[u32] {
        self.user_id_ranks.get_or_init(|| {
            let mut people: Vec<PersonIndex> = (0..).take(self.person_count()).collect();
            people.sort_unstable_by_key(|person| self.user_id(*person));
            let mut ranks = vec![0; people.len()];
            for (rank, person) in (0..).zip(people) {
                ranks[person as usize] = rank;
            }
            ranks.into()
        })
    }

    /// The number of people. Their indices are `0..person_count()`.
    #[must_use]
    pub fn person_count(&self) -> usize {
        self.people.values().len()
    }

    /// The approximate memory use of each table.
    #[must_use]
    pub fn table_sizes(&self) -> [TableSize; 4] {
        let profile_bytes =
            self.profiles.heap_bytes() + size_of_val(&*self.profile_persons) + size_of_val(&*self.latest_profiles);
        let device_bytes = self.devices.heap_bytes() + self.device_texts.heap_bytes();
        [
            // A rank has four bytes a person.
            TableSize { table: "people", bytes: self.people.heap_bytes() + self.person_count() * size_of::<u32>() },
            TableSize { table: "profiles", bytes: profile_bytes },
            TableSize { table: "departments", bytes: self.departments.heap_bytes() },
            TableSize { table: "devices", bytes: device_bytes },
        ]
    }

    /// The indices of the departments with that path or below it. See [`is_path_within`].
    #[must_use]
    pub fn departments_within(&self, path: &str) -> FixedBitSet {
        let all = self.departments.values().enumerate();
        let mut within = FixedBitSet::with_capacity(self.departments.values().len());
        within.extend(all.filter(|(_, department)| is_path_within(&department.path, path)).map(|(index, _)| index));
        within
    }

    /// All departments, by index.
    pub fn departments(&self) -> impl ExactSizeIterator<Item = &Arc<Department>> {
        self.departments.values()
    }

    /// The index of a person.
    pub(super) fn intern_person(&mut self, user_id: &str) -> PersonIndex {
        let count_before = self.person_count();
        let index = self.people.intern(user_id, |id| Arc::from(id));
        if self.person_count() > count_before {
            self.user_id_ranks = OnceLock::new();
        }
        index
    }

    pub(super) fn intern_profile(&mut self, profile: &Profile) -> ProfileIndex {
        let index = self.profiles.intern(profile, |profile| Arc::new(profile.clone()));
        self.record_person(profile.person);
        index
    }

    /// The index of the profile with these values, whose person is in this dictionary.
    pub(super) fn intern_profile_key(&mut self, key: &ProfileKey<'_>) -> ProfileIndex {
        let latest = key.person.and_then(|person| self.latest_profiles.get(person as usize).copied());
        if let Some(latest) =
            latest.filter(|latest| *latest != NO_PROFILE && key.equivalent(self.profiles.get(*latest)))
        {
            return latest;
        }
        let people = &self.people;
        let to_profile = |key: &ProfileKey<'_>| Profile {
            person: key.person,
            user_id: key.person.map(|person| Arc::clone(people.get(person))),
            user_name: key.user_name.into(),
            department: key.department,
            create_time: key.create_time,
            register_time: key.register_time,
        };
        let index = self.profiles.intern(key, |key| Arc::new(to_profile(key)));
        self.record_person(key.person);
        if let Some(person) = key.person {
            let person = person as usize;
            self.latest_profiles.resize(self.latest_profiles.len().max(person + 1), NO_PROFILE);
            self.latest_profiles[person] = index;
        }
        index
    }

    /// Records the person of a new profile.
    fn record_person(&mut self, person: Option<PersonIndex>) {
        if self.profile_persons.len() < self.profiles.values().len() {
            self.profile_persons.push(person.unwrap_or(NO_PERSON));
        }
    }

    /// The index of the department with these values.
    pub(super) fn intern_department_key(&mut self, key: DepartmentKey<'_>) -> u32 {
        let to_department =
            |key: &DepartmentKey<'_>| Arc::new(Department { name: key.name.into(), path: key.path.into() });
        self.departments.intern(&key, to_department)
    }

    pub(super) fn intern_department(&mut self, department: &Department) -> u32 {
        self.departments.intern(department, |department| Arc::new(department.clone()))
    }

    pub(super) fn intern_devices(&mut self, devices: &Devices) -> u32 {
        let texts = &mut self.device_texts;
        self.devices.intern(devices, |devices| Arc::new(devices.map_texts(|text| texts.intern_text(text))))
    }
}

/// Whether a department path is `ancestor` or below it. Compares whole segments: `a/bc` is not within `a/b`. Nothing is
/// below the empty path, which is that of people without a department.
#[must_use]
pub fn is_path_within(path: &str, ancestor: &str) -> bool {
    let rest = path.strip_prefix(ancestor);
    rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && !ancestor.is_empty()))
}

/// Where the path of each level ends, from the top level to the path itself. A path that begins with a slash is within its
/// top level: nothing is below the empty path.
pub fn ends_of_levels(path: &str) -> impl Iterator<Item = usize> + '_ {
    path.match_indices('/').map(|(end, _)| end).filter(|end| *end > 0).chain([path.len()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_of_a_person_does_not_depend_on_who_is_likely(
            people in proptest::collection::vec(0_u32..20, 0..20),
            likely in proptest::collection::vec(0_u32..10, 0..20),
        ) {
            let dictionary = Dictionary::default();
            let ids: Vec<String> = (0..20).map(|person| format!("ou_{person}")).collect();
            let all = dictionary.intern_people(ids[..10].iter().map(String::as_str), &[]);
            let user_ids = || people.iter().map(|person| ids[*person as usize].as_str());

            let found = dictionary.intern_people(user_ids(), &likely);

            prop_assert_eq!(all, (0..10).collect::<Vec<_>>());
            let tables = dictionary.read();
            prop_assert!(found.iter().map(|person| &**tables.user_id(*person)).eq(user_ids()));
        }
    }

    #[test]
    fn department_paths_are_compared_by_whole_segments() {
        let dictionary = Dictionary::default();
        let intern = |path: &str| {
            dictionary.write().intern_department(&Department { name: "x".into(), path: path.into() }) as usize
        };
        let (department, child, sibling, parent) =
            (intern("总部/研发"), intern("总部/研发/平台"), intern("总部/研发二部"), intern("总部"));

        let within = dictionary.read().departments_within("总部/研发");

        assert!(within[department] && within[child]);
        assert!(!within[sibling] && !within[parent]);
    }

    #[test]
    fn an_equal_profile_or_department_has_the_same_index_however_it_is_looked_up() {
        let dictionary = Dictionary::default();
        let mut tables = dictionary.write();
        let department = Department { name: "平台".into(), path: "总部/平台".into() };
        let index = tables.intern_department(&department);
        let person = tables.intern_person("ou_1");
        let create_time = jiff::Timestamp::from_second(7).ok();
        let key = |person: Option<PersonIndex>, user_name| ProfileKey {
            person,
            user_id: person.map(|_| "ou_1"),
            user_name,
            department: index,
            create_time,
            register_time: None,
        };
        let profile = |person: Option<PersonIndex>, user_name: &str| Profile {
            person,
            user_id: person.map(|_| "ou_1".into()),
            user_name: user_name.into(),
            department: index,
            create_time,
            register_time: None,
        };

        assert_eq!(tables.intern_department_key(DepartmentKey { name: "平台", path: "总部/平台" }), index);
        // The person's name changes, and changes back.
        for name in ["张三", "李四", "张三"] {
            for person in [Some(person), None] {
                let index = tables.intern_profile_key(&key(person, name));
                assert_eq!(**tables.profile(index), profile(person, name));
                assert_eq!(tables.intern_profile(&profile(person, name)), index);
                assert_eq!(tables.intern_profile_key(&key(person, name)), index);
            }
        }
        assert_eq!(tables.profiles().len(), 4);
    }

    #[test]
    fn an_equal_value_has_the_same_index() {
        let dictionary = Dictionary::default();
        let first = dictionary.write().intern_person("ou_1");
        let second = dictionary.write().intern_person("ou_2");
        assert_eq!(dictionary.write().intern_person("ou_1"), first);
        assert_ne!(first, second);
        assert_eq!(dictionary.read().find_person("ou_2"), Some(second));
        assert_eq!(dictionary.read().person_count(), 2);
    }
}
