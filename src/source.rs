//! [`DaySource`], the trait of the read path: something that loads one day of usage data.
//!
//! The layers of the module `store` and the upstream client implement it. Each layer wraps another `DaySource` and
//! loads days only from that one; the upstream client is the innermost source.

mod chain_checkpoint;
mod day_task;
mod remedy;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    chain_checkpoint::{ChainCheckpoint, ChainCheckpoints, ChainKey, MAX_CHECKPOINT_AGE},
    day_task::run_day_task,
};
use crate::{
    model::{Day, DayKey, Geo},
    report::{DayDigest, digest::DayReindexing},
    table::{DayMetadata, DayTable, Dictionary, FetchQuality, day_table::ContentHash},
};

/// Maximum number of rows of one call of Feishu. Not documented; users report that Feishu accepts 1 to 60.
pub const PAGE_SIZE: usize = 60;

/// Loads days.
#[async_trait]
pub trait DaySource: Send + Sync + 'static {
    /// Loads one day. There is no time limit.
    ///
    /// A source answers at the depth at which it has the day: rows also answer a request for the digest, because the
    /// digest can be computed from them. A request for rows is always answered with rows.
    ///
    /// Load only days that upstream has produced: a load of a pending day costs an upstream call and yields no data.
    ///
    /// # Errors
    /// [`LoadError`] names the cause. [`LoadError::is_retryable`] says whether a retry can help.
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError>;

    /// The days that are stored at this depth, in the order of the keys. Nothing is fetched or refreshed. Rows are
    /// stored only in memory; digests also in the archive.
    ///
    /// One call for many days costs far less than one load for each: a report over a year is answered by it.
    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>>;

    /// Estimates the cost of loading these days at this depth, without loading them.
    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast;
}

/// How much of a day is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The digest, from which most reports are computed.
    Digest,
    /// All rows.
    Rows,
}

/// A day at the depth at which a source has it. Clones share the data.
#[derive(Clone, Debug)]
pub enum LoadedDay {
    /// The digest.
    Digest(Arc<DayDigest>),
    /// All rows.
    Rows(Arc<DayTable>),
}

/// The data of a day at one depth.
pub trait DayData: DayMetadata + Send + Sync + Sized + 'static {
    /// The depth to request.
    const DEPTH: Depth;

    /// The data of a day that was loaded at [`Self::DEPTH`].
    ///
    /// # Errors
    /// [`LoadError::Abandoned`] if a source broke its contract.
    fn from_loaded(day: LoadedDay) -> Result<Arc<Self>, LoadError>;

    /// The dictionary that the indices refer to.
    fn dictionary(&self) -> &Arc<Dictionary>;

    /// The same day with the indices of another dictionary.
    #[must_use]
    fn reindexed(&self, reindexing: &mut DayReindexing) -> Self;
}

/// Gives all days the `target` dictionary, or the newest of their dictionaries if `None`. Takes about 5 ms for each 100,000
/// rows of another dictionary.
pub fn unify_dictionaries<D: DayData>(days: &mut [Arc<D>], target: Option<&Arc<Dictionary>>) {
    let newest = days.iter().map(|day| day.dictionary()).max_by_key(|dictionary| dictionary.id());
    let Some(target) = target.or(newest).cloned() else { return };
    let mut reindexing: BTreeMap<u64, DayReindexing> = BTreeMap::new();
    for day in days {
        let own = day.dictionary();
        if !Arc::ptr_eq(own, &target) {
            let indices = || DayReindexing::new(Arc::clone(own), Arc::clone(&target));
            let moved = day.reindexed(reindexing.entry(own.id()).or_insert_with(indices));
            *day = Arc::new(moved);
        }
    }
}

impl DayData for DayTable {
    const DEPTH: Depth = Depth::Rows;

    fn from_loaded(day: LoadedDay) -> Result<Arc<Self>, LoadError> {
        match day {
            LoadedDay::Rows(rows) => Ok(rows),
            LoadedDay::Digest(_) => Err(LoadError::Abandoned),
        }
    }

    fn dictionary(&self) -> &Arc<Dictionary> {
        self.dictionary()
    }

    fn reindexed(&self, reindexing: &mut DayReindexing) -> Self {
        self.reindexed(&mut reindexing.indices)
    }
}

impl DayData for DayDigest {
    const DEPTH: Depth = Depth::Digest;

    /// Computes the digest if the source has rows. The memory cache has computed it before, on another thread.
    fn from_loaded(day: LoadedDay) -> Result<Arc<Self>, LoadError> {
        Ok(match day {
            LoadedDay::Digest(digest) => digest,
            LoadedDay::Rows(rows) => Arc::new(Self::from_day(&rows, None)),
        })
    }

    fn dictionary(&self) -> &Arc<Dictionary> {
        self.dictionary()
    }

    fn reindexed(&self, reindexing: &mut DayReindexing) -> Self {
        self.reindexed(reindexing)
    }
}

impl LoadedDay {
    fn metadata(&self) -> &dyn DayMetadata {
        match self {
            Self::Digest(digest) => &**digest,
            Self::Rows(rows) => &**rows,
        }
    }
}

impl DayMetadata for LoadedDay {
    fn key(&self) -> &DayKey {
        self.metadata().key()
    }

    fn fetched_at(&self) -> Timestamp {
        self.metadata().fetched_at()
    }

    fn row_count(&self) -> usize {
        self.metadata().row_count()
    }

    fn quality(&self) -> FetchQuality {
        self.metadata().quality()
    }

    fn hash(&self) -> &ContentHash {
        self.metadata().hash()
    }
}

/// The estimated cost of loading days.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The days that upstream is asked for. The other days are stored.
    #[serde(default)]
    pub days_to_fetch: BTreeSet<(Geo, Day)>,
    /// Number of upstream calls that these days still need.
    pub calls: u64,
    /// Time until the last of these calls is answered. `None` if the rate limit or the size of the tenant is unknown.
    pub wait: Option<Duration>,
    /// The same at the present rate if the limit is unknown: the rate only grows until it is found. `None` if the size of the
    /// tenant is unknown.
    pub longest_wait: Option<Duration>,
    /// Whether the monthly quota admits these calls without the share that is reserved for required calls.
    pub is_within_quota: bool,
    /// Whether all days that are not cached are already being fetched for another request.
    pub collapsed: bool,
}

impl Forecast {
    /// No upstream call is needed.
    pub const NOTHING: Self = Self {
        days_to_fetch: BTreeSet::new(),
        calls: 0,
        wait: Some(Duration::ZERO),
        longest_wait: Some(Duration::ZERO),
        is_within_quota: true,
        collapsed: false,
    };
}

/// Allows a shared source, or one whose type is chosen at start.
#[async_trait]
impl<S: DaySource + ?Sized> DaySource for Arc<S> {
    async fn load(&self, key: &DayKey, depth: Depth, context: LoadContext) -> Result<LoadedDay, LoadError> {
        (**self).load(key, depth, context).await
    }

    async fn stored(&self, keys: &[DayKey], depth: Depth) -> Vec<Option<LoadedDay>> {
        (**self).stored(keys, depth).await
    }

    async fn forecast(&self, keys: &[DayKey], depth: Depth) -> Forecast {
        (**self).forecast(keys, depth).await
    }
}

/// Caller and priority of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadContext {
    /// The priority of the upstream calls.
    pub priority: Priority,
    /// The caller. Upstream calls are shared evenly between callers.
    pub caller: CallerId,
}

/// Priority of an upstream call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A client waits for the response.
    Interactive,
    /// Warm-up, refresh and backfill. These calls run when no interactive call waits.
    Background,
}

/// Identifies a caller for fair sharing of upstream calls: one access key, or one anonymous request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallerId(pub u64);

impl CallerId {
    /// The id of a named caller. Equal names have equal ids.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let number = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
        // Anonymous requests are numbered from 0. The top bit separates named callers from them.
        Self(number | 1 << 63)
    }
}

/// Why a day could not be loaded. It is cheap to clone, because every waiting request receives a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LoadError {
    /// The app's credentials are wrong, or the app is disabled.
    #[error("upstream rejected the app's credentials ({upstream})")]
    Unauthorized {
        /// Code and log id of the reply.
        upstream: UpstreamDetail,
        /// Delay before the next attempt.
        retry_after: Duration,
    },
    /// The app lacks a scope, the data is outside the app's data range, this machine's IP address is not allowed, or
    /// upstream refuses the call for a reason that is not known.
    #[error("upstream denied access: {reason} ({upstream})")]
    Forbidden {
        /// Code and log id of the reply.
        upstream: UpstreamDetail,
        /// What is missing, for the operator.
        reason: Arc<str>,
    },
    /// Upstream does not know the user or department, or does not accept a parameter.
    #[error("upstream did not accept the request: {reason} ({upstream})")]
    Rejected {
        /// Code and log id of the reply.
        upstream: UpstreamDetail,
        /// What is wrong, for the caller.
        reason: Arc<str>,
    },
    /// The monthly quota of upstream calls is exhausted.
    #[error("the monthly quota of upstream calls is exhausted; the next call is made after {until} ({upstream})")]
    QuotaExhausted {
        /// Code and log id of the reply. Empty if the operator's own limit is reached.
        upstream: UpstreamDetail,
        /// When the next call is made: a trial, or the start of the next month.
        until: Timestamp,
    },
    /// Upstream refused the call because of its rate limit too many times in a row.
    #[error("upstream keeps refusing calls because of its rate limit ({upstream})")]
    Throttled {
        /// Code and log id of the last reply.
        upstream: UpstreamDetail,
        /// Delay before the next attempt.
        retry_after: Duration,
    },
    /// Upstream failed, was unreachable, or sent an unreadable reply, in all attempts.
    #[error("upstream failed: {reason} ({upstream})")]
    Unavailable {
        /// Code and log id of the reply. Empty if there was no reply.
        upstream: UpstreamDetail,
        /// What happened, for the operator.
        reason: Arc<str>,
    },
    /// Another replica calls upstream, or none does at the moment.
    #[error("another replica calls upstream")]
    NotLeader,
    /// The load was cancelled inside this process: the process is shutting down, or there is a defect.
    #[error("the load was cancelled inside the gateway")]
    Abandoned,
}

/// Code and log id of an upstream reply. With them, the call can be found in Feishu's log search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamDetail {
    /// The `code` of the reply's body.
    pub code: Option<i64>,
    /// `error.log_id`, or the header `X-Tt-Logid`.
    pub log_id: Option<Arc<str>>,
}

impl LoadError {
    /// Whether the same request can succeed later without a change of configuration.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::QuotaExhausted { .. }
            | Self::Throttled { .. }
            | Self::Unavailable { .. }
            | Self::NotLeader
            | Self::Abandoned => true,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Rejected { .. } => false,
        }
    }

    /// Code and log id of the upstream reply. `None` if the error arose inside this process.
    #[must_use]
    pub const fn upstream(&self) -> Option<&UpstreamDetail> {
        match self {
            Self::Unauthorized { upstream, .. }
            | Self::Forbidden { upstream, .. }
            | Self::Rejected { upstream, .. }
            | Self::QuotaExhausted { upstream, .. }
            | Self::Throttled { upstream, .. }
            | Self::Unavailable { upstream, .. } => Some(upstream),
            Self::NotLeader | Self::Abandoned => None,
        }
    }
}

impl fmt::Display for UpstreamDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &self.log_id) {
            (Some(code), Some(log_id)) => write!(f, "code {code}, log id {log_id}"),
            (Some(code), None) => write!(f, "code {code}"),
            (None, Some(log_id)) => write!(f, "log id {log_id}"),
            (None, None) => f.write_str("no code"),
        }
    }
}
