//! Random small tenants. People join, leave, change departments and skip days; some rows are repeated, and some ids are
//! missing.

use std::{collections::BTreeMap, sync::Arc};

use feishu_pulse::{
    model::{DataScope, Day, DayKey, Geo, UserIdType},
    report::DayDigest,
    table::{Client, Counter, DayTable, DayTableBuilder, Department, Devices, Dictionary, Flag, Flags, Row},
};
use jiff::Timestamp;
use proptest::prelude::*;

pub const PATHS: [&str; 6] = ["总部", "总部/研发", "总部/研发/平台", "总部/研发二部", "分部/销售", ""];

/// The row of one person on one day.
#[derive(Clone, Debug)]
pub struct PersonDay {
    pub id: Option<usize>,
    pub department: usize,
    pub flags: u16,
    pub counters: [u64; 3],
    pub registered: Option<i32>,
    pub device: usize,
}

pub type Tenant = BTreeMap<Day, Vec<PersonDay>>;

pub fn first() -> Day {
    Day::new(2026, 9, 25).unwrap()
}

pub const USED_COUNTERS: [Counter; 3] = [Counter::SendMessengerNum, Counter::VcDuration, Counter::EmailSendCount];

impl PersonDay {
    pub fn has(&self, flag: Flag) -> bool {
        match flag {
            Flag::Feature(feishu_pulse::table::Feature::Email) => self.counters[2] > 0,
            Flag::Feature(feishu_pulse::table::Feature::Task) => false,
            flag => self.flags & (1 << flag.index()) != 0,
        }
    }

    /// Whether the row counts with the flag in figures.
    pub fn counts_with(&self, flag: Flag) -> bool {
        match flag {
            Flag::Activated => self.has(flag) || self.has(Flag::Active),
            Flag::Active => self.has(flag),
            Flag::Feature(_) => self.has(flag) && self.has(Flag::Active),
        }
    }

    pub fn path(&self) -> &'static str {
        PATHS[self.department]
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        USED_COUNTERS.iter().position(|used| *used == counter).map_or(0, |at| self.counters[at])
    }
}

prop_compose! {
    fn person_day(ids_missing: bool)(
        id in 0_usize..12, known in 0..if ids_missing { 4 } else { 1 }, moves in 0_usize..8, department in 0..PATHS.len(),
        flags in 0_u16..128, counters in proptest::array::uniform3(0_u64..300), device in 0_usize..4,
    ) -> PersonDay {
        // Most people stay in one department.
        let department = if moves == 0 { department } else { id % PATHS.len() };
        let registered = (id % 3 > 0).then(|| i32::try_from(id * 3).unwrap() - 5);
        PersonDay { id: (known < 3).then_some(id), department, flags, counters, registered, device }
    }
}

/// A random tenant. If `ids_missing` is set, some ids are missing.
pub fn tenants(ids_missing: bool) -> impl Strategy<Value = Tenant> {
    proptest::collection::vec(proptest::collection::vec(person_day(ids_missing), 0..14), 1..45).prop_map(|days| {
        let days = days.into_iter().enumerate();
        days.map(|(at, rows)| (first().plus(i32::try_from(at).unwrap()), remove_duplicates(rows))).collect()
    })
}

/// If a person has two rows on a day, the later one counts.
fn remove_duplicates(rows: Vec<PersonDay>) -> Vec<PersonDay> {
    let mut unique: Vec<PersonDay> = Vec::new();
    for row in rows {
        unique.retain(|other| row.id.is_none() || other.id != row.id);
        unique.push(row);
    }
    unique
}

pub fn partitions(tenant: &Tenant) -> Vec<Arc<DayTable>> {
    partitions_with(tenant, &Arc::default())
}

/// The days with the indices of this dictionary.
pub fn partitions_with(tenant: &Tenant, dictionary: &Arc<Dictionary>) -> Vec<Arc<DayTable>> {
    tenant.iter().map(|(day, rows)| Arc::new(day_table(*day, rows, dictionary))).collect()
}

/// The digests, each of which may share members with the one before.
pub fn digests(partitions: &[Arc<DayTable>]) -> Vec<Arc<DayDigest>> {
    let mut digests: Vec<Arc<DayDigest>> = Vec::new();
    for partition in partitions {
        let digest = DayDigest::from_day(partition, digests.last().map(|digest| &**digest));
        digests.push(Arc::new(digest));
    }
    digests
}

fn day_table(day: Day, rows: &[PersonDay], dictionary: &Arc<Dictionary>) -> DayTable {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: DataScope::Everyone, day };
    let mut builder = DayTableBuilder::new(key, Arc::clone(dictionary));
    for row in rows {
        builder.push(&to_row(row));
    }
    builder.finish(Timestamp::UNIX_EPOCH)
}

fn to_row(row: &PersonDay) -> Row {
    let flags = Flag::ALL.into_iter().fold(Flags::default(), |flags, flag| flags.with(flag, row.has(flag)));
    let mut counters = [0; Counter::COUNT];
    for counter in USED_COUNTERS {
        counters[counter.index()] = row.counter(counter);
    }
    let name = row.path().rsplit('/').next().unwrap();
    let os = format!("os {}", row.device);
    Row {
        user_id: row.id.map(user_id),
        user_name: row.id.map_or_else(String::new, |id| format!("Name {}", id % 5)),
        department: Department { name: name.into(), path: row.path().into() },
        create_time: None,
        register_time: row.registered.map(|days| Geo::Cn.starts_at(first().plus(days))),
        last_active_time: None,
        flags,
        counters,
        devices: Devices {
            clients: vec![Client { os: Some(os.as_str().into()), client: None }],
            app_packages: Vec::new(),
            os_names: vec![if row.device < 2 { "iOS" } else { "Android" }.into()],
        },
    }
}

pub fn user_id(person: usize) -> String {
    // Ids are not in the order of the person numbers.
    format!("ou_{:02}", (person * 7) % 100)
}
