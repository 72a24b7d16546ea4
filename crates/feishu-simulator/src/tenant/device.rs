//! The fields about devices, in Feishu's notation.

use fastrand::Rng;

use crate::seeded_rng::choose;

/// The fields of a row about devices. All are empty on a day without activity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceFields {
    pub(super) active_os: String,
    pub(super) app_package_type: String,
    pub(super) os_name: String,
}

/// An operating system: its name in `os_name` (Feishu writes "Andorid"), and versions as in `active_os`.
struct OperatingSystem {
    name: &'static str,
    versions: [&'static str; 3],
}

const SYSTEMS: [OperatingSystem; 5] = [
    OperatingSystem { name: "Windows", versions: ["windows 10", "windows 11", "windows 7"] },
    OperatingSystem { name: "iOS", versions: ["ios 14.2", "ios 17.5.1", "ios 18.0"] },
    OperatingSystem { name: "Andorid", versions: ["android 10", "android 13", "android 14"] },
    OperatingSystem { name: "macOS", versions: ["macos 12.6", "macos 14.5", "macos 15.0"] },
    OperatingSystem { name: "Linux", versions: ["linux 5.15", "linux 6.1", "linux 6.8"] },
];
const CLIENTS: [&str; 5] =
    ["feishu 7.20.3", "feishu 7.19.8", "feishu 7.5.0-alpha", "feishu 3.40.0-alpha", "lark 7.20.0"];

/// One to three operating systems, each with a client or the browser.
pub(super) fn random_devices(rng: &mut Rng) -> DeviceFields {
    let mut systems: Vec<&OperatingSystem> = SYSTEMS.iter().collect();
    rng.shuffle(&mut systems);
    systems.truncate(*choose(rng, &[1, 1, 1, 2, 2, 3]));
    let items: Vec<String> = systems.iter().map(|system| active_os_item(rng, system)).collect();
    let names: Vec<&str> = systems.iter().map(|system| system.name).collect();
    DeviceFields { active_os: items.join(","), app_package_type: package_types(&items), os_name: names.join(",") }
}

/// One item of `active_os`, such as `'ios 14.2,feishu 3.40.0-alpha'`. An unknown client is written as `-`.
fn active_os_item(rng: &mut Rng, system: &OperatingSystem) -> String {
    let client = if rng.u8(..5) == 0 { "-" } else { *choose(rng, &CLIENTS) };
    format!("'{},{client}'", choose(rng, &system.versions))
}

fn package_types(items: &[String]) -> String {
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
    fn device_fields_are_written_as_in_the_documentation() {
        let mut rng = Rng::with_seed(1);
        let all: Vec<DeviceFields> = (0..200).map(|_| random_devices(&mut rng)).collect();

        for fields in &all {
            let items = fields.active_os.split("','").count();
            assert_eq!(items, fields.os_name.split(',').count());
            assert!(fields.active_os.starts_with('\'') && fields.active_os.ends_with('\''));
        }
        assert!(all.iter().any(|fields| fields.app_package_type == "Feishu，Lark"));
        assert!(all.iter().any(|fields| fields.os_name.contains("Andorid")));
        assert!(all.iter().any(|fields| fields.active_os.contains(",-'")));
    }
}
