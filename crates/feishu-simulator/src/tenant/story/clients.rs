//! The devices of a person, and the client versions that are released and adopted over time.

use fastrand::Rng;
use jiff::civil::{Date, date};

use super::{
    habits::{BusinessUnit, ComputerShares},
    random::{exponential_days, weighted_index},
};
use crate::{
    seeded_rng::{hash_parts, hash_text, rng_for},
    tenant::{
        activity::{DayNumber, PersonDay},
        device::DeviceFields,
        id_codec::geo_number,
    },
};

const DEVICES: u64 = hash_text("devices");
const DEVICES_OF_DAY: u64 = hash_text("devices of a day");
const UPDATES: u64 = hash_text("updates");
const RELEASES: u64 = hash_text("releases");

/// The day of release 7.0.
const FIRST_RELEASE: Date = date(2023, 9, 4);
const DAYS_BETWEEN_RELEASES: i32 = 28;
/// The longest delay of a release.
const LONGEST_RELEASE_DELAY_DAYS: u64 = 9;
/// A corrected build follows each release after this time.
const DAYS_UNTIL_CORRECTION: i32 = 9;
/// From this day on, some people upgrade their operating system, each on a random day of the period.
const FIRST_UPGRADE: Date = date(2025, 7, 1);
const UPGRADE_PERIOD_DAYS: i32 = 700;
/// No client is more than this number of releases old.
const OLDEST_RELEASES: i32 = 14;

/// An operating system with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientSystem {
    Windows,
    Macos,
    Linux,
    Ios,
    Android,
}

/// The client of a person on one system.
struct InstalledClient {
    system: ClientSystem,
    /// The key of the random numbers of person and system.
    key: u64,
}

/// A version of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ClientVersion {
    /// The number of the release, from 0.
    release: i32,
    is_corrected: bool,
}

/// The devices of a person on an active day: the computer, the phone or both.
pub(super) fn devices(unit: &BusinessUnit, person_day: PersonDay, is_workday: bool) -> DeviceFields {
    let PersonDay { seed, geo, person, day, .. } = person_day;
    let key = hash_parts(&[seed, geo_number(geo), u64::from(person), DEVICES]);
    let mut rng = Rng::with_seed(key);
    let computer = computer(rng.f64(), &unit.computers);
    let phone = if rng.f64() < unit.iphones { ClientSystem::Ios } else { ClientSystem::Android };
    let has_phone = rng.u8(..100) < 90 || computer.is_none();
    let uses_browser = rng.u8(..100) < if computer == Some(ClientSystem::Linux) { 30 } else { 4 };
    let package = match rng.u8(..100) {
        0 => "Lark",
        1 => "Feishu，Lark",
        _ => "Feishu",
    };
    let mut today = person_day.rng(DEVICES_OF_DAY);
    let computer = computer.filter(|_| !has_phone || today.u8(..100) < if is_workday { 93 } else { 22 });
    let phone = Some(phone).filter(|_| has_phone && (computer.is_none() || today.u8(..100) < 74));
    let clients: Vec<InstalledClient> = [computer, phone]
        .into_iter()
        .flatten()
        .map(|system| InstalledClient { system, key: hash_parts(&[key, system as u64]) })
        .collect();
    let brand = if package == "Lark" { "lark" } else { "feishu" };
    let items: Vec<String> = clients
        .iter()
        .map(|client| {
            let is_browser = uses_browser && !client.system.is_mobile();
            let version =
                if is_browser { "-".to_owned() } else { format!("{brand} {}", client.version_on(day).text()) };
            format!("'{},{version}'", client.system_version(day))
        })
        .collect();
    let names: Vec<&str> = clients.iter().map(|client| client.system.name()).collect();
    DeviceFields { active_os: items.join(","), app_package_type: package.to_owned(), os_name: names.join(",") }
}

fn computer(random: f64, shares: &ComputerShares) -> Option<ClientSystem> {
    let ComputerShares { windows, macos, linux } = *shares;
    let none = 1.0 - windows - macos - linux;
    [Some(ClientSystem::Windows), Some(ClientSystem::Macos), Some(ClientSystem::Linux), None]
        [weighted_index(random, [windows, macos, linux, none])]
}

impl ClientSystem {
    /// The name in `os_name`. Feishu writes "Andorid".
    const fn name(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
            Self::Macos => "macOS",
            Self::Linux => "Linux",
            Self::Ios => "iOS",
            Self::Android => "Andorid",
        }
    }

    /// Versions in `active_os`, from the newest to the oldest, with the shares of people.
    const fn versions(self) -> [(&'static str, f64); 4] {
        match self {
            Self::Windows => [("windows 11", 0.66), ("windows 10", 0.31), ("windows 8.1", 0.01), ("windows 7", 0.02)],
            Self::Macos => [("macos 26.1", 0.38), ("macos 15.7", 0.3), ("macos 14.8", 0.24), ("macos 13.7", 0.08)],
            Self::Linux => [("linux 6.8", 0.55), ("linux 6.1", 0.25), ("linux 5.15", 0.16), ("linux 5.4", 0.04)],
            Self::Ios => [("ios 26.1", 0.4), ("ios 18.7.2", 0.34), ("ios 18.3.1", 0.2), ("ios 16.7.12", 0.06)],
            Self::Android => [("android 16", 0.24), ("android 15", 0.36), ("android 14", 0.27), ("android 12", 0.13)],
        }
    }

    const fn is_mobile(self) -> bool {
        matches!(self, Self::Ios | Self::Android)
    }

    /// Days from a release to its release for this system. Stores review clients for phones.
    const fn release_delay_days(self) -> i32 {
        match self {
            Self::Windows | Self::Macos => 0,
            Self::Ios => 3,
            Self::Android => 2,
            Self::Linux => 6,
        }
    }
}

impl InstalledClient {
    /// The version of the operating system. Some people install the next one on a random day.
    fn system_version(&self, day: DayNumber) -> &'static str {
        let versions = self.system.versions();
        let mut rng = Rng::with_seed(hash_parts(&[self.key, hash_text("system")]));
        let index = weighted_index(rng.f64(), versions.map(|(_, share)| share));
        let has_upgraded =
            rng.u8(..100) < 40 && day.since(DayNumber::of(FIRST_UPGRADE)) > rng.i32(0..UPGRADE_PERIOD_DAYS);
        versions[index.saturating_sub(usize::from(has_upgraded))].0
    }

    /// The version on a day: the newest one whose update was installed by then.
    fn version_on(&self, day: DayNumber) -> ClientVersion {
        let delay = self.system.release_delay_days();
        let days_since = |release| day.since(release_day(release)) - delay;
        let newest = (0..=(day.since(DayNumber::of(FIRST_RELEASE)) / DAYS_BETWEEN_RELEASES + 1).max(0))
            .rev()
            .find(|release| days_since(*release) >= 0)
            .unwrap_or(0);
        let oldest = (newest - OLDEST_RELEASES).max(0);
        (oldest..=newest)
            .rev()
            .find_map(|release| {
                let age = days_since(release) - self.update_delay_days(release);
                (age >= 0).then_some(ClientVersion { release, is_corrected: age >= DAYS_UNTIL_CORRECTION })
            })
            .unwrap_or(ClientVersion { release: oldest, is_corrected: true })
    }

    /// Days from a release to its installation. Most clients update themselves; some people update rarely.
    fn update_delay_days(&self, release: i32) -> i32 {
        let habit = Rng::with_seed(hash_parts(&[self.key, UPDATES])).u8(..100);
        let mut rng = rng_for(&[self.key, UPDATES, u64::from(release.unsigned_abs())]);
        match habit {
            0..60 => exponential_days(&mut rng, 4.0),
            60..87 => exponential_days(&mut rng, 14.0),
            87..97 => 5 + exponential_days(&mut rng, 32.0),
            _ => 120 + rng.i32(0..200),
        }
    }
}

impl ClientVersion {
    fn text(self) -> String {
        let first_build = 3 + hash_parts(&[RELEASES, u64::from(self.release.unsigned_abs())]) % 6;
        let build = first_build + if self.is_corrected { 2 } else { 0 };
        format!("7.{}.{build}", self.release)
    }
}

/// The day of a release: every 28 days, a few days late.
fn release_day(release: i32) -> DayNumber {
    let late = hash_parts(&[RELEASES, u64::from(release.unsigned_abs()), 1]) % (LONGEST_RELEASE_DELAY_DAYS + 1);
    let late = i32::try_from(late).unwrap_or(0);
    DayNumber::of(FIRST_RELEASE).minus_days(-(release * DAYS_BETWEEN_RELEASES + late))
}
