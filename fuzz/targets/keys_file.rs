//! The keys file: any text is keys, every one of which is let in as its line says, or every faulty line of it is named.

#![no_main]

use feishu_pulse::access::{Fingerprint, KeyLine, Keys, Scope};
use libfuzzer_sys::fuzz_target;

/// What access keys begin with: what looks like one must not be told to a log.
const PREFIX: &str = "fpk_";

fuzz_target!(|text: &str| {
    let [without, with] = [false, true].map(|has_pseudonyms| Keys::parse(text, has_pseudonyms));
    assert!(without.is_err() || with.is_ok(), "a key for pseudonyms makes no line faulty");
    for read in [without, with] {
        match read {
            Ok(keys) => follow(text, &keys),
            Err(faults) => {
                assert!(!faults.is_empty());
                for fault in faults {
                    assert!(fault.line <= text.lines().count(), "there is no line {}", fault.line);
                    let told = fault.to_string();
                    assert!(!told.is_empty() && told.lines().count() == 1, "{told:?} is not one line of a log");
                    assert!(!told.contains(PREFIX), "{told:?} may tell a key");
                }
            }
        }
    }
});

/// Every line is a key, and its holder may do what the line says and nothing more.
fn follow(text: &str, keys: &Keys) {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines.len(), keys.len());
    assert!(keys.holder("fpk_that-nobody-has").is_none());
    for line in lines {
        let line: KeyLine = serde_json::from_str(line).expect("what was accepted is JSON");
        let (fingerprint, caller) = keys.named(&line.name).expect("who was accepted is known");
        assert_eq!(Fingerprint::parse(&line.sha256), Some(*fingerprint));
        for scope in Scope::ALL {
            let is_included = scope == Scope::ReportsRead && line.scopes.contains(&Scope::UsersRead);
            assert_eq!(caller.may(scope), line.scopes.contains(&scope) || is_included);
        }
        assert_eq!(caller.view().is_bound(), line.departments.is_some());
        assert!(!caller.may(Scope::Admin) || !caller.view().is_bound(), "admin concerns all departments");
        let written = Keys::parse(&line.to_string(), true).expect("a line reads back as it was written");
        assert_eq!(written.named(&line.name), Some((fingerprint, caller)));
    }
}
