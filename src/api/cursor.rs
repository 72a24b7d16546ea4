//! Where a page ended: opaque to callers, bound to the question and to the version of the day it stands in.

use std::sync::Arc;

use axum::http::Uri;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    model::{Day, Geo},
    table::Partition,
};

/// The place of the next row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The day the row is of.
    pub day: Day,
    /// The geo the row is of.
    pub geo: Geo,
    /// The row's place among the rows of the day, selected or not.
    pub row: usize,
    /// The content hash of that day, in part.
    pub version: [u8; 4],
    /// What the question was, see [`question`].
    pub question: [u8; 8],
}

/// The place of the next item of a sorted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// How many items come before it.
    pub skip: usize,
    /// The version of the data that was sorted.
    pub version: [u8; 8],
    /// What the question was, see [`question`].
    pub question: [u8; 8],
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of this service")]
pub struct ParseCursorError;

/// Tells one question from another: by its path and parameters, but for those that change from page to page.
#[must_use]
pub fn question(uri: &Uri) -> [u8; 8] {
    let mut pairs: Vec<&str> = kept_pairs(uri).filter(|pair| !pair.starts_with("limit=")).collect();
    pairs.sort_unstable();
    let digest = Sha256::digest(format!("{}?{}", uri.path(), pairs.join("&")));
    std::array::from_fn(|byte| digest[byte])
}

/// The address of the next page.
#[must_use]
pub fn next_link(uri: &Uri, cursor: &str) -> String {
    let pairs: Vec<&str> = kept_pairs(uri).collect();
    format!("<{}?{}&cursor={cursor}>; rel=\"next\"", uri.path(), pairs.join("&"))
}

fn kept_pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
}

impl Cursor {
    /// The cursor of a row of `day`.
    #[must_use]
    pub fn at(day: &Partition, row: usize, question: [u8; 8]) -> Self {
        let key = day.key();
        Self { day: key.day, geo: key.geo, row, version: version(day), question }
    }

    /// Which of `days` the row is in; `None` where its day is not there, or has changed since.
    #[must_use]
    pub fn find(&self, days: &[Arc<Partition>]) -> Option<usize> {
        let is_there = |day: &Arc<Partition>| day.key().day == self.day && day.key().geo == self.geo;
        days.iter().position(is_there).filter(|at| version(&days[*at]) == self.version)
    }

    /// The cursor as callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        let [a, b, c, d] = self.version;
        let place = format!("{}.{}.{}.{:08x}.", self.day, self.geo, self.row, u32::from_be_bytes([a, b, c, d]));
        URL_SAFE_NO_PAD.encode([place.as_bytes(), &self.question].concat())
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// Where it is none.
    pub fn decode(text: &str) -> Result<Self, ParseCursorError> {
        Self::read(text).ok_or(ParseCursorError)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (place, question) = bytes.split_last_chunk::<8>()?;
        let mut parts = std::str::from_utf8(place).ok()?.split('.');
        let mut part = || parts.next();
        Some(Self {
            day: part()?.parse().ok()?,
            geo: part()?.parse().ok()?,
            row: part()?.parse().ok()?,
            version: u32::from_str_radix(part()?, 16).ok()?.to_be_bytes(),
            question: *question,
        })
    }
}

impl Offset {
    /// The cursor as callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([(self.skip as u64).to_be_bytes(), self.version, self.question].concat())
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// Where it is none.
    pub fn decode(text: &str) -> Result<Self, ParseCursorError> {
        Self::read(text).ok_or(ParseCursorError)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (skip, rest) = bytes.split_first_chunk::<8>()?;
        let (version, question) = rest.split_first_chunk::<8>()?;
        let skip = usize::try_from(u64::from_be_bytes(*skip)).ok()?;
        Some(Self { skip, version: *version, question: question.try_into().ok()? })
    }
}

/// The part of a day's content hash that cursors carry.
fn version(day: &Partition) -> [u8; 4] {
    let [a, b, c, d, ..] = *day.hash();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_as_written(row: usize, version: [u8; 4], question: [u8; 8], offset in -5000..5000_i32) {
            let day = Day::new(2026, 11, 1).unwrap().plus(offset);
            let cursor = Cursor { day, geo: Geo::Sg, row, version, question };
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn an_offset_reads_back_as_written(skip: usize, version: [u8; 8], question: [u8; 8]) {
            let offset = Offset { skip, version, question };
            prop_assert_eq!(Offset::decode(&offset.encode()), Ok(offset));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
            let _ = (Cursor::decode(&text), Offset::decode(&text));
        }
    }

    #[test]
    fn pages_of_one_question_may_differ_in_size() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert_eq!(question(&uri("/a?x=1&limit=5")), question(&uri("/a?limit=9&x=1&cursor=zzz")));
        assert_ne!(question(&uri("/a?x=1")), question(&uri("/a?x=2")));
    }
}
