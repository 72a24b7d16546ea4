//! Repairs JSON that contains what JSON does not allow: texts that were cut in the middle of a character, and values such
//! as `NaN`. Called for replies and pages that are not parsed in one pass.

use serde::de::IgnoredAny;

/// Replaces each lone surrogate, each unknown escape and each control character in a string by U+FFFD, and puts values that
/// are not JSON into quotes. Valid JSON is unchanged.
#[must_use]
pub fn repair_json(json: &str) -> String {
    let mut repaired = String::with_capacity(json.len());
    let (mut rest, mut in_string) = (json, false);
    while let Some(first) = rest.chars().next() {
        if !in_string && is_bare(first) {
            let (value, after) = rest.split_at(rest.find(|next| !is_bare(next)).unwrap_or(rest.len()));
            push_value(&mut repaired, value);
            rest = after;
            continue;
        }
        let (length, is_valid) = match first {
            '\\' if in_string => escape_length(rest),
            control if in_string && control < ' ' => (1, false),
            other => (other.len_utf8(), true),
        };
        in_string ^= first == '"';
        let (part, after) = rest.split_at(length);
        repaired.push_str(if is_valid { part } else { "\u{fffd}" });
        rest = after;
    }
    repaired
}

/// Whether the character can be part of a number, `true`, `false` or `null`, or of what stands in their place.
const fn is_bare(character: char) -> bool {
    !matches!(character, '{' | '}' | '[' | ']' | ':' | ',' | '"' | ' ' | '\t' | '\n' | '\r')
}

fn push_value(repaired: &mut String, value: &str) {
    if serde_json::from_str::<IgnoredAny>(value).is_ok() {
        repaired.push_str(value);
    } else {
        repaired.push('"');
        let is_plain = |character: char| character.is_ascii_graphic() && character != '\\';
        repaired.extend(value.chars().map(|character| if is_plain(character) { character } else { '\u{fffd}' }));
        repaired.push('"');
    }
}

/// The length of the escape at the start of the text in bytes, and whether JSON allows it. Of an unknown escape, only the
/// backslash counts.
fn escape_length(text: &str) -> (usize, bool) {
    match (text.as_bytes().get(1), utf16_unit(text)) {
        (Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), _) => (2, true),
        (_, Some(0xd800..=0xdbff)) if matches!(utf16_unit(&text[6..]), Some(0xdc00..=0xdfff)) => (12, true),
        (_, Some(0xd800..=0xdfff)) => (6, false),
        (_, Some(_)) => (6, true),
        (_, None) => (1, false),
    }
}

/// The value of the escape `\uXXXX` at the start of the text.
fn utf16_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_leading_surrogate(r#""P \ud83d""#, "P \u{fffd}")]
    #[case::a_trailing_surrogate(r#""\ude00!""#, "\u{fffd}!")]
    #[case::surrogates_in_the_wrong_order(r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}")]
    #[case::a_leading_surrogate_before_a_letter(r#""\ud83d\u0041""#, "\u{fffd}A")]
    #[case::two_leading_surrogates(r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}")]
    #[case::an_escaped_backslash(r#""\\ud83d""#, "\\ud83d")]
    #[case::an_unknown_escape(r#""\x41""#, "\u{fffd}x41")]
    #[case::an_incomplete_escape(r#""\u12""#, "\u{fffd}u12")]
    #[case::an_escape_of_other_characters(r#""\u张三张三""#, "\u{fffd}u张三张三")]
    #[case::a_line_break("\"a\nb\"", "a\u{fffd}b")]
    fn what_json_does_not_allow_is_replaced(#[case] json: &str, #[case] text: &str) {
        assert_eq!(serde_json::from_str::<String>(&repair_json(json)).unwrap(), text);
    }

    #[rstest]
    #[case("NaN", "NaN")]
    #[case("-Infinity", "-Infinity")]
    #[case("01", "01")]
    #[case("tru", "tru")]
    #[case("'x'", "'x'")]
    #[case("a\\b\u{7}", "a\u{fffd}b\u{fffd}")]
    fn a_value_that_is_not_json_becomes_a_text(#[case] value: &str, #[case] text: &str) {
        let json = repair_json(&format!(r#"{{"a":[1, {value}],"b":{value}}}"#));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap(),
            serde_json::json!({ "a": [1, text], "b": text })
        );
    }

    proptest! {
        #[test]
        fn valid_json_is_unchanged(text: String, key: String) {
            let json = serde_json::json!({ key: [text, 1, null, true, -1.5e-7, 1e300] });
            for json in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                prop_assert_eq!(repair_json(&json), json);
            }
        }

        #[test]
        fn a_string_with_any_content_can_be_read(content in "([^\"\\\\]|\\\\[^\"\\\\]|\\\\u[dD][89a-fA-F][0-9a-f]{2}){0,20}") {
            let json = repair_json(&format!("\"{content}\""));
            prop_assert!(serde_json::from_str::<String>(&json).is_ok(), "{}", json);
        }
    }
}
