//! Page tokens of the drop-in API: cursors that stay valid after a restart, bound to the query and to the version of a day.
//! If the day changes, its tokens become invalid and the SDK starts again.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::FeishuError;
use crate::{
    api::cursor::Cursor,
    query::Query,
    table::{DayTable, RowPosition},
};

/// A hash of the query that does not depend on the spelling of the request or on the page size.
#[must_use]
pub fn query_hash(query: &Query) -> [u8; 8] {
    let digest = Sha256::digest(format!("admin_user_stats {query:?}"));
    std::array::from_fn(|byte| digest[byte])
}

/// Decodes a page token.
///
/// # Errors
/// If the token is invalid or was issued for another query.
pub fn decode(token: &str, query_hash: [u8; 8]) -> Result<Cursor, FeishuError> {
    Cursor::decode(token, query_hash)
        .map_err(|_| FeishuError::invalid_parameter("page_token", "was not issued for this query"))
}

/// The position of the first row of the page in `days`.
///
/// # Errors
/// If the day of the cursor has changed since the token was issued.
pub fn page_start(cursor: Option<&Cursor>, days: &[Arc<DayTable>]) -> Result<RowPosition, FeishuError> {
    let Some(cursor) = cursor else { return Ok(RowPosition::default()) };
    cursor.find(days).ok_or_else(|| {
        let detail = format!("is stale: the day {} has changed; start again without a page_token", cursor.day);
        FeishuError::invalid_parameter("page_token", detail)
    })
}
