//! A company made by a formula: 300 departments, and 100,000 people over the 365 days up to 2026-10-31 unless
//! `PULSE_BENCH_PEOPLE` and `PULSE_BENCH_DAYS` (60 to 365) say otherwise. `rivals.py` holds the same formula.

use std::sync::Arc;

use async_trait::async_trait;
use feishu_pulse::{
    model::{Clock, Day, DayKey, DayRange, Geo, Scope, UserIdType},
    source::{DaySource, Forecast, LoadContext, LoadError},
    table::{Client, Counter, Department, Devices, Directory, Flag, Flags, Partition, PartitionBuilder, Row},
};
use tokio::sync::Semaphore;

const DEPARTMENTS: u64 = 300;

/// Makes days where the gateway would ask Feishu.
pub(crate) struct Company {
    clock: Arc<dyn Clock>,
    directory: Arc<Directory>,
    /// Days that are made at once.
    hands: Semaphore,
}

pub(crate) fn people() -> u32 {
    number("PULSE_BENCH_PEOPLE").unwrap_or(100_000)
}

/// Those that are made. All but the last month must be long enough for a month that trails.
pub(crate) fn days() -> DayRange {
    let length = number("PULSE_BENCH_DAYS").unwrap_or(365);
    assert!((60..=365).contains(&length), "PULSE_BENCH_DAYS is 60 to 365");
    DayRange::ending(day("2026-10-31"), u16::try_from(length).expect("a short range"))
}

pub(crate) fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok().map(|number| number.parse().expect("a number"))
}

fn day(text: &str) -> Day {
    text.parse().expect("a day")
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
            let is_made = days().contains(key.day);
            // The formula counts from there, however many days there are.
            let at = key.day.since(day("2025-11-01"));
            let mut builder = PartitionBuilder::new(key, directory);
            if let Some(at) = u64::try_from(at).ok().filter(|_| is_made) {
                (0..people()).for_each(|person| builder.push(&row(person.into(), at)));
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
