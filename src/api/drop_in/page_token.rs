//! Page tokens: cursors that a restart does not invalidate, bound to the question and to the version of the day they
//! stand in. Pages show a frozen version: a day that has changed makes its tokens invalid, and the SDK begins again.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::{api::cursor::Cursor, query::Query, table::Partition};

/// Tells one question from another, however it was written. Pages of one question may differ in size.
#[must_use]
pub fn question(query: &Query) -> [u8; 8] {
    let digest = Sha256::digest(format!("admin_user_stats {query:?}"));
    std::array::from_fn(|byte| digest[byte])
}

/// Reads a token of this question back.
///
/// # Errors
/// Where it is none.
pub fn read(token: &str, question: [u8; 8]) -> Result<Cursor, Failure> {
    let cursor = Cursor::decode(token).ok().filter(|cursor| cursor.question == question);
    cursor.ok_or_else(|| Failure::invalid("page_token", "was not issued for this question"))
}

/// Where the page begins among the rows of `days`: the place of the day, and the row.
///
/// # Errors
/// Where that day has changed since.
pub fn start(from: Option<&Cursor>, days: &[Arc<Partition>]) -> Result<(usize, usize), Failure> {
    let Some(cursor) = from else { return Ok((0, 0)) };
    let day = cursor.find(days);
    day.map(|day| (day, cursor.row)).ok_or_else(|| {
        let detail = format!("is of older data: {} has changed since; begin again without one", cursor.day);
        Failure::invalid("page_token", detail)
    })
}
