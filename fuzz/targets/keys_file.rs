//! Fuzzes the keys file: a text must be rejected with an error for each invalid line, or each key must have the rights
//! of its line.

#![no_main]

use feishu_pulse::access::{AccessKeys, KeyHash, KeyLine, Scope};
use libfuzzer_sys::fuzz_target;

/// The prefix of access keys. Texts with it must not be logged.
const KEY_PREFIX: &str = "fpk_";

fuzz_target!(|text: &str| {
    let [without, with] = [false, true].map(|has_pseudonyms| AccessKeys::parse(text, has_pseudonyms));
    assert!(without.is_err() || with.is_ok(), "with a pseudonym key, no additional line is invalid");
    for read in [without, with] {
        match read {
            Ok(keys) => check_keys(text, &keys),
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    assert!(fault.line <= text.lines().count(), "there is no line {}", fault.line);
                    let text = fault.to_string();
                    assert!(!text.is_empty() && text.lines().count() == 1, "{text:?} is not one log line");
                    assert!(!text.contains(KEY_PREFIX), "{text:?} may contain a key");
                }
            }
        }
    }
});

/// Checks that each line has become a key with exactly the rights of the line.
fn check_keys(text: &str, keys: &AccessKeys) {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines.len(), keys.len());
    assert!(keys.caller_with_key("fpk_that-nobody-has").is_none());
    for line in lines {
        let line: KeyLine = serde_json::from_str(line).expect("an accepted line is JSON");
        let entry = keys.entry_named(&line.name).expect("an accepted key is found by its name");
        assert_eq!(KeyHash::parse(&line.sha256), Some(entry.hash));
        let caller = &entry.caller;
        for scope in Scope::ALL {
            let is_included = scope == Scope::ReportsRead && line.scopes.contains(&Scope::UsersRead);
            assert_eq!(caller.has_scope(scope), line.scopes.contains(&scope) || is_included);
        }
        assert_eq!(caller.view().is_department_restricted(), line.departments.is_some());
        assert!(
            !caller.has_scope(Scope::Admin) || !caller.view().is_department_restricted(),
            "the scope admin requires access to all departments"
        );
        let written = AccessKeys::parse(&line.to_string(), true).expect("a written line is valid");
        assert_eq!(written.entry_named(&line.name), Some(entry));
    }
}
