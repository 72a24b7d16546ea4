//! The keys file: one JSON object a line, a line a key; empty lines and those that begin with `#` are skipped.
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
    caller::{Caller, Scope},
    key::{self, Fingerprint},
};
use crate::table::View;

/// The longest name, in bytes: it travels in every token of the drop-in.
const LONGEST_NAME: usize = 64;

/// The longest department path, in bytes.
const LONGEST_PATH: usize = 512;

/// The longest message about a line that is no JSON, in characters.
const LONGEST_TOLD: usize = 200;

/// A line of the keys file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// The key's name: for logs, and as `app_id` of the drop-in.
    pub name: String,
    /// The SHA-256 of the key, in hexadecimal digits.
    pub sha256: String,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
    /// Only people of these departments, by path, and of those below them are seen. Without it, all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departments: Option<Vec<String>>,
    /// Whether people have pseudonyms and no names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pseudonymous: bool,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub detail: String,
}

/// Who holds which key.
#[derive(Debug, Default)]
pub struct Keys {
    holders: Vec<(Fingerprint, Caller)>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Keys {
    /// Reads a keys file. Pseudonymous keys are only sound where there is a key for pseudonyms.
    ///
    /// # Errors
    /// Everything that is wrong, in every line.
    pub fn parse(text: &str, has_pseudonyms: bool) -> Result<Self, Vec<LineFault>> {
        let (mut keys, mut faults) = (Self::default(), Vec::new());
        let mut seen = HashMap::new();
        for (line, text) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match KeyLine::parse(text).and_then(|key| key.holder(has_pseudonyms)) {
                Ok((fingerprint, caller)) => {
                    let earlier = seen.insert(fingerprint, line).map(|earlier| ("sha256", earlier));
                    let earlier = earlier.or_else(|| Some(("name", keys.line_of(caller.name(), &seen)?)));
                    faults.extend(earlier.map(|(what, earlier)| LineFault {
                        line,
                        detail: format!("has the {what} of line {earlier}"),
                    }));
                    keys.add(fingerprint, caller);
                }
                Err(details) => faults.extend(details.into_iter().map(|detail| LineFault { line, detail })),
            }
        }
        if keys.holders.is_empty() && faults.is_empty() {
            // Half-written files are empty first.
            faults.push(LineFault { line: 0, detail: "there is no key in it".to_owned() });
        }
        if faults.is_empty() { Ok(keys) } else { Err(faults) }
    }

    fn add(&mut self, fingerprint: Fingerprint, caller: Caller) {
        self.by_name.insert(Arc::clone(caller.name()), self.holders.len());
        self.holders.push((fingerprint, caller));
    }

    fn line_of(&self, name: &str, lines: &HashMap<Fingerprint, usize>) -> Option<usize> {
        let (fingerprint, _) = &self.holders[*self.by_name.get(name)?];
        lines.get(fingerprint).copied()
    }

    /// Who holds the key. Looks at every line, so that the time it takes tells nothing of the keys there are.
    #[must_use]
    pub fn holder(&self, key: &str) -> Option<&Caller> {
        let wanted = Fingerprint::of(key);
        let mut found = u64::MAX;
        for (at, (fingerprint, _)) in (0_u64..).zip(&self.holders) {
            found.conditional_assign(&at, fingerprint.ct_eq(&wanted));
        }
        usize::try_from(found).ok().and_then(|at| self.holders.get(at)).map(|(_, caller)| caller)
    }

    /// The caller of that name, and the fingerprint of the key.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<(&Fingerprint, &Caller)> {
        self.by_name.get(name).map(|at| &self.holders[*at]).map(|(fingerprint, caller)| (fingerprint, caller))
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

impl KeyLine {
    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let told = match serde_json::from_str(text) {
            Ok(line) if !text.contains(key::PREFIX) => return Ok(line),
            Ok(_) => String::new(),
            // It may name what stands in the line, however long that is.
            Err(error) => error.to_string().chars().filter(|c| !c.is_control()).take(LONGEST_TOLD).collect(),
        };
        // Not shown: a message about it would end up in a log. In JSON, a key may be written so that only the message has it.
        let is_key = [text, &told].iter().any(|text| text.contains(key::PREFIX));
        let looks_like_a_key = || "holds what looks like a key itself; only its SHA-256 belongs here".to_owned();
        Err(vec![if is_key { looks_like_a_key() } else { format!("is no key: {told}") }])
    }

    /// Whose key it is.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn holder(&self, has_pseudonyms: bool) -> Result<(Fingerprint, Caller), Vec<String>> {
        let fingerprint = Fingerprint::parse(&self.sha256);
        let departments: Option<Vec<Arc<str>>> = self.departments.as_ref().map(|paths| {
            let trimmed = paths.iter().map(|path| path.trim_matches('/'));
            trimmed.map(Arc::from).collect()
        });
        let wrong = [
            (!is_name(&self.name)).then_some("name: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            self.name.starts_with("oidc-").then_some("name: oidc- is for callers of the identity provider"),
            fingerprint.is_none().then_some("sha256: expected 64 hexadecimal digits"),
            self.scopes.is_empty().then_some("scopes: expected at least one of reports:read, users:read, admin"),
            (departments.as_ref().is_some_and(Vec::is_empty))
                .then_some("departments: expected at least one path, or none of it"),
            (departments.iter().flatten().any(|path| !is_path(path)))
                .then_some("departments: expected paths such as 总部/研发, each of 1 to 512 bytes"),
            (departments.is_some() && self.scopes.contains(&Scope::Admin))
                .then_some("scopes: admin concerns all departments, so it cannot be bound to some"),
            (self.pseudonymous && !has_pseudonyms)
                .then_some("pseudonymous: needs PULSE_PSEUDONYM_KEY, which is not set"),
        ];
        let wrong: Vec<String> = wrong.into_iter().flatten().map(str::to_owned).collect();
        match fingerprint {
            Some(fingerprint) if wrong.is_empty() => {
                let view = View::new(departments.as_deref(), self.pseudonymous);
                let scopes = self.scopes.iter().copied().collect();
                Ok((fingerprint, Caller::named(self.name.as_str(), scopes, view)))
            }
            _ => Err(wrong),
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

fn is_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(sound)
}

fn is_path(path: &str) -> bool {
    (1..=LONGEST_PATH).contains(&path.len()) && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn line(name: &str, key: &str) -> KeyLine {
        let sha256 = Fingerprint::of(key).to_string();
        let scopes = vec![Scope::ReportsRead];
        KeyLine { name: name.to_owned(), sha256, scopes, departments: None, pseudonymous: false }
    }

    fn faults(text: &str) -> Vec<String> {
        Keys::parse(text, false).expect_err("faults").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_is_known_by_its_hash() {
        let text = format!("# two keys\n\n{}\n  {}  \n", line("one", "first"), line("two", "second"));
        let keys = Keys::parse(&text, false).unwrap();
        assert_eq!(keys.holder("second").map(|caller| &**caller.name()), Some("two"));
        assert_eq!(keys.holder("third"), None);
        assert_eq!(keys.named("one").map(|(fingerprint, _)| *fingerprint), Some(Fingerprint::of("first")));
    }

    #[test]
    fn every_faulty_line_is_named() {
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
        assert_eq!(faults[2], "line 4: has the name of line 1");
        assert_eq!(faults[3], "line 5: has the sha256 of line 1");
    }

    #[rstest]
    #[case(r#"{"name":"a","sha256":"00","scopes":["reports:read"]}"#, "sha256: expected 64")]
    #[case(r#"{"name":"a","sha256":"","scopes":[]}"#, "scopes: expected at least one")]
    #[case(r#"{"name":"a","sha256":"","scopes":["write"]}"#, "unknown variant `write`")]
    #[case(r#"{"name":"a","sha256":"","scopes":[],"colour":"red"}"#, "unknown field `colour`")]
    #[case(r#"{"name":"a b","sha256":"","scopes":["admin"]}"#, "name: expected")]
    #[case(r#"{"name":"oidc-a","sha256":"","scopes":["admin"]}"#, "identity provider")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":["x"]}"#, "cannot be bound")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":[]}"#, "departments: expected at least one")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"departments":["/"]}"#, "departments: expected paths")]
    #[case(r#"{"name":"a","sha256":"","scopes":["admin"],"pseudonymous":true}"#, "needs PULSE_PSEUDONYM_KEY")]
    #[case("# nothing\n", "there is no key in it")]
    fn a_fault_says_what_was_expected(#[case] text: &str, #[case] told: &str) {
        let faults = faults(text);
        assert!(faults.iter().any(|fault| fault.contains(told)), "{faults:?}");
    }

    #[test]
    fn a_key_that_was_put_into_the_file_is_not_shown() {
        let faults = faults("{\"name\":\"a\",\"sha256\":\"fpk_secret\",\"scopes\":[]}");
        assert!(faults[0].contains("only its SHA-256") && !faults[0].contains("secret"), "{faults:?}");
    }

    #[rstest]
    #[case(r#"{"\u0066pk_secret":1}"#, "only its SHA-256")]
    #[case(r#"{"two\nlines":1}"#, "unknown field `twolines`")]
    #[case(&format!(r#"{{"{}":1}}"#, "long".repeat(100)), "unknown field `long")]
    fn a_message_about_a_line_is_one_short_line_itself(#[case] text: &str, #[case] told: &str) {
        let faults = faults(text);
        assert!(faults[0].contains(told) && !faults[0].contains("secret"), "{faults:?}");
        assert!(faults[0].len() < 300 && !faults[0].contains('\n'), "{faults:?}");
    }

    prop_compose! {
        fn any_line()(
            name in "[A-Za-z0-9._-]{1,20}", key in "[a-z]{8}",
            scopes in proptest::sample::subsequence(vec![Scope::ReportsRead, Scope::UsersRead], 1..=2),
            departments in proptest::option::of(proptest::collection::vec("[^/\\p{C}][^\\p{C}]{0,10}[^/\\p{C}]", 1..4)), pseudonymous: bool,
        ) -> KeyLine {
            let sha256 = Fingerprint::of(&key).to_string();
            KeyLine { name: format!("n{name}"), sha256, scopes, departments, pseudonymous }
        }
    }

    proptest! {
        #[test]
        fn a_line_reads_back_as_it_was_written(line in any_line()) {
            let read = KeyLine::parse(&line.to_string()).unwrap();
            prop_assert_eq!(&read, &line);
            prop_assert!(Keys::parse(&line.to_string(), true).is_ok());
        }

        #[test]
        fn no_text_makes_the_reader_panic_or_is_taken_for_a_key(text in "\\PC{0,80}(\n\\PC{0,80}){0,3}") {
            let faults = Keys::parse(&text, true).expect_err("no key");
            prop_assert!(faults.iter().all(|fault| fault.line <= text.lines().count()));
        }

        #[test]
        fn no_line_with_a_character_lost_is_taken_for_another_key(line in any_line(), at in 0_usize..200) {
            let text = line.to_string();
            let cut: String = text.chars().enumerate().filter(|(place, _)| *place != at).map(|(_, c)| c).collect();
            if let Ok(keys) = Keys::parse(&cut, true) {
                // A name, a path or a space may lose a character; the hash may not.
                let (fingerprint, _) = &keys.holders[0];
                prop_assert_eq!(fingerprint.to_string(), line.sha256);
            }
        }
    }
}
