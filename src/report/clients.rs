//! Operating systems, clients and app packages, each with its distinct users.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    client_versions::{ClientVersion, VersionUsage, split_version},
    day_figures::PersonSet,
    user_rollup::UserRollup,
};
use crate::table::{
    Client, Devices, Flag, PersonIndex, ProfileIndex, RowSelection, dictionary::DictionaryTables, profile::NO_PERSON,
};

/// What a count of clients is grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientDimension {
    /// Names of operating systems, such as `iOS`.
    OsName,
    /// Operating systems with their versions, such as `ios 14.2`.
    OperatingSystem,
    /// Clients with their versions, such as `feishu 3.40.0`.
    Client,
    /// App packages, such as `Feishu` and `Lark`.
    AppPackage,
}

/// The users of one operating system, client or app package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUsage {
    /// What `name` is a name of.
    pub dimension: ClientDimension,
    /// The name, such as `iOS`.
    pub name: Arc<str>,
    /// Distinct people who were active on a day on which they used it. `None` if there are several days and a person's id is missing.
    pub users: Option<u64>,
}

/// The clients of some people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientsReport {
    /// The users of each client. Each dimension is sorted by number of users, largest first.
    pub usage: Vec<ClientUsage>,
    /// The users of each client version on each system, sorted by number of users, largest first.
    pub versions: Vec<VersionUsage>,
    /// Distinct active people. `None` if there are several days and a person's id is missing.
    pub active: Option<u64>,
}

/// The users of the same devices.
#[derive(Default)]
struct DeviceUsers {
    /// A person who changed devices back and forth is repeated.
    people: Vec<PersonIndex>,
    /// The number of people at which repetitions are removed.
    max_people: usize,
    unidentified: u64,
}

impl DeviceUsers {
    /// Repetitions are removed when there are as many people as this.
    const MIN_PEOPLE: usize = 1024;

    fn add(&mut self, person: PersonIndex) {
        if self.people.len() >= self.max_people.max(Self::MIN_PEOPLE) {
            self.people.sort_unstable();
            self.people.dedup();
            self.max_people = 2 * self.people.len();
        }
        self.people.push(person);
    }

    fn add_to(&self, set: &mut PersonSet) {
        self.people.iter().for_each(|person| set.add(Some(*person)));
        set.unidentified += self.unidentified;
    }
}

/// The clients that the selected people used on days on which they were active. On other days Feishu may list clients of
/// earlier days. All `rollups` must share the dictionary.
#[must_use]
pub fn clients(rollups: &[UserRollup], dictionary: &DictionaryTables, selection: &RowSelection) -> ClientsReport {
    let selector = selection.compile(dictionary);
    let people = dictionary.profile_persons();
    let (mut active, mut by_devices) = (PersonSet::default(), BTreeMap::<u32, DeviceUsers>::new());
    // Most people have the same devices as on the day before.
    let mut latest_devices = vec![None; dictionary.person_count()];
    let mut add = |profile: ProfileIndex, devices: u32| {
        let person = people[profile as usize];
        if person == NO_PERSON {
            active.add(None);
            by_devices.entry(devices).or_default().unidentified += 1;
        } else if latest_devices[person as usize].replace(devices) != Some(devices) {
            by_devices.entry(devices).or_default().add(person);
        }
    };
    for rollup in rollups {
        match rollup {
            UserRollup::Day(day) => {
                for row in selector.rows(day).filter(|row| day.flags()[*row].contains(Flag::Active)) {
                    add(day.profiles()[row], day.devices()[row]);
                }
            }
            UserRollup::Month(month) => {
                for (row, profile) in rollup.profiles().iter().enumerate() {
                    if selector.selects_all_people() || selector.matches_profile(dictionary.profile(*profile)) {
                        month.devices(row).iter().for_each(|devices| add(*profile, *devices));
                    }
                }
            }
        }
    }
    let with_devices = latest_devices.iter().enumerate().filter(|(_, devices)| devices.is_some());
    active.identified = with_devices.map(|(person, _)| person).collect();
    let is_month = |rollup: &UserRollup| matches!(rollup, UserRollup::Month(_));
    let is_single_day = !rollups.iter().any(is_month)
        && rollups.first().map(UserRollup::last_day) == rollups.last().map(UserRollup::last_day);
    let count = |people: &PersonSet| if is_single_day { Some(people.count()) } else { people.distinct_count() };
    let mut usage = by_name(&by_devices, dictionary, count);
    usage.sort_by(|one, other| (one.dimension, other.users, &one.name).cmp(&(other.dimension, one.users, &other.name)));
    let mut versions = by_version(&by_devices, dictionary, count);
    versions.sort_by(|one, other| (other.users, &one.version).cmp(&(one.users, &other.version)));
    ClientsReport { usage, versions, active: count(&active) }
}

fn by_name(
    by_devices: &BTreeMap<u32, DeviceUsers>,
    dictionary: &DictionaryTables,
    count: impl Fn(&PersonSet) -> Option<u64>,
) -> Vec<ClientUsage> {
    let mut named: BTreeMap<(ClientDimension, Arc<str>), PersonSet> = BTreeMap::new();
    for (devices, people) in by_devices {
        for name in client_names(dictionary.devices(*devices)) {
            people.add_to(named.entry(name).or_default());
        }
    }
    let usage =
        named.into_iter().map(|((dimension, name), people)| ClientUsage { dimension, name, users: count(&people) });
    usage.collect()
}

fn by_version(
    by_devices: &BTreeMap<u32, DeviceUsers>,
    dictionary: &DictionaryTables,
    count: impl Fn(&PersonSet) -> Option<u64>,
) -> Vec<VersionUsage> {
    let mut by_system: BTreeMap<Option<Arc<str>>, PersonSet> = BTreeMap::new();
    let mut by_version: BTreeMap<ClientVersion, PersonSet> = BTreeMap::new();
    for (devices, people) in by_devices {
        let clients = &dictionary.devices(*devices).clients;
        let system = |client: &Client| client.os.as_deref().map(|os| split_version(os).0);
        for system in clients.iter().map(system).collect::<BTreeSet<_>>() {
            people.add_to(by_system.entry(system).or_default());
        }
        let version = |client: &Client| {
            let (name, version) = split_version(client.client.as_deref()?);
            Some(ClientVersion { system: system(client), client: name, version })
        };
        for version in clients.iter().filter_map(version).collect::<BTreeSet<_>>() {
            people.add_to(by_version.entry(version).or_default());
        }
    }
    let usage = by_version.into_iter().map(|(version, people)| {
        let system_users = by_system.get(&version.system).and_then(&count);
        VersionUsage { version, users: count(&people), system_users }
    });
    usage.collect()
}

/// All names that a row with these devices counts for, each once.
fn client_names(devices: &Devices) -> BTreeSet<(ClientDimension, Arc<str>)> {
    let of = |dimension| move |name: &Arc<str>| (dimension, Arc::clone(name));
    let systems =
        devices.clients.iter().filter_map(|client| client.os.as_ref()).map(of(ClientDimension::OperatingSystem));
    let clients = devices.clients.iter().filter_map(|client| client.client.as_ref()).map(of(ClientDimension::Client));
    let packages = devices.app_packages.iter().map(of(ClientDimension::AppPackage));
    devices.os_names.iter().map(of(ClientDimension::OsName)).chain(systems).chain(clients).chain(packages).collect()
}
