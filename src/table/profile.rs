//! The values that a [`Dictionary`](super::Dictionary) holds: profiles, departments and devices, and their indices.

use std::sync::Arc;

use indexmap::Equivalent;
use jiff::Timestamp;
use serde::Serialize;

/// The index of a person in a dictionary. It is the same on every day and in every geo, so a set of people is a bitmap.
pub type PersonIndex = u32;

/// The index of a [`Profile`] in a dictionary.
pub type ProfileIndex = u32;

/// The placeholder for the person of a row without a user id.
pub const NO_PERSON: PersonIndex = PersonIndex::MAX;

/// The attributes of a person that seldom change. A change of name or department creates a second profile of the same
/// person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// The index of the person. `None` if Feishu omits the user id.
    pub person: Option<PersonIndex>,
    /// The user id as Feishu sent it. `None` if Feishu omits it.
    pub user_id: Option<Arc<str>>,
    /// The person's name.
    pub user_name: Arc<str>,
    /// The index of the person's department.
    pub department: u32,
    /// When the account was created.
    pub create_time: Option<Timestamp>,
    /// When the account was activated.
    pub register_time: Option<Timestamp>,
}

/// A department as it occurs in rows. Feishu's rows have no department id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Department {
    /// The name of the department.
    pub name: Arc<str>,
    /// The names from the root department to this one, joined by slashes.
    pub path: Arc<str>,
}

/// An operating system with the Feishu client that was used on it. `None` stands for Feishu's `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Client {
    /// The system and its version, such as `ios 14.2`.
    pub os: Option<Arc<str>>,
    /// The client and its version, such as `feishu 3.40.0`.
    pub client: Option<Arc<str>>,
}

/// All values of a row that describe a person's devices. Many rows have the same combination.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Devices {
    /// From Feishu's field `active_os`.
    pub clients: Vec<Client>,
    /// From Feishu's field `app_package_type`.
    pub app_packages: Vec<Arc<str>>,
    /// From Feishu's field `os_name`.
    pub os_names: Vec<Arc<str>>,
}

/// A [`Department`] to look up. Its fields and their order are those of a department, so both have the same hash.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct DepartmentKey<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
}

/// A [`Profile`] to look up. Its fields and their order are those of a profile, so both have the same hash.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct ProfileKey<'a> {
    pub(super) person: Option<PersonIndex>,
    pub(super) user_id: Option<&'a str>,
    pub(super) user_name: &'a str,
    pub(super) department: u32,
    pub(super) create_time: Option<Timestamp>,
    pub(super) register_time: Option<Timestamp>,
}

impl Equivalent<Arc<Department>> for DepartmentKey<'_> {
    fn equivalent(&self, department: &Arc<Department>) -> bool {
        *self.name == *department.name && *self.path == *department.path
    }
}

impl Equivalent<Arc<Profile>> for ProfileKey<'_> {
    fn equivalent(&self, profile: &Arc<Profile>) -> bool {
        // The user id is that of the person.
        self.person == profile.person
            && self.department == profile.department
            && (self.create_time, self.register_time) == (profile.create_time, profile.register_time)
            && *self.user_name == *profile.user_name
    }
}

impl Devices {
    /// The same devices, with each string replaced by the result of `map`.
    pub(super) fn map_texts(&self, mut map: impl FnMut(&Arc<str>) -> Arc<str>) -> Self {
        let mut map_all = |texts: &[Arc<str>]| texts.iter().map(&mut map).collect();
        let (app_packages, os_names) = (map_all(&self.app_packages), map_all(&self.os_names));
        let client = |Client { os, client }: &Client| Client {
            os: os.as_ref().map(&mut map),
            client: client.as_ref().map(&mut map),
        };
        Self { clients: self.clients.iter().map(client).collect(), app_packages, os_names }
    }
}
