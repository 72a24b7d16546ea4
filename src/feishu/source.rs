//! Feishu as a source of days: the bottom of the stack, where every load that nothing above could answer ends.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Url;

use super::{
    calls::Calls,
    http::Http,
    memo::Memo,
    quota::{Quota, QuotaConfig},
    spans::{CallsAhead, Spans},
    throttle::{Throttle, ThrottleConfig},
    token::{Credentials, Tokens},
    transport::Transport,
};
use crate::{
    meter::{Exposition, Meter},
    model::{Clock, DayKey, Geo},
    source::{DaySource, Forecast, LoadContext, LoadError, Priority},
    table::{Directories, Partition},
};

/// How upstream is reached.
#[derive(Clone, Debug)]
pub struct FeishuConfig {
    /// The address, such as `https://open.feishu.cn`.
    pub base_url: Url,
    /// Who the gateway is.
    pub credentials: Credentials,
    /// The tenant's own geo.
    pub home: Geo,
    /// How fast it may be asked.
    pub throttle: ThrottleConfig,
    /// How often it may be asked in a month.
    pub quota: QuotaConfig,
    /// The file that keeps across restarts what is known of upstream; without it, a restart forgets.
    pub memo: Option<PathBuf>,
    /// The longest that one call may take.
    pub call_timeout: Duration,
}

/// A page takes a second or two; what takes longer than this does not come.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl FeishuConfig {
    /// Feishu at that address, in every other way as by default; nothing is kept across restarts.
    #[must_use]
    pub fn new(base_url: Url, credentials: Credentials, home: Geo) -> Self {
        Self {
            base_url,
            credentials,
            home,
            throttle: ThrottleConfig::default(),
            quota: QuotaConfig::default(),
            memo: None,
            call_timeout: CALL_TIMEOUT,
        }
    }
}

/// Fetches days from Feishu.
#[derive(Clone, Debug)]
pub struct FeishuSource {
    spans: Spans,
    throttle: Throttle,
    quota: Arc<Quota>,
    tokens: Tokens,
    calls: Arc<Calls>,
}

impl FeishuSource {
    /// A source that has not spoken with upstream yet. The people it meets are numbered in `directories`.
    ///
    /// # Errors
    /// Where TLS cannot be set up, which is nearly always a missing CA bundle.
    ///
    /// # Panics
    /// Outside a tokio runtime, where there is a memo to keep.
    pub fn new(
        config: FeishuConfig,
        directories: Arc<Directories>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let http = Http::new(config.base_url, config.call_timeout)?;
        let tokens = Tokens::new(http.clone(), config.credentials);
        let throttle = Throttle::new(&config.throttle);
        let quota = Arc::new(Quota::new(config.quota, Arc::clone(&clock)));
        if let Some(path) = config.memo {
            Memo::open(path, Arc::clone(&quota), throttle.clone(), Arc::clone(&clock)).keep();
        }
        let transport = Transport::new(http, tokens.clone(), throttle.clone(), Arc::clone(&quota), config.home);
        let calls = Arc::clone(transport.calls());
        Ok(Self { spans: Spans::new(transport, directories, clock), throttle, quota, tokens, calls })
    }

    /// The month's calls.
    #[must_use]
    pub const fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// The throttle, for what it knows of the rate.
    #[must_use]
    pub const fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

impl FeishuSource {
    fn write_backlog(&self, page: &mut Exposition) {
        page.gauge("feishu_pulse_chains_in_flight", "Chains of pages under way.").value(self.spans.chains() as f64);
        let calls = self.spans.calls_ahead(&[]).map(|ahead| ahead.own + ahead.others);
        page.gauge("feishu_pulse_backlog_calls", "Calls that the days wanted now still cost, where that can be told.")
            .known(calls.map(|calls| calls as f64));
        let now = self.throttle.snapshot();
        let left = calls.and_then(|calls| match calls {
            0 => Some(0.0),
            _ => now.window.map(|_| self.throttle.estimate(calls as u64, Priority::Background).as_secs_f64()),
        });
        page.gauge("feishu_pulse_backlog_seconds", "How long they probably take, where that can be told.").known(left);
    }
}

impl Meter for FeishuSource {
    fn write(&self, page: &mut Exposition) {
        self.calls.write(page);
        self.throttle.write(page);
        self.quota.write(page);
        self.tokens.write(page);
        self.write_backlog(page);
    }
}

#[async_trait]
impl DaySource for FeishuSource {
    async fn load(&self, key: &DayKey, context: LoadContext) -> Result<Arc<Partition>, LoadError> {
        self.spans.day(key, context).await
    }

    async fn forecast(&self, keys: &[DayKey]) -> Forecast {
        let limit_is_known = self.throttle.snapshot().window.is_some();
        match self.spans.calls_ahead(keys) {
            Some(CallsAhead { own, others }) => {
                // Turns go round between callers: the others' calls delay these by as many at most.
                let turns = (own + others.min(own)) as u64;
                let wait = limit_is_known.then(|| self.throttle.estimate(turns, Priority::Interactive));
                Forecast { calls: own as u64, wait, collapsed: false }
            }
            None => Forecast { calls: keys.len() as u64, wait: None, collapsed: false },
        }
    }
}
