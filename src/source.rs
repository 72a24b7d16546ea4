//! The one trait of the read path: whatever can produce a day.
//!
//! Memory, single-flight, archive and the upstream client all implement [`DaySource`], and all but the last wrap
//! another. A layer knows days and the layer below it, nothing else.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{model::DayKey, table::Partition};

/// Produces days.
#[async_trait]
pub trait DaySource: Send + Sync + 'static {
    /// The whole day, however long it takes.
    ///
    /// Ask only for days that are produced: asking for a pending one costs an upstream call and answers nothing.
    ///
    /// # Errors
    /// [`LoadError`] says what is in the way and whether asking again can help.
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError>;

    /// What loading these days would take, as far as that can be told without doing it.
    async fn forecast(&self, keys: &[DayKey]) -> Forecast;
}

/// What loading days would take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Upstream calls that these days still cost.
    pub calls: u64,
    /// How long until the last of them is answered; `None` while the rate limit or the size of the tenant is not known.
    pub wait: Option<Duration>,
    /// Whether all that is not held is being fetched already, for somebody else.
    pub collapsed: bool,
}

impl Forecast {
    /// Nothing has to be asked for.
    pub const NOTHING: Self = Self { calls: 0, wait: Some(Duration::ZERO), collapsed: false };
}

/// A source that is shared, or whose kind is decided when the process starts.
#[async_trait]
impl<S: DaySource + ?Sized> DaySource for Arc<S> {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        (**self).load(key, context).await
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        (**self).forecast(keys).await
    }
}

/// On whose behalf a day is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadContext {
    /// How urgent it is.
    pub priority: Priority,
    /// Who asks: turns at the upstream are shared evenly between callers.
    pub caller: CallerId,
}

/// How urgent an upstream call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits for the answer.
    Interactive,
    /// Warm-up, refresh and backfill: whenever nobody waits.
    Background,
}

/// A caller as the upstream side needs to tell them apart: one access key, or one request of somebody unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(pub u64);

impl CallerId {
    /// The number of a name: one for all that is done in it.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let number = u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]));
        // Numbers of requests are counted from 0; the top bit keeps names apart from them.
        Self(number | 1 << 63)
    }
}

/// Why a day could not be had. Clones cheaply: everyone who waits for the day is told the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The app's credentials are wrong, or the app is disabled.
    #[error("upstream rejects the app's credentials ({upstream})")]
    Unauthorized {
        /// What upstream said.
        upstream: Upstream,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// The app lacks a scope, its data range does not cover what was asked, or its address is not allowed.
    #[error("upstream denies access: {reason} ({upstream})")]
    Forbidden {
        /// What upstream said.
        upstream: Upstream,
        /// What is missing, in plain words.
        reason: Arc<str>,
    },
    /// Upstream does not know the user or department, or does not understand a parameter.
    #[error("upstream does not accept the request: {reason} ({upstream})")]
    Rejected {
        /// What upstream said.
        upstream: Upstream,
        /// What is wrong, in plain words.
        reason: Arc<str>,
    },
    /// The month's calls are spent.
    #[error("the upstream quota of this month is spent until {until} ({upstream})")]
    QuotaExhausted {
        /// What upstream said.
        upstream: Upstream,
        /// When the next month begins.
        until: Timestamp,
    },
    /// Upstream kept refusing for its rate limit, longer than it is worth waiting.
    #[error("upstream keeps refusing calls for its rate limit ({upstream})")]
    Throttled {
        /// What upstream said.
        upstream: Upstream,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Upstream failed, could not be reached, or sent what is no answer; several times over.
    #[error("upstream fails: {reason} ({upstream})")]
    Unavailable {
        /// What upstream said, where it said anything.
        upstream: Upstream,
        /// What happened, in plain words.
        reason: Arc<str>,
    },
    /// The load was given up inside this process: a defect, or the process is ending.
    #[error("the load was abandoned inside the gateway")]
    Abandoned,
}

/// What upstream said of itself: enough to find the call in Feishu's own log search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// The `code` of the reply's body.
    pub code: Option<i64>,
    /// `error.log_id`, or the header `X-Tt-Logid`.
    pub log_id: Option<Arc<str>>,
}

impl LoadError {
    /// Whether asking again, as it is, can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::QuotaExhausted { .. } | Self::Throttled { .. } | Self::Unavailable { .. } | Self::Abandoned => true,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Rejected { .. } => false,
        }
    }

    /// What upstream said, where it was upstream.
    #[must_use]
    pub const fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::Unauthorized { upstream, .. }
            | Self::Forbidden { upstream, .. }
            | Self::Rejected { upstream, .. }
            | Self::QuotaExhausted { upstream, .. }
            | Self::Throttled { upstream, .. }
            | Self::Unavailable { upstream, .. } => Some(upstream),
            Self::Abandoned => None,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &self.log_id) {
            (Some(code), Some(log_id)) => write!(f, "code {code}, log id {log_id}"),
            (Some(code), None) => write!(f, "code {code}"),
            (None, Some(log_id)) => write!(f, "log id {log_id}"),
            (None, None) => f.write_str("no code"),
        }
    }
}
