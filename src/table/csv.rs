//! CSV as RFC 4180 has it, safe to open in a spreadsheet.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return, and names are written by
//! whoever bears them. Such texts get an apostrophe in front, which spreadsheets take for "this is text". Numbers are
//! not touched.

use std::io::Write as _;

use super::cell::{Cell, Record};

/// Marks a file as UTF-8 for spreadsheets that would not think of it themselves.
pub const BOM: &[u8] = "\u{feff}".as_bytes();

/// Ends a line.
pub const END: &[u8] = b"\r\n";

/// Writes the line of column names.
pub fn push_header<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    push_line(out, names.into_iter().map(Cell::Text));
}

/// Writes an item as a line.
pub fn push_record(out: &mut Vec<u8>, record: &impl Record) {
    push_line(out, record.cells());
}

fn push_line<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = Cell<'a>>) {
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_cell(out, cell);
    }
    out.extend_from_slice(END);
}

fn push_cell(out: &mut Vec<u8>, cell: Cell<'_>) {
    // Writing to memory does not fail.
    let _ = match cell {
        Cell::Empty => Ok(()),
        Cell::Text(text) => {
            push_text(out, text);
            Ok(())
        }
        Cell::Day(day) => write!(out, "{day}"),
        Cell::Count(count) => write!(out, "{count}"),
        Cell::Number(number) => write!(out, "{number}"),
    };
}

/// Whether a spreadsheet would run the text. Apostrophes in front make no difference, so that one can be taken away
/// again without doubt.
fn runs(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Writes a text: defused, and in quotes where it needs them.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    let quoted = text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if quoted {
        out.push(b'"');
    }
    if runs(text) {
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
    fn a_text_is_written_so_that_no_reader_mistakes_it(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(written(text), expected);
    }

    proptest! {
        #[test]
        fn every_text_survives_the_round_trip(texts in proptest::collection::vec("[\\PC,\"\r\n\t=@+-]{0,12}", 1..6)) {
            let mut out = Vec::new();
            push_header(&mut out, texts.iter().map(String::as_str));

            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*out);
            let read: csv::StringRecord = reader.records().next().unwrap_or(Ok(csv::StringRecord::from(vec![""]))).unwrap();

            let plain = |cell: &str| {
                cell.strip_prefix('\'').filter(|rest| runs(rest)).unwrap_or(cell).to_owned()
            };
            prop_assert_eq!(read.iter().map(plain).collect::<Vec<_>>(), texts);
        }
    }
}
