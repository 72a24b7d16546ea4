//! The directory: strings that repeat from day to day, held once and known by number.

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fixedbitset::FixedBitSet;
use jiff::Timestamp;
use serde::Serialize;

use super::interner::Interner;
use crate::{
    meter::{Exposition, Meter},
    model::UserIdType,
};

/// A person's number: the same on every day and in every geo, so that sets of people are bitmaps.
pub type PersonNo = u32;

/// The number of nobody.
pub const NOBODY: PersonNo = PersonNo::MAX;

/// The number of a [`Profile`].
pub type ProfileNo = u32;

/// What seldom changes about a person. A change of name or department makes a new profile of the same person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Who it is; `None` where upstream withholds the id.
    pub person: Option<PersonNo>,
    /// The id as upstream sent it; `None` where withheld.
    pub user_id: Option<Arc<str>>,
    /// The person's name.
    pub user_name: Arc<str>,
    /// The number of the person's department.
    pub department: u32,
    /// When the account was made.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
}

/// A department as rows name it. Upstream sends no department id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Department {
    /// Its own name.
    pub name: Arc<str>,
    /// Its path from the root, joined by slashes.
    pub path: Arc<str>,
}

/// One operating system with the Feishu client on it; `None` for upstream's `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Client {
    /// The system and its version, such as `ios 14.2`.
    pub os: Option<Arc<str>>,
    /// The client and its version, such as `feishu 3.40.0`.
    pub client: Option<Arc<str>>,
}

/// Everything a row says of a person's devices. The same combinations come again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Devices {
    /// From `active_os`.
    pub clients: Vec<Client>,
    /// From `app_package_type`.
    pub app_packages: Vec<Arc<str>>,
    /// From `os_name`.
    pub os_names: Vec<Arc<str>>,
}

/// Numbers for people, profiles, departments and devices. It only grows: with the people of a tenant, their changes and
/// the combinations of devices they use, not with the days held.
#[derive(Debug, Default)]
pub struct Directory {
    inner: RwLock<Tables>,
}

/// A directory for each kind of user id: an open id and a union id never name the same number.
#[derive(Debug, Default)]
pub struct Directories {
    by_type: [Arc<Directory>; 3],
}

/// The directory's tables, for looking many things up under one lock.
#[derive(Debug, Default)]
pub struct Tables {
    people: Interner<str>,
    profiles: Interner<Profile>,
    /// The person of each profile, by number; [`NOBODY`] where the id is withheld.
    owners: Vec<PersonNo>,
    departments: Interner<Department>,
    devices: Interner<Devices>,
    /// What devices are made of: a few systems, clients and apps in many combinations.
    device_texts: Interner<str>,
    /// The place of each person in the order of ids; made when asked for, forgotten when somebody new comes.
    ranks: OnceLock<Box<[u32]>>,
}

impl Devices {
    /// The same with other copies of its texts.
    fn with_texts(&self, mut copy: impl FnMut(&Arc<str>) -> Arc<str>) -> Self {
        let mut copies = |texts: &[Arc<str>]| texts.iter().map(&mut copy).collect();
        let (app_packages, os_names) = (copies(&self.app_packages), copies(&self.os_names));
        let client = |Client { os, client }: &Client| Client {
            os: os.as_ref().map(&mut copy),
            client: client.as_ref().map(&mut copy),
        };
        Self { clients: self.clients.iter().map(client).collect(), app_packages, os_names }
    }
}

impl Directories {
    /// The directory of one kind of user id.
    #[must_use]
    pub const fn of(&self, user_id_type: UserIdType) -> &Arc<Directory> {
        &self.by_type[user_id_type as usize]
    }
}

impl Meter for Directories {
    fn write(&self, page: &mut Exposition) {
        let tables = self.by_type.each_ref().map(|directory| directory.read().bytes());
        let help = "Memory that names take, about, by whose they are. Those of views are not in it.";
        let mut gauge = page.gauge("feishu_pulse_directory_bytes", help);
        for (at, (of, _)) in tables[0].into_iter().enumerate() {
            let bytes: usize = tables.iter().map(|tables| tables[at].1).sum();
            gauge.labelled(&[("of", of)], bytes as f64);
        }
    }
}

impl Directory {
    /// Opens the tables for reading. Keep it short: rows that arrive wait meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of people, who are given one where they have none.
    pub fn number_people<'a>(&self, user_ids: impl Iterator<Item = &'a str>) -> Vec<PersonNo> {
        let mut tables = self.write();
        user_ids.map(|user_id| tables.intern_person(user_id).0).collect()
    }

    /// The number of a department, which is given one where it has none.
    #[must_use]
    pub fn number_department(&self, department: &Department) -> u32 {
        let known = self.read().departments.number(department);
        known.unwrap_or_else(|| self.write().intern_department(department))
    }

    /// Opens the tables for adding rows.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// The profile of that number.
    ///
    /// # Panics
    /// Where the number is not of this directory.
    #[must_use]
    pub fn profile(&self, number: ProfileNo) -> &Arc<Profile> {
        self.profiles.get(number)
    }

    /// All profiles, by number.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = &Arc<Profile>> {
        self.profiles.values().iter()
    }

    /// The person of each profile, by number; [`NOBODY`] where the id is withheld.
    #[must_use]
    pub fn owners(&self) -> &[PersonNo] {
        &self.owners
    }

    /// The id of the person with that number.
    ///
    /// # Panics
    /// Where the number is not of this directory.
    #[must_use]
    pub fn user_id(&self, person: PersonNo) -> &Arc<str> {
        self.people.get(person)
    }

    /// The department of that number.
    ///
    /// # Panics
    /// Where the number is not of this directory.
    #[must_use]
    pub fn department(&self, number: u32) -> &Arc<Department> {
        self.departments.get(number)
    }

    /// The devices of that number.
    ///
    /// # Panics
    /// Where the number is not of this directory.
    #[must_use]
    pub fn devices(&self, number: u32) -> &Arc<Devices> {
        self.devices.get(number)
    }

    /// The number of the person with that id, where it has been seen.
    #[must_use]
    pub fn person(&self, user_id: &str) -> Option<PersonNo> {
        self.people.number(user_id)
    }

    /// The place of each person, by number, in the order of ids.
    #[must_use]
    pub fn ranks(&self) -> &[u32] {
        self.ranks.get_or_init(|| {
            let mut people: Vec<PersonNo> = (0..).take(self.people()).collect();
            people.sort_unstable_by_key(|person| self.user_id(*person));
            let mut ranks = vec![0; people.len()];
            for (rank, person) in (0..).zip(people) {
                ranks[person as usize] = rank;
            }
            ranks.into()
        })
    }

    /// How many people have a number: one more than the largest.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.values().len()
    }

    /// What there is a table of, and the bytes that it takes, about. Nothing is ever dropped.
    #[must_use]
    pub fn bytes(&self) -> [(&'static str, usize); 4] {
        [
            ("people", self.people.bytes()),
            ("profiles", self.profiles.bytes() + size_of_val(&*self.owners)),
            ("departments", self.departments.bytes()),
            ("devices", self.devices.bytes() + self.device_texts.bytes()),
        ]
    }

    /// The numbers of the department with that path and of all below it, matched on whole segments.
    #[must_use]
    pub fn departments_within(&self, path: &str) -> FixedBitSet {
        let all = self.departments.values().iter().enumerate();
        let mut within = FixedBitSet::with_capacity(self.departments.values().len());
        within.extend(all.filter(|(_, department)| is_within(&department.path, path)).map(|(number, _)| number));
        within
    }

    /// All departments, by number.
    pub fn departments(&self) -> impl ExactSizeIterator<Item = &Arc<Department>> {
        self.departments.values().iter()
    }

    pub(super) fn intern_person(&mut self, user_id: &str) -> (PersonNo, Arc<str>) {
        let before = self.people();
        let number = self.people.intern(user_id, |id| Arc::from(id));
        if self.people() > before {
            self.ranks = OnceLock::new();
        }
        (number, self.people.get(number).clone())
    }

    pub(super) fn intern_profile(&mut self, profile: &Profile) -> ProfileNo {
        let number = self.profiles.intern(profile, |profile| Arc::new(profile.clone()));
        if self.owners.len() < self.profiles.values().len() {
            self.owners.push(profile.person.unwrap_or(NOBODY));
        }
        number
    }

    pub(super) fn intern_department(&mut self, department: &Department) -> u32 {
        self.departments.intern(department, |department| Arc::new(department.clone()))
    }

    pub(super) fn intern_devices(&mut self, devices: &Devices) -> u32 {
        let texts = &mut self.device_texts;
        self.devices.intern(devices, |devices| Arc::new(devices.with_texts(|text| texts.share(text))))
    }
}

/// Whether the path of a department is `above`, or of something below it, matched on whole segments.
#[must_use]
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_department_matches_on_whole_segments() {
        let directory = Directory::default();
        let number = |path: &str| {
            directory.write().intern_department(&Department { name: "x".into(), path: path.into() }) as usize
        };
        let (own, below, sibling, above) =
            (number("总部/研发"), number("总部/研发/平台"), number("总部/研发二部"), number("总部"));

        let within = directory.read().departments_within("总部/研发");

        assert!(within[own] && within[below]);
        assert!(!within[sibling] && !within[above]);
    }

    #[test]
    fn the_same_value_keeps_its_number() {
        let directory = Directory::default();
        let first = directory.write().intern_person("ou_1").0;
        let other = directory.write().intern_person("ou_2").0;
        assert_eq!(directory.write().intern_person("ou_1").0, first);
        assert_ne!(first, other);
        assert_eq!(directory.read().person("ou_2"), Some(other));
        assert_eq!(directory.read().people(), 2);
    }
}
