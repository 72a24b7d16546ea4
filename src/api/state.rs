//! What handlers need, and how long a caller waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    caching::Front, compat::AccessTokens, log_level::LogFilter, prefer::Preference, traffic::Traffic, work::Desks,
};
use crate::{
    feishu::quota::Quota,
    meter::Meters,
    model::Geo,
    query::{Asking, Backfills, Engine},
    store::Archive,
};

/// How long a caller waits who prefers not to: long enough to read days from the archive, not to ask Feishu.
const AT_ONCE: Duration = Duration::from_millis(200);

/// What handlers need.
#[derive(Clone)]
pub struct ApiState {
    /// Answers questions.
    pub engine: Engine,
    /// Jobs that fill the archive.
    pub backfills: Backfills,
    /// Days that outlive the process, where they shall.
    pub archive: Option<Arc<Archive>>,
    /// The month's calls of upstream.
    pub quota: Arc<Quota>,
    /// The geos that are served; the first is the tenant's own.
    pub geos: Arc<[Geo]>,
    /// The access tokens of callers with an official SDK.
    pub access_tokens: AccessTokens,
    /// How long a request may wait for days.
    pub request_timeout: Duration,
    /// Everything that `/metrics` tells.
    pub meters: Meters,
    /// The part of it that is about requests.
    pub traffic: Arc<Traffic>,
    /// Changes what is logged, where anything is.
    pub log_filter: Option<LogFilter>,
    /// Answers that were given before.
    pub front: Arc<Front>,
    /// Where exports are written.
    pub desks: Desks,
    /// Set when the process is about to end.
    pub draining: Arc<AtomicBool>,
}

impl ApiState {
    /// A caller who asks now and has the usual time, or less if they want to wait less.
    #[must_use]
    pub fn asking(&self, preference: Preference, allow_partial: bool) -> Asking {
        let usual = if preference.respond_async { AT_ONCE } else { self.request_timeout };
        let wait = preference.wait.unwrap_or(usual).min(self.request_timeout);
        Asking { deadline: Instant::now() + wait, allow_partial }
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
