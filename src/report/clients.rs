//! What people use Feishu on: systems, clients, packages, each with its different users.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::figures::People;
use crate::table::{Devices, Flag, Partition, Selection, directory::Tables};

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Names of operating systems, such as `iOS`.
    OsName,
    /// Operating systems with their version, such as `ios 14.2`.
    OperatingSystem,
    /// Clients with their version, such as `feishu 3.40.0`.
    Client,
    /// Kinds of Feishu app, such as `Feishu` and `Lark`.
    AppPackage,
}

/// Something that people use Feishu on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Different people who used it; `None` where an id was withheld and there is more than a day.
    pub users: Option<u64>,
}

/// What the selected people used in these days of one directory, the most used of each kind first; and how many
/// different people were active.
#[must_use]
pub fn clients(days: &[Arc<Partition>], tables: &Tables, selection: &Selection) -> (Vec<Used>, Option<u64>) {
    let selector = selection.against(tables);
    let mut active = People::default();
    let mut by_devices: BTreeMap<u32, People> = BTreeMap::new();
    for day in days {
        for row in selector.rows(day) {
            let person = selector.person_of(day, row);
            by_devices.entry(day.devices()[row]).or_default().add(person);
            if day.flags()[row].has(Flag::Active) {
                active.add(person);
            }
        }
    }
    let single = days.first().map(|day| day.key().day) == days.last().map(|day| day.key().day);
    let count = |people: &People| if single { Some(people.count()) } else { people.distinct() };
    let mut used = by_name(&by_devices, tables, count);
    used.sort_by(|one, other| (one.kind, other.users, &one.name).cmp(&(other.kind, one.users, &other.name)));
    (used, count(&active))
}

fn by_name(sets: &BTreeMap<u32, People>, tables: &Tables, count: impl Fn(&People) -> Option<u64>) -> Vec<Used> {
    let mut named: BTreeMap<(Kind, Arc<str>), People> = BTreeMap::new();
    for (devices, people) in sets {
        for name in names(tables.devices(*devices)) {
            named.entry(name).or_default().unite(people);
        }
    }
    let used = named.into_iter().map(|((kind, name), people)| Used { kind, name, users: count(&people) });
    used.collect()
}

/// Everything that somebody with these devices uses, each once.
fn names(devices: &Devices) -> BTreeSet<(Kind, Arc<str>)> {
    let of = |kind| move |name: &Arc<str>| (kind, Arc::clone(name));
    let systems = devices.clients.iter().filter_map(|client| client.os.as_ref()).map(of(Kind::OperatingSystem));
    let clients = devices.clients.iter().filter_map(|client| client.client.as_ref()).map(of(Kind::Client));
    let packages = devices.app_packages.iter().map(of(Kind::AppPackage));
    devices.os_names.iter().map(of(Kind::OsName)).chain(systems).chain(clients).chain(packages).collect()
}
