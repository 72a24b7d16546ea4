//! NDJSON: one JSON object per line.
//!
//! JSON allows U+2028, U+2029 and U+0085 in strings, but many readers take them for line ends (`str.splitlines` of Python,
//! JavaScript before ES2019), which breaks an object into two lines. These characters are escaped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Appends a value without a line end.
pub fn push_value(out: &mut Vec<u8>, value: &impl Serialize) {
    // Neither writing to memory fails, nor values whose keys are texts.
    let _ = value.serialize(&mut Serializer::with_formatter(out, EscapeLineSeparators));
}

/// Appends a value as a line.
pub fn push_line(out: &mut Vec<u8>, value: &impl Serialize) {
    push_value(out, value);
    out.push(b'\n');
}

/// Characters that readers take for line ends although JSON does not require to escape them. `serde_json` escapes the others.
const LINE_SEPARATORS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Writes compact JSON with escaped line separators.
#[derive(Clone, Copy, Debug)]
struct EscapeLineSeparators;

impl Formatter for EscapeLineSeparators {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(index) = rest.find(LINE_SEPARATORS) {
            let (before, from) = rest.split_at(index);
            let mut chars = from.chars();
            CompactFormatter.write_string_fragment(writer, before)?;
            if let Some(separator) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(separator))?;
            }
            rest = chars.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_separators_are_escaped() {
        let mut out = Vec::new();
        push_line(&mut out, &"张\u{2028}三\u{2029}\u{85}\n");
        assert_eq!(String::from_utf8(out).unwrap(), "\"张\\u2028三\\u2029\\u0085\\n\"\n");
    }

    proptest! {
        #[test]
        fn every_text_is_one_line_and_is_restored(text in "[\\PC\u{85}\u{2028}\u{2029}\n]{0,12}") {
            let mut out = Vec::new();
            push_value(&mut out, &text);
            let written = std::str::from_utf8(&out).unwrap();
            prop_assert!(!written.contains(LINE_SEPARATORS) && !written.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(written).unwrap(), text);
        }
    }
}
