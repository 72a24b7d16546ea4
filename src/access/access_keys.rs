//! The format of the keys file: one JSON object per line and key. Empty lines and lines that begin with `#` are
//! skipped.
//!
//! ```text
//! # dashboards of the whole company
//! {"name":"dashboards","sha256":"9f86d0…","scopes":["reports:read"]}
//! {"name":"rd-leads","sha256":"60303a…","scopes":["users:read"],"departments":["总部/研发"],"pseudonymous":true}
//! ```

use std::{collections::HashMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::{
    access_key::{self, KeyHash},
    caller::{Caller, Scope},
};
use crate::table::AccessView;

/// Maximum length of a key's name, in bytes; the name is part of every drop-in token.
const MAX_NAME_BYTES: usize = 64;

/// Maximum length of a department path, in bytes.
const MAX_DEPARTMENT_PATH_BYTES: usize = 512;

/// Maximum length of a JSON error message, in characters.
const MAX_JSON_ERROR_CHARS: usize = 150;

/// A line of the keys file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// The name of the key: for logs, and as `app_id` of the drop-in.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal digits.
    pub sha256: String,
    /// The scopes of the caller.
    pub scopes: Vec<Scope>,
    /// Paths of the departments that the caller may see, with all below them; `None`: all departments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departments: Option<Vec<String>>,
    /// Whether the caller sees pseudonyms instead of ids and names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pseudonymous: bool,
}

/// A fault in a keys file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// Line number, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// A readable description of the fault.
    pub detail: String,
}

/// The access keys of a keys file, with their callers.
#[derive(Debug, Default)]
pub struct AccessKeys {
    entries: Vec<KeyEntry>,
    by_name: HashMap<Arc<str>, usize>,
}

/// An access key, known by its hash, and its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Hash of the key.
    pub hash: KeyHash,
    /// The caller who presents the key.
    pub caller: Caller,
}

impl AccessKeys {
    /// Parses a keys file. Pseudonymous keys are accepted only if there is a pseudonym key.
    ///
    /// # Errors
    /// All faults of all lines.
    pub fn parse(text: &str, has_pseudonym_key: bool) -> Result<Self, Vec<LineFault>> {
        let (mut keys, mut faults) = (Self::default(), Vec::new());
        let mut lines = HashMap::new();
        for (line, text) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match KeyLine::parse(text).and_then(|key| key.to_entry(has_pseudonym_key)) {
                Ok(entry) => {
                    let earlier = lines.insert(entry.hash, line).map(|earlier| ("sha256", earlier));
                    let earlier = earlier.or_else(|| Some(("name", keys.line_of(entry.caller.name(), &lines)?)));
                    faults.extend(earlier.map(|(field, earlier)| LineFault {
                        line,
                        detail: format!("has the same {field} as line {earlier}"),
                    }));
                    keys.add(entry);
                }
                Err(details) => faults.extend(details.into_iter().map(|detail| LineFault { line, detail })),
            }
        }
        if keys.entries.is_empty() && faults.is_empty() {
            // A file that is being written can be read while it is still empty.
            faults.push(LineFault { line: 0, detail: "the file contains no key".to_owned() });
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }

    fn add(&mut self, entry: KeyEntry) {
        self.by_name.insert(Arc::clone(entry.caller.name()), self.entries.len());
        self.entries.push(entry);
    }

    fn line_of(&self, name: &str, lines: &HashMap<KeyHash, usize>) -> Option<usize> {
        lines.get(&self.entry_named(name)?.hash).copied()
    }

    /// The caller with this key. Compares with every entry in constant time, so the response time reveals nothing about
    /// the stored keys.
    #[must_use]
    pub fn caller_with_key(&self, key: &str) -> Option<&Caller> {
        let hash = KeyHash::of(key);
        let mut found = u64::MAX;
        for (index, entry) in (0_u64..).zip(&self.entries) {
            found.conditional_assign(&index, entry.hash.ct_eq(&hash));
        }
        usize::try_from(found).ok().and_then(|index| self.entries.get(index)).map(|entry| &entry.caller)
    }

    /// The entry of the key with this name.
    #[must_use]
    pub fn entry_named(&self, name: &str) -> Option<&KeyEntry> {
        self.by_name.get(name).map(|index| &self.entries[*index])
    }

    /// The callers of all keys.
    pub fn callers(&self) -> impl Iterator<Item = &Caller> {
        self.entries.iter().map(|entry| &entry.caller)
    }

    /// The number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl KeyLine {
    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let message = match serde_json::from_str(text) {
            Ok(line) if !text.contains(access_key::KEY_PREFIX) => return Ok(line),
            Ok(_) => String::new(),
            // The message can quote the line, which has no maximum length.
            Err(error) => error.to_string().chars().filter(|c| !c.is_control()).take(MAX_JSON_ERROR_CHARS).collect(),
        };
        // The message goes to a log, so it must not contain the key. A key that is written with JSON escapes appears
        // only in the message.
        let is_key = [text, &message].iter().any(|text| text.contains(access_key::KEY_PREFIX));
        Err(vec![if is_key {
            "contains what looks like an access key; only the SHA-256 of a key belongs in the file: put the line there that \
             `feishu-pulse key new` prints after the key, such as \
             {\"name\":\"bi\",\"sha256\":\"…\",\"scopes\":[\"reports:read\"]}"
                .to_owned()
        } else {
            format!(
                "is not a valid key line, as `feishu-pulse key new` prints it ({{\"name\":\"bi\",\"sha256\":\"…\",\
                 \"scopes\":[\"reports:read\"]}}): {message}"
            )
        }])
    }

    /// Checks the line and converts it to an entry.
    ///
    /// # Errors
    /// All faults of the line.
    pub fn to_entry(&self, has_pseudonym_key: bool) -> Result<KeyEntry, Vec<String>> {
        let hash = KeyHash::parse(&self.sha256);
        let departments: Option<Vec<Arc<str>>> = self.departments.as_ref().map(|paths| {
            let trimmed = paths.iter().map(|path| path.trim_matches('/'));
            trimmed.map(Arc::from).collect()
        });
        let faults = [
            (!is_valid_name(&self.name)).then_some("name: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            self.name
                .starts_with("oidc-")
                .then_some("name: the prefix oidc- is reserved for callers of the identity provider"),
            hash.is_none().then_some("sha256: expected 64 hexadecimal digits"),
            self.scopes.is_empty().then_some("scopes: expected at least one of reports:read, users:read, admin"),
            (departments.as_ref().is_some_and(Vec::is_empty))
                .then_some("departments: expected at least one path; omit the field to allow all departments"),
            (departments.iter().flatten().any(|path| !is_valid_path(path)))
                .then_some("departments: expected paths such as 总部/研发, each of 1 to 512 bytes"),
            (departments.is_some() && self.scopes.contains(&Scope::Admin))
                .then_some("scopes: admin applies to all departments, so it cannot be combined with departments"),
            (self.pseudonymous && !has_pseudonym_key)
                .then_some("pseudonymous: requires PULSE_PSEUDONYM_KEY, which is not set"),
        ];
        let faults: Vec<String> = faults.into_iter().flatten().map(str::to_owned).collect();
        match hash {
            Some(hash) if faults.is_empty() => {
                let view = AccessView::new(departments.as_deref(), self.pseudonymous);
                let scopes = self.scopes.iter().copied().collect();
                Ok(KeyEntry { hash, caller: Caller::named(self.name.as_str(), scopes, view) })
            }
            _ => Err(faults),
        }
    }
}

impl fmt::Display for KeyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.detail),
            line => write!(f, "line {line}: {}", self.detail),
        }
    }
}

fn is_valid_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_valid_path(path: &str) -> bool {
    (1..=MAX_DEPARTMENT_PATH_BYTES).contains(&path.len()) && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn line(name: &str, key: &str) -> KeyLine {
        let sha256 = KeyHash::of(key).to_string();
        let scopes = vec![Scope::ReportsRead];
        KeyLine { name: name.to_owned(), sha256, scopes, departments: None, pseudonymous: false }
    }

    fn faults(text: &str) -> Vec<String> {
        AccessKeys::parse(text, false).expect_err("faults").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_is_found_by_its_hash() {
        let text = format!("# two keys\n\n{}\n  {}  \n", line("one", "first"), line("two", "second"));
        let keys = AccessKeys::parse(&text, false).unwrap();
        assert_eq!(keys.caller_with_key("second").map(|caller| &**caller.name()), Some("two"));
        assert_eq!(keys.caller_with_key("third"), None);
        assert_eq!(keys.entry_named("one").map(|entry| entry.hash), Some(KeyHash::of("first")));
    }

    #[test]
    fn every_faulty_line_is_reported() {
        let text = format!(
            "{}\nnonsense\n{}\n{}\n{}",
            line("one", "first"),
            line("", "second"),
            line("one", "third"),
            line("four", "first"),
        );
        let faults = faults(&text);
        let lines: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5"]);
        assert_eq!(faults[2], "line 4: has the same name as line 1");
        assert_eq!(faults[3], "line 5: has the same sha256 as line 1");
    }

    #[rstest]
    #[case(r#"{"name":"a","sha256":"00","scopes":["reports:read"]}"#, "sha256: expected 64")]
    #[case(r#"{"name":"a","sha256":"","scopes":[]}"#, "scopes: expected at least one")]
    #[case(r#"{"name":"a","sha256":"","scopes":["write"]}"#, "unknown variant `write`")]
    #[case(r#"{"name":"a","sha256":"","scopes":[],"colour":"red"}"#, "unknown field `colour`")]
    #[case(r#"{"name":"a b","sha256":"","scopes":["admin"]}"#, "name: expected")]
    #[case(r#"{"name":"oidc-a","sha256":"","scopes":["admin"]}"#, "identity provider")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":["x"]}"#, "cannot be combined")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":[]}"#, "departments: expected at least one")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":["/"]}"#, "departments: expected paths")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"pseudonymous":true}"#, "requires PULSE_PSEUDONYM_KEY")]
    #[case("# nothing\n", "the file contains no key")]
    fn a_fault_describes_what_was_expected(#[case] text: &str, #[case] expected: &str) {
        let faults = faults(text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{faults:?}");
    }

    #[test]
    fn a_plain_key_in_the_file_is_not_repeated_in_the_message() {
        let faults = faults("{\"name\":\"a\",\"sha256\":\"fpk_secret\",\"scopes\":[]}");
        assert!(faults[0].contains("only the SHA-256") && !faults[0].contains("secret"), "{faults:?}");
    }

    #[rstest]
    #[case(r#"{"\u0066pk_secret":1}"#, "only the SHA-256")]
    #[case(r#"{"two\nlines":1}"#, "unknown field `twolines`")]
    #[case(&format!(r#"{{"{}":1}}"#, "long".repeat(100)), "unknown field `long")]
    fn a_message_about_a_line_is_one_short_line(#[case] text: &str, #[case] expected: &str) {
        let faults = faults(text);
        assert!(faults[0].contains(expected) && !faults[0].contains("secret"), "{faults:?}");
        assert!(faults[0].len() < 300 && !faults[0].contains('\n'), "{faults:?}");
    }

    prop_compose! {
        fn any_line()(
            name in "[A-Za-z0-9._-]{1,20}", key in "[a-z]{8}",
            scopes in proptest::sample::subsequence(vec![Scope::ReportsRead, Scope::UsersRead], 1..=2),
            departments in proptest::option::of(proptest::collection::vec("[^/\\p{C}][^\\p{C}]{0,10}[^/\\p{C}]", 1..4)), pseudonymous: bool,
        ) -> KeyLine {
            let sha256 = KeyHash::of(&key).to_string();
            KeyLine { name: format!("n{name}"), sha256, scopes, departments, pseudonymous }
        }
    }

    proptest! {
        #[test]
        fn a_formatted_line_parses_back(line in any_line()) {
            let read = KeyLine::parse(&line.to_string()).unwrap();
            prop_assert_eq!(&read, &line);
            prop_assert!(AccessKeys::parse(&line.to_string(), true).is_ok());
        }

        #[test]
        fn random_text_neither_panics_nor_parses_as_a_key(text in "\\PC{0,80}(\n\\PC{0,80}){0,3}") {
            let faults = AccessKeys::parse(&text, true).expect_err("no key");
            prop_assert!(faults.iter().all(|fault| fault.line <= text.lines().count()));
        }

        #[test]
        fn a_line_that_lost_a_character_never_yields_another_hash(line in any_line(), lost in 0_usize..200) {
            let text = line.to_string();
            let cut: String = text.chars().enumerate().filter(|(index, _)| *index != lost).map(|(_, c)| c).collect();
            if let Ok(keys) = AccessKeys::parse(&cut, true) {
                // A name or a path may lose a character; the hash may not.
                prop_assert_eq!(keys.entries[0].hash.to_string(), line.sha256);
            }
        }
    }
}
