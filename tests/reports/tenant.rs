//! Random small tenants: people who join, leave, move and skip days, some rows twice, some ids withheld.

use std::{collections::BTreeMap, sync::Arc};

use feishu_pulse::{
    model::{Day, DayKey, Geo, Scope, UserIdType},
    report::Digest,
    table::{Client, Counter, Department, Devices, Directory, Flag, Flags, Partition, PartitionBuilder, Row},
};
use jiff::Timestamp;
use proptest::prelude::*;

pub const PATHS: [&str; 6] = ["总部", "总部/研发", "总部/研发/平台", "总部/研发二部", "分部/销售", ""];

/// One person's day, as it is meant.
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

pub const COUNTED: [Counter; 3] = [Counter::SendMessengerNum, Counter::VcDuration, Counter::EmailSendCount];

impl PersonDay {
    pub fn has(&self, flag: Flag) -> bool {
        match flag {
            Flag::Feature(feishu_pulse::table::Feature::Email) => self.counters[2] > 0,
            Flag::Feature(feishu_pulse::table::Feature::Task) => false,
            flag => self.flags & (1 << flag.index()) != 0,
        }
    }

    pub fn path(&self) -> &'static str {
        PATHS[self.department]
    }

    pub fn counter(&self, counter: Counter) -> u64 {
        COUNTED.iter().position(|counted| *counted == counter).map_or(0, |at| self.counters[at])
    }
}

prop_compose! {
    fn person_day(withheld: bool)(
        id in 0_usize..12, known in 0..if withheld { 4 } else { 1 }, moves in 0_usize..8, department in 0..PATHS.len(),
        flags in 0_u16..128, counters in proptest::array::uniform3(0_u64..300), device in 0_usize..4,
    ) -> PersonDay {
        // Most people stay where they are.
        let department = if moves == 0 { department } else { id % PATHS.len() };
        let registered = (id % 3 > 0).then(|| i32::try_from(id * 3).unwrap() - 5);
        PersonDay { id: (known < 3).then_some(id), department, flags, counters, registered, device }
    }
}

/// A tenant; `withheld`: some ids are.
pub fn tenants(withheld: bool) -> impl Strategy<Value = Tenant> {
    proptest::collection::vec(proptest::collection::vec(person_day(withheld), 0..14), 1..45).prop_map(|days| {
        let days = days.into_iter().enumerate();
        days.map(|(at, rows)| (first().plus(i32::try_from(at).unwrap()), once_each(rows))).collect()
    })
}

/// The later of two rows of one person counts.
fn once_each(rows: Vec<PersonDay>) -> Vec<PersonDay> {
    let mut kept: Vec<PersonDay> = Vec::new();
    for row in rows {
        kept.retain(|other| row.id.is_none() || other.id != row.id);
        kept.push(row);
    }
    kept
}

pub fn partitions(tenant: &Tenant) -> Vec<Arc<Partition>> {
    let directory = Arc::new(Directory::default());
    tenant.iter().map(|(day, rows)| Arc::new(partition(*day, rows, &directory))).collect()
}

/// The digests, each of which may share with the one before.
pub fn digests(partitions: &[Arc<Partition>]) -> Vec<Arc<Digest>> {
    let mut digests: Vec<Arc<Digest>> = Vec::new();
    for partition in partitions {
        let digest = Digest::of(partition, digests.last().map(|digest| &**digest));
        digests.push(Arc::new(digest));
    }
    digests
}

fn partition(day: Day, rows: &[PersonDay], directory: &Arc<Directory>) -> Partition {
    let key = DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day };
    let mut builder = PartitionBuilder::new(key, Arc::clone(directory));
    for row in rows {
        builder.push(&written(row));
    }
    builder.finish(Timestamp::UNIX_EPOCH)
}

fn written(row: &PersonDay) -> Row {
    let flags = Flag::ALL.into_iter().fold(Flags::default(), |flags, flag| flags.with(flag, row.has(flag)));
    let mut counters = [0; Counter::COUNT];
    for counter in COUNTED {
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
    // Not in the order of the numbers.
    format!("ou_{:02}", (person * 7) % 100)
}
