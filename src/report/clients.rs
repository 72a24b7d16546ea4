//! Operating systems, clients and app packages, each with its distinct users.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    client_versions::{ClientVersion, VersionUsage, split_version},
    day_figures::PersonSet,
};
use crate::table::{Client, DayTable, Devices, Flag, RowSelection, dictionary::DictionaryTables};

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

/// The clients that the selected people used on days on which they were active. On other days Feishu may list clients of
/// earlier days. All `days` must share the dictionary.
#[must_use]
pub fn clients(days: &[Arc<DayTable>], dictionary: &DictionaryTables, selection: &RowSelection) -> ClientsReport {
    let selector = selection.compile(dictionary);
    let mut active = PersonSet::default();
    let mut by_devices: BTreeMap<u32, PersonSet> = BTreeMap::new();
    for day in days {
        for row in selector.rows(day) {
            if day.flags()[row].contains(Flag::Active) {
                let person = selector.profile_of(day, row).person;
                by_devices.entry(day.devices()[row]).or_default().add(person);
                active.add(person);
            }
        }
    }
    let is_single_day = days.first().map(|day| day.key().day) == days.last().map(|day| day.key().day);
    let count = |people: &PersonSet| if is_single_day { Some(people.count()) } else { people.distinct_count() };
    let mut usage = by_name(&by_devices, dictionary, count);
    usage.sort_by(|one, other| (one.dimension, other.users, &one.name).cmp(&(other.dimension, one.users, &other.name)));
    let mut versions = by_version(&by_devices, dictionary, count);
    versions.sort_by(|one, other| (other.users, &one.version).cmp(&(one.users, &other.version)));
    ClientsReport { usage, versions, active: count(&active) }
}

fn by_name(
    by_devices: &BTreeMap<u32, PersonSet>,
    dictionary: &DictionaryTables,
    count: impl Fn(&PersonSet) -> Option<u64>,
) -> Vec<ClientUsage> {
    let mut named: BTreeMap<(ClientDimension, Arc<str>), PersonSet> = BTreeMap::new();
    for (devices, people) in by_devices {
        for name in client_names(dictionary.devices(*devices)) {
            named.entry(name).or_default().union_with(people);
        }
    }
    let usage =
        named.into_iter().map(|((dimension, name), people)| ClientUsage { dimension, name, users: count(&people) });
    usage.collect()
}

fn by_version(
    by_devices: &BTreeMap<u32, PersonSet>,
    dictionary: &DictionaryTables,
    count: impl Fn(&PersonSet) -> Option<u64>,
) -> Vec<VersionUsage> {
    let mut by_system: BTreeMap<Option<Arc<str>>, PersonSet> = BTreeMap::new();
    let mut by_version: BTreeMap<ClientVersion, PersonSet> = BTreeMap::new();
    for (devices, people) in by_devices {
        let clients = &dictionary.devices(*devices).clients;
        let system = |client: &Client| client.os.as_deref().map(|os| split_version(os).0);
        for system in clients.iter().map(system).collect::<BTreeSet<_>>() {
            by_system.entry(system).or_default().union_with(people);
        }
        let version = |client: &Client| {
            let (name, version) = split_version(client.client.as_deref()?);
            Some(ClientVersion { system: system(client), client: name, version })
        };
        for version in clients.iter().filter_map(version).collect::<BTreeSet<_>>() {
            by_version.entry(version).or_default().union_with(people);
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
