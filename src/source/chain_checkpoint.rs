//! [`ChainCheckpoints`]: where long chains of pages are saved, so that a restart continues them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::{
    model::{DayRange, Geo, UserIdType},
    table::DayTable,
};

/// Age from which a checkpoint is not used any more. Feishu does not document how long a page token is valid.
pub const MAX_CHECKPOINT_AGE: SignedDuration = SignedDuration::from_mins(30);

/// Identifies a chain: the days of everyone that it fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainKey {
    /// The geo.
    pub geo: Geo,
    /// The type of the user ids in the rows.
    pub user_id_type: UserIdType,
    /// The days.
    pub range: DayRange,
}

/// A chain of pages as far as it was fetched.
#[derive(Clone)]
pub struct ChainCheckpoint {
    /// The token of the next page.
    pub page_token: Arc<str>,
    /// Number of rows that were requested on each page. The token belongs to pages of this size.
    pub page_size: usize,
    /// Number of pages that were fetched.
    pub pages: usize,
    /// All days of the chain with their rows so far. They were fetched when the chain began.
    pub days: Vec<DayTable>,
}

/// Stores checkpoints outside the process. They contain personal data.
#[async_trait]
pub trait ChainCheckpoints: fmt::Debug + Send + Sync {
    /// The checkpoint of a chain that was saved at most [`MAX_CHECKPOINT_AGE`] before `now`. `None` if there is none or if it
    /// cannot be read.
    async fn find_checkpoint(&self, key: ChainKey, now: Timestamp) -> Option<ChainCheckpoint>;

    /// Saves a chain, and replaces its previous checkpoint. A failure is logged.
    async fn save_checkpoint(&self, key: ChainKey, checkpoint: ChainCheckpoint, now: Timestamp);

    /// Removes the checkpoint of a chain that has ended. A failure is logged.
    async fn remove_checkpoint(&self, key: ChainKey);
}

/// Without the page token and the rows.
impl fmt::Debug for ChainCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainCheckpoint").field("pages", &self.pages).finish_non_exhaustive()
    }
}
