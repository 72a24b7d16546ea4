//! Access probe for the command `check`: requests a token and one row of a day. It does not retry and stores nothing.

use std::sync::Arc;

use adaptive_throttle::Throttle;
use tokio::sync::watch;

use super::{
    http::HttpClient,
    quota::{MonthlyQuota, QuotaConfig},
    source::FeishuConfig,
    stats_client::{CallPriority, PageRequest, StatsClient},
    token::TokenCache,
};
use crate::{
    model::{Clock, DataScope, Day, DayRange, Geo, UserIdType},
    source::{CallerId, LoadError, Priority},
    table::Dictionary,
};

/// Checks the access to upstream, with the client that the gateway uses.
#[derive(Debug)]
pub struct AccessProbe {
    tokens: TokenCache,
    client: StatsClient,
}

impl AccessProbe {
    /// Creates a probe. It makes no call.
    ///
    /// # Errors
    /// If TLS cannot be set up. The usual cause is a missing CA bundle.
    pub fn new(config: &FeishuConfig, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        let http = HttpClient::new(config.base_url.clone(), config.call_timeout)?;
        let tokens = TokenCache::new(http.clone(), config.credentials.clone());
        // The probe ignores the monthly limit of the gateway.
        let quota = Arc::new(MonthlyQuota::new(QuotaConfig::default(), Arc::clone(&clock)));
        let throttle = Throttle::new(&config.throttle);
        let client = StatsClient::new(http, tokens.clone(), throttle, quota, clock, config.home_geo);
        Ok(Self { tokens, client })
    }

    /// Checks that upstream issues an access token for the app.
    ///
    /// # Errors
    /// [`LoadError`] if it does not.
    pub async fn check_token(&self) -> Result<(), LoadError> {
        self.tokens.current().await.map(drop)
    }

    /// Whether upstream returns at least one row of `day` to the app.
    ///
    /// # Errors
    /// [`LoadError`] if the call fails.
    pub async fn has_rows(&self, geo: Geo, day: Day) -> Result<bool, LoadError> {
        let request = PageRequest {
            geo,
            user_id_type: UserIdType::default(),
            scope: DataScope::Everyone,
            range: DayRange::single(day),
        };
        let (_sender, priority) = watch::channel(Priority::Interactive);
        let call_priority = CallPriority { caller: CallerId(0), rank: 0, priority };
        let fetched = self.client.fetch_page_once(&request, 1, &Dictionary::default(), &call_priority).await?;
        Ok(!fetched.page.rows.is_empty())
    }
}
