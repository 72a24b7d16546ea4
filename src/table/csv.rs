//! CSV according to RFC 4180, protected against formula injection.
//!
//! A spreadsheet evaluates a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return as a formula, and
//! people can choose their names. Such texts are prefixed with an apostrophe, so that a spreadsheet treats them as
//! text. Numbers are not changed.

use std::io::Write as _;

use super::cell::{Cell, Record};

/// The byte order mark. Some spreadsheets read a file as UTF-8 only if it begins with this mark.
pub const UTF8_BOM: &[u8] = "\u{feff}".as_bytes();

/// The end of a line.
pub const LINE_END: &[u8] = b"\r\n";

/// Appends the header line.
pub fn push_header<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    push_line(out, names.into_iter().map(Cell::Text));
}

/// Appends a record as a line.
pub fn push_record(out: &mut Vec<u8>, record: &impl Record) {
    push_line(out, record.cells());
}

fn push_line<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = Cell<'a>>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_cell(out, cell);
    }
    out.extend_from_slice(LINE_END);
}

/// Appends a cell.
pub fn push_cell(out: &mut Vec<u8>, cell: Cell<'_>) {
    // Writing to memory does not fail.
    let _ = match cell {
        Cell::Empty => Ok(()),
        Cell::Text(text) => {
            push_text(out, text);
            Ok(())
        }
        Cell::Day(day) => write!(out, "{day}"),
        Cell::Instant(instant, geo) => out.write_all(geo.rfc3339(instant).as_bytes()),
        Cell::Count(count) => write!(out, "{count}"),
        Cell::Number(number) => write!(out, "{number}"),
        Cell::Flag(flag) => write!(out, "{flag}"),
    };
}

/// Whether the text is treated as a formula. Leading apostrophes are ignored, so that a reader can remove the added
/// apostrophe unambiguously.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Appends a text, with an apostrophe if it is a formula and in quotes if it contains special characters.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    let quoted = text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if quoted {
        out.push(b'"');
    }
    if is_formula(text) {
        out.push(b'\'');
    }
    if quoted {
        for byte in text.bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        push_text(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[rstest]
    #[case("张三", "张三")]
    #[case("Smith, John", "\"Smith, John\"")]
    #[case("the \"boss\"", "\"the \"\"boss\"\"\"")]
    #[case("two\nlines", "\"two\nlines\"")]
    #[case("=1+1", "'=1+1")]
    #[case("@a,b", "\"'@a,b\"")]
    #[case("-", "'-")]
    #[case("'=", "''=")]
    #[case("'s", "'s")]
    #[case("محمد 🎉", "محمد 🎉")]
    fn a_text_is_quoted_and_protected_against_formulas(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(written(text), expected);
    }

    proptest! {
        #[test]
        fn every_text_is_restored_by_a_csv_reader(
            texts in proptest::collection::vec("[\\PC,\"\r\n\t=@+-]{0,12}", 1..6),
        ) {
            let mut out = Vec::new();
            push_header(&mut out, texts.iter().map(String::as_str));

            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*out);
            let record = reader.records().next().unwrap_or(Ok(csv::StringRecord::from(vec![""]))).unwrap();

            let without_apostrophe = |cell: &str| {
                cell.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(cell).to_owned()
            };
            prop_assert_eq!(record.iter().map(without_apostrophe).collect::<Vec<_>>(), texts);
        }
    }
}
