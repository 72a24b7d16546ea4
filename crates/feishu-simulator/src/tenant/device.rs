//! The devices a person used, in upstream's own notations.

use fastrand::Rng;

use crate::sim::chance::pick;

/// What a row says about devices; all empty for somebody who used none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Devices {
    pub(super) active_os: String,
    pub(super) app_package_type: String,
    pub(super) os_name: String,
}

/// An operating system: its name as upstream spells it, and the versions seen.
struct System {
    name: &'static str,
    versions: [&'static str; 3],
}

const SYSTEMS: [System; 5] = [
    System { name: "Windows", versions: ["windows 10", "windows 11", "windows 7"] },
    System { name: "iOS", versions: ["ios 14.2", "ios 17.5.1", "ios 18.0"] },
    System { name: "Andorid", versions: ["android 10", "android 13", "android 14"] },
    System { name: "macOS", versions: ["macos 12.6", "macos 14.5", "macos 15.0"] },
    System { name: "Linux", versions: ["linux 5.15", "linux 6.1", "linux 6.8"] },
];
const CLIENTS: [&str; 5] =
    ["feishu 7.20.3", "feishu 7.19.8", "feishu 7.5.0-alpha", "feishu 3.40.0-alpha", "lark 7.20.0"];

/// The devices of an active day: one to three systems, each with a client or the browser.
pub(super) fn devices(rng: &mut Rng) -> Devices {
    let mut systems: Vec<&System> = SYSTEMS.iter().collect();
    rng.shuffle(&mut systems);
    systems.truncate(*pick(rng, &[1, 1, 1, 2, 2, 3]));
    let items: Vec<String> = systems.iter().map(|system| item(rng, system)).collect();
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    Devices { active_os: items.join(","), app_package_type: packages(&items), os_name: names.join(",") }
}

/// `'ios 14.2,feishu 3.40.0-alpha'`, or with `-` for a version nobody knows.
fn item(rng: &mut Rng, system: &System) -> String {
    let client = if rng.u8(..5) == 0 { "-" } else { *pick(rng, &CLIENTS) };
    format!("'{},{client}'", pick(rng, &system.versions))
}

fn packages(items: &[String]) -> String {
    let uses = |client: &str| items.iter().any(|item| item.contains(client));
    match (uses(",feishu"), uses(",lark")) {
        (true, true) => "Feishu，Lark".to_owned(),
        (false, true) => "Lark".to_owned(),
        (true | false, false) => "Feishu".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_in_upstreams_samples() {
        let mut rng = Rng::with_seed(1);
        let seen: Vec<Devices> = (0..200).map(|_| devices(&mut rng)).collect();

        for one in &seen {
            let items = one.active_os.split("','").count();
            assert_eq!(items, one.os_name.split(',').count());
            assert!(one.active_os.starts_with('\'') && one.active_os.ends_with('\''));
        }
        assert!(seen.iter().any(|one| one.app_package_type == "Feishu，Lark"));
        assert!(seen.iter().any(|one| one.os_name.contains("Andorid")));
        assert!(seen.iter().any(|one| one.active_os.contains(",-'")));
    }
}
