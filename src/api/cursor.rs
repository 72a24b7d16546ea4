//! Cursors: opaque positions of the next page, bound to the query and to the version of the data.

use std::sync::Arc;

use axum::http::Uri;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::{
    model::{Day, Geo},
    table::{DayTable, RowPosition},
};

/// The position of the next row in a list of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Day of the row.
    pub day: Day,
    /// Geo of the row.
    pub geo: Geo,
    /// Index of the row in the day, counted over selected and unselected rows.
    pub row: usize,
    /// The first bytes of the content hash of the day.
    pub version: [u8; 4],
    /// The hash of the query, see [`query_hash()`].
    pub query_hash: [u8; 8],
}

/// The position of the next item in a sorted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Number of items on the previous pages.
    pub skip: usize,
    /// Version of the data that was sorted.
    pub version: [u8; 8],
    /// The hash of the query, see [`query_hash()`].
    pub query_hash: [u8; 8],
}

/// Why a cursor is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The text is not a cursor.
    #[error("is not a cursor of this service")]
    Malformed,
    /// The cursor belongs to another query.
    #[error("was issued for a different query")]
    OtherQuery,
}

/// A hash of the path and the query parameters, except those that may differ between pages.
#[must_use]
pub fn query_hash(uri: &Uri) -> [u8; 8] {
    let mut pairs: Vec<&str> = pairs_without_cursor(uri).filter(|pair| !pair.starts_with("limit=")).collect();
    pairs.sort_unstable();
    let digest = Sha256::digest(format!("{}?{}", uri.path(), pairs.join("&")));
    std::array::from_fn(|byte| digest[byte])
}

/// The `Link` header of the next page.
#[must_use]
pub fn next_link(uri: &Uri, cursor: &str) -> String {
    let pairs: Vec<&str> = pairs_without_cursor(uri).collect();
    format!("<{}?{}&cursor={cursor}>; rel=\"next\"", uri.path(), pairs.join("&"))
}

fn pairs_without_cursor(uri: &Uri) -> impl Iterator<Item = &str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
}

impl Cursor {
    /// The cursor of a row of `day`.
    #[must_use]
    pub fn at(day: &DayTable, row: usize, query_hash: [u8; 8]) -> Self {
        let key = day.key();
        Self { day: key.day, geo: key.geo, row, version: version(day), query_hash }
    }

    /// The position of the row in `days`. `None` if `days` lacks that day, or if the day has changed since.
    #[must_use]
    pub fn find(&self, days: &[Arc<DayTable>]) -> Option<RowPosition> {
        let is_same_day = |day: &Arc<DayTable>| day.key().day == self.day && day.key().geo == self.geo;
        let day = days.iter().position(is_same_day).filter(|day| version(&days[*day]) == self.version)?;
        Some(RowPosition { day, row: self.row })
    }

    /// The cursor as callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        let [a, b, c, d] = self.version;
        let position = format!("{}.{}.{}.{:08x}.", self.day, self.geo, self.row, u32::from_be_bytes([a, b, c, d]));
        URL_SAFE_NO_PAD.encode([position.as_bytes(), &self.query_hash].concat())
    }

    /// Decodes a cursor of the query with this hash.
    ///
    /// # Errors
    /// If `text` is not a cursor, or is a cursor of another query.
    pub fn decode(text: &str, query_hash: [u8; 8]) -> Result<Self, CursorError> {
        let cursor = Self::parse(text).ok_or(CursorError::Malformed)?;
        if cursor.query_hash == query_hash { Ok(cursor) } else { Err(CursorError::OtherQuery) }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (position, query_hash) = bytes.split_last_chunk::<8>()?;
        let mut parts = std::str::from_utf8(position).ok()?.split('.');
        let mut part = || parts.next();
        Some(Self {
            day: part()?.parse().ok()?,
            geo: part()?.parse().ok()?,
            row: part()?.parse().ok()?,
            version: u32::from_str_radix(part()?, 16).ok()?.to_be_bytes(),
            query_hash: *query_hash,
        })
    }
}

impl Offset {
    /// The cursor as callers see it.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode([(self.skip as u64).to_be_bytes(), self.version, self.query_hash].concat())
    }

    /// Decodes a cursor of the query with this hash.
    ///
    /// # Errors
    /// If `text` is not a cursor, or is a cursor of another query.
    pub fn decode(text: &str, query_hash: [u8; 8]) -> Result<Self, CursorError> {
        let cursor = Self::parse(text).ok_or(CursorError::Malformed)?;
        if cursor.query_hash == query_hash { Ok(cursor) } else { Err(CursorError::OtherQuery) }
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (skip, rest) = bytes.split_first_chunk::<8>()?;
        let (version, query_hash) = rest.split_first_chunk::<8>()?;
        let skip = usize::try_from(u64::from_be_bytes(*skip)).ok()?;
        Some(Self { skip, version: *version, query_hash: query_hash.try_into().ok()? })
    }
}

/// The part of a day's content hash that is in its cursors.
fn version(day: &DayTable) -> [u8; 4] {
    let [a, b, c, d, ..] = *day.hash();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_as_written(row: usize, version: [u8; 4], query_hash: [u8; 8], offset in -5000..5000_i32) {
            let day = Day::new(2026, 11, 1).unwrap().plus(offset);
            let cursor = Cursor { day, geo: Geo::Sg, row, version, query_hash };
            prop_assert_eq!(Cursor::decode(&cursor.encode(), query_hash), Ok(cursor));
        }

        #[test]
        fn an_offset_reads_back_as_written(skip: usize, version: [u8; 8], query_hash: [u8; 8]) {
            let offset = Offset { skip, version, query_hash };
            prop_assert_eq!(Offset::decode(&offset.encode(), query_hash), Ok(offset));
            prop_assert_eq!(Offset::decode(&offset.encode(), query_hash.map(|byte| !byte)), Err(CursorError::OtherQuery));
        }

        #[test]
        fn decoding_any_text_does_not_panic(text in "\\PC{0,60}") {
            let _ = (Cursor::decode(&text, [0; 8]), Offset::decode(&text, [0; 8]));
        }
    }

    #[test]
    fn the_query_hash_does_not_depend_on_the_page_size() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert_eq!(query_hash(&uri("/a?x=1&limit=5")), query_hash(&uri("/a?limit=9&x=1&cursor=zzz")));
        assert_ne!(query_hash(&uri("/a?x=1")), query_hash(&uri("/a?x=2")));
    }
}
