//! Versions of Feishu clients: names and versions in Feishu's texts, and which versions are the newest and outdated.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// A version is the newest only if at least one in this number of the system's users has it.
const NEWEST_ONE_IN: u64 = 100;

/// A client in one version on one system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientVersion {
    /// The operating system without its version, such as `ios`; `None` if Feishu does not name it.
    pub system: Option<Arc<str>>,
    /// The client without its version, such as `feishu`.
    pub client: Arc<str>,
    /// The version, such as `7.20.3`; `None` if Feishu names none.
    pub version: Option<Arc<str>>,
}

/// The users of a client in one version on one system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionUsage {
    /// The client, its version and the system.
    pub version: ClientVersion,
    /// Distinct people who used it. `None` if unknown.
    pub users: Option<u64>,
    /// Distinct people who used the system, with any client or none. `None` if unknown.
    pub system_users: Option<u64>,
}

/// Whether a version is the newest of its client on its system, and whether it is outdated. `None`: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionAge {
    /// The highest version that is not a pre-release and that at least 1 % of the system's users have.
    pub is_newest: Option<bool>,
    /// Its major and minor number are lower than those of the newest version.
    pub is_outdated: Option<bool>,
}

/// Splits a text such as `mac os x 10.15` into the name and the version. The version begins with the first word that
/// begins with a digit, with or without a `v` before it; the first word of the text always belongs to the name.
#[must_use]
pub fn split_version(text: &str) -> (Arc<str>, Option<Arc<str>>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_version =
        |word: &&str| word.strip_prefix(['v', 'V']).unwrap_or(word).starts_with(|c: char| c.is_ascii_digit());
    let end = words.iter().skip(1).position(is_version).map_or(words.len(), |position| position + 1);
    let (name, version) = words.split_at(end);
    (name.join(" ").into(), (!version.is_empty()).then(|| version.join(" ").into()))
}

/// The age of each version, in the same order.
#[must_use]
pub fn ages(versions: &[VersionUsage]) -> Vec<VersionAge> {
    let mut newest: BTreeMap<_, Option<VersionNumber>> = BTreeMap::new();
    for usage in versions {
        let newest = newest.entry(client_of(usage)).or_default();
        let number = usage.version.version.as_deref().and_then(VersionNumber::parse_release);
        *newest = newest.take().max(number.filter(|_| usage.is_widespread()));
    }
    let age = |usage: &VersionUsage| {
        if usage.users.is_none() {
            return VersionAge::default();
        }
        let newest = newest.get(&client_of(usage)).and_then(Option::as_ref);
        let text = usage.version.version.as_deref();
        let is_newest = newest.is_some() && text.and_then(VersionNumber::parse_release).as_ref() == newest;
        let is_outdated = newest.zip(text.and_then(VersionNumber::parse_start));
        VersionAge {
            is_newest: Some(is_newest),
            is_outdated: is_outdated.map(|(newest, own)| own.major_and_minor() < newest.major_and_minor()),
        }
    };
    versions.iter().map(age).collect()
}

fn client_of(usage: &VersionUsage) -> (Option<&str>, &str) {
    (usage.version.system.as_deref(), &usage.version.client)
}

impl VersionUsage {
    /// Whether enough of the system's users have the version, so that it is not the trial of a few people.
    fn is_widespread(&self) -> bool {
        let counts = self.users.zip(self.system_users);
        counts.is_some_and(|(users, all)| users > 0 && users.saturating_mul(NEWEST_ONE_IN) >= all)
    }
}

/// The numbers of a version. Missing numbers are 0, so `7.1` equals `7.1.0`.
#[derive(Clone, Debug)]
struct VersionNumber(Vec<u64>);

impl VersionNumber {
    /// The numbers of a version that consists of them only. A text such as `7.5.0-alpha` is a pre-release or not readable.
    fn parse_release(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        text.split('.').map(parse_number).collect::<Option<_>>().map(Self)
    }

    /// The numbers at the start of any version; `None` if it has none.
    fn parse_start(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let numbers: Vec<u64> = text[..end].split('.').map_while(parse_number).collect();
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    fn number(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    fn major_and_minor(&self) -> (u64, u64) {
        (self.number(0), self.number(1))
    }
}

impl Ord for VersionNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        (0..length)
            .map(|index| self.number(index).cmp(&other.number(index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for VersionNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for VersionNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for VersionNumber {}

/// A number without a sign.
fn parse_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("ios 14.2", "ios", Some("14.2"))]
    #[case("mac os x  10.15", "mac os x", Some("10.15"))]
    #[case("windows 11 home", "windows", Some("11 home"))]
    #[case("feishu 3.40.0-alpha", "feishu", Some("3.40.0-alpha"))]
    #[case("feishu V7.1", "feishu", Some("V7.1"))]
    #[case("harmony os", "harmony os", None)]
    #[case("7.1.2", "7.1.2", None)]
    #[case("", "", None)]
    fn a_text_is_split_into_name_and_version(#[case] text: &str, #[case] name: &str, #[case] version: Option<&str>) {
        let (found, found_version) = split_version(text);
        assert_eq!((&*found, found_version.as_deref()), (name, version));
    }

    fn usage(version: &str, users: u64) -> VersionUsage {
        let version = (!version.is_empty()).then(|| version.into());
        let version = ClientVersion { system: Some("ios".into()), client: "feishu".into(), version };
        VersionUsage { version, users: Some(users), system_users: Some(1000) }
    }

    /// Each version with its users, and whether it is the newest and outdated.
    #[rstest]
    #[case(&[("7.20.3", 600, true, Some(false)), ("7.19.8", 300, false, Some(true))])]
    // Numbers are compared as numbers, not as text.
    #[case(&[("7.9", 500, false, Some(true)), ("7.10", 500, true, Some(false))])]
    // Fewer than 1 % of the system's users have 8.0.
    #[case(&[("8.0", 9, false, Some(false)), ("7.20", 10, true, Some(false))])]
    // Another patch is not outdated.
    #[case(&[("7.20.1", 500, false, Some(false)), ("7.20.3", 400, true, Some(false))])]
    #[case(&[("8.0.0-beta", 900, false, Some(false)), ("7.20", 10, true, Some(false)), ("3.40.0-alpha", 50, false, Some(true))])]
    #[case(&[("beta", 900, false, None), ("", 500, false, None), ("7", 10, true, Some(false)), ("v6.9 rc", 10, false, Some(true))])]
    #[case(&[("7.1", 100, true, Some(false)), ("7.1.0", 100, true, Some(false))])]
    #[case(&[("3.40.0-alpha", 900, false, None)])]
    #[case(&[("99999999999999999999.1", 900, false, None), ("1.0", 100, true, Some(false))])]
    fn the_newest_version_and_outdated_ones_are_found(#[case] versions: &[(&str, u64, bool, Option<bool>)]) {
        let usages: Vec<VersionUsage> = versions.iter().map(|(version, users, ..)| usage(version, *users)).collect();
        for (age, (version, _, is_newest, is_outdated)) in ages(&usages).into_iter().zip(versions) {
            assert_eq!(age, VersionAge { is_newest: Some(*is_newest), is_outdated: *is_outdated }, "{version}");
        }
    }

    #[test]
    fn versions_of_other_clients_and_systems_are_not_compared() {
        let mut usages = [usage("7.20", 500), usage("9.0", 500), usage("8.0", 500)];
        usages[1].version.client = "lark".into();
        usages[2].version.system = None;
        assert!(ages(&usages).iter().all(|age| age.is_newest == Some(true) && age.is_outdated == Some(false)));
    }

    #[test]
    fn nothing_is_said_about_versions_with_an_unknown_number_of_users() {
        let unknown = VersionUsage { users: None, system_users: None, ..usage("7.20", 0) };
        assert_eq!(ages(&[unknown]), [VersionAge::default()]);
    }

    proptest! {
        #[test]
        fn any_text_is_split_and_compared(texts in proptest::collection::vec("\\PC{0,12}|[vV]?[0-9]{1,3}(\\.[0-9]{1,22}){0,3}[-a ]?", 0..6)) {
            let usages: Vec<VersionUsage> = texts.iter().map(|text| usage(text, 100)).collect();
            for (age, text) in ages(&usages).into_iter().zip(&texts) {
                prop_assert!(!(age.is_newest == Some(true) && age.is_outdated != Some(false)), "{text}");
            }
            for text in texts {
                let (name, version) = split_version(&text);
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                let joined = format!("{name} {}", version.as_deref().unwrap_or_default());
                prop_assert_eq!(words(&joined), words(&text));
            }
        }
    }
}
