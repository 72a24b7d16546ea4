//! A look at the upstream on behalf of `check`: is there a token, and a day of each geo? One call for each, no retries
//! of what was refused, and nothing is kept.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    http::Http,
    quota::{Quota, QuotaConfig},
    source::FeishuConfig,
    throttle::Throttle,
    token::Tokens,
    transport::{Ask, Transport, Urgency},
};
use crate::{
    model::{Clock, Day, DayRange, Geo, Scope, UserIdType},
    source::{CallerId, LoadError, Priority},
};

/// Asks the upstream as the gateway does, by the same code.
#[derive(Debug)]
pub struct Probe {
    tokens: Tokens,
    transport: Transport,
}

impl Probe {
    /// A probe that has not asked for anything yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up, which is nearly always a missing CA bundle.
    pub fn new(config: &FeishuConfig, clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        let http = Http::new(config.base_url.clone(), config.call_timeout)?;
        let tokens = Tokens::new(http.clone(), config.credentials.clone());
        // What a gateway may still spend this month is no reason not to look.
        let quota = Arc::new(Quota::new(QuotaConfig::default(), clock));
        let throttle = Throttle::new(&config.throttle);
        Ok(Self { tokens: tokens.clone(), transport: Transport::new(http, tokens, throttle, quota, config.home) })
    }

    /// Whether upstream gives this app an access token.
    ///
    /// # Errors
    /// [`LoadError`] says why not.
    pub async fn token(&self) -> Result<(), LoadError> {
        self.tokens.current().await.map(drop)
    }

    /// Whether upstream shows this app anybody on `day`.
    ///
    /// # Errors
    /// [`LoadError`] where it does not answer.
    pub async fn shows_anybody(&self, geo: Geo, day: Day) -> Result<bool, LoadError> {
        let ask = Ask { geo, user_id_type: UserIdType::default(), scope: Scope::Everyone, span: DayRange::single(day) };
        let (_sender, priority) = watch::channel(Priority::Interactive);
        let page = self.transport.try_once(&ask, 1, &Urgency { caller: CallerId(0), priority }).await?;
        Ok(!page.rows.is_empty())
    }
}
