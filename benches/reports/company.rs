//! A company made by a formula: 100,000 people, 300 departments, 365 days. `rivals.py` holds the same formula.

use std::sync::Arc;

use async_trait::async_trait;
use feishu_pulse::{
    model::{Clock, Day, DayKey, DayRange, Geo, Scope, UserIdType},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{Client, Counter, Department, Devices, Directory, Flag, Flags, Partition, PartitionBuilder, Row},
};
use tokio::sync::Semaphore;

pub(crate) const PEOPLE: u32 = 100_000;
const DEPARTMENTS: u64 = 300;

/// Makes days where the gateway would ask Feishu.
pub(crate) struct Company {
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    /// Days that are made at once.
    hands: Semaphore,
}

pub(crate) fn days() -> DayRange {
    let day = |text: &str| text.parse().expect("a day");
    DayRange::new(day("2025-11-01"), day("2026-10-31")).expect("a range")
}

pub(crate) const fn key(day: Day) -> DayKey {
    DayKey { geo: Geo::Cn, user_id_type: UserIdType::OpenId, scope: Scope::Everyone, day }
}

impl Company {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, directory: Arc::default(), hands: Semaphore::new(2) }
    }
}

#[async_trait]
impl DaySource for Company {
    async fn load(&self, key: &DayKey, _: LoadContext) -> Result<Arc<Partition>, LoadError> {
        let _hand = self.hands.acquire().await;
        let (key, directory, now) = (key.clone(), Arc::clone(&self.directory), self.clock.now());
        let made = tokio::task::spawn_blocking(move || {
            let at = key.day.since(days().first());
            let mut builder = PartitionBuilder::new(key, directory);
            if let Ok(at) = u64::try_from(at) {
                (0..PEOPLE).for_each(|person| builder.push(&row(person.into(), at)));
            }
            Arc::new(builder.finish(now))
        });
        made.await.map_err(|_| LoadError::Abandoned)
    }

    async fn forecast(&self, _: &[DayKey]) -> Forecast {
        Forecast::NOTHING
    }
}

/// `splitmix64` of a person, a day and a purpose.
fn hash(person: u64, day: u64, purpose: u64) -> u64 {
    let mut x = (person << 20) ^ (day << 8) ^ purpose;
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn department(person: u64, day: u64) -> u64 {
    let first = hash(person, 0, 1) % DEPARTMENTS;
    let moves = hash(person, 0, 2).is_multiple_of(20) && day >= hash(person, 0, 6) % 365;
    if moves { (first + 1) % DEPARTMENTS } else { first }
}

fn is_active(person: u64, day: u64) -> bool {
    let propensity = 20 + hash(person, 0, 3) % 70;
    let today = if day % 7 >= 5 { propensity / 4 } else { propensity };
    let has_left_off = hash(person, 0, 4).is_multiple_of(20) && day >= 300;
    hash(person, day, 0) % 100 < today && !has_left_off
}

fn row(person: u64, day: u64) -> Row {
    let active = is_active(person, day);
    let (r, s) = (hash(person, day, 5), hash(person, day, 7));
    let used = |shift: u32, share: u64| active && (r >> shift) & 127 < share;
    let features = [used(0, 120), used(7, 64), used(14, 51), used(21, 38), used(28, 25)];
    let flags =
        Flag::ALL.into_iter().skip(2).zip(features).fold(Flags::default(), |flags, (flag, on)| flags.with(flag, on));
    let flags = flags.with(Flag::Activated, !person.is_multiple_of(50)).with(Flag::Active, active);
    let count = |on: bool, shift: u32, below: u64| if on { ((s >> shift) & 255) % below } else { 0 };
    let [im, docs, cal, vc, search] = features;
    let limits = [
        (im, 0, 120),
        (docs, 8, 4),
        (cal, 16, 4),
        (vc, 24, 180),
        (vc, 24, 5),
        (cal, 32, 3),
        (active, 40, 10),
        (active, 48, 30),
        (active, 40, 4),
        (active, 48, 9),
        (active, 40, 7),
        (active, 48, 22),
        (search, 56, 8),
        (search, 56, 5),
        (search, 56, 3),
    ];
    let mut counters = [0; Counter::COUNT];
    for (counter, (on, shift, below)) in counters.iter_mut().zip(limits) {
        *counter = count(on, shift, below);
    }
    let number = department(person, day);
    let name = format!("组{}", number % 30);
    let path = format!("总部/部{}/{name}", number / 30);
    Row {
        user_id: Some(format!("ou_{person:06}")),
        user_name: format!("员工 {person}"),
        department: Department { name: name.into(), path: path.into() },
        create_time: None,
        register_time: None,
        last_active_time: None,
        flags,
        counters,
        devices: devices(person, active),
    }
}

fn devices(person: u64, active: bool) -> Devices {
    if !active {
        return Devices::default();
    }
    let os = format!("ios {}", 12 + person % 5);
    Devices {
        clients: vec![Client { os: Some(os.as_str().into()), client: Some("feishu 7.2".into()) }],
        app_packages: vec!["Feishu".into()],
        os_names: vec!["iOS".into()],
    }
}
