//! The keys file: any text is keys, or every faulty line of it is named.

#![no_main]

use feishu_pulse::access::Keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for has_pseudonyms in [false, true] {
        if let Err(faults) = Keys::parse(text, has_pseudonyms) {
            assert!(!faults.is_empty());
        }
    }
});
