//! The tenant access token: one for everybody, refreshed before it ends, replaced when upstream rejects it.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use super::{
    http::{Http, NoReply},
    verdict::{self, Judged, Verdict},
    wire::TokenReply,
};
use crate::{
    meter::{Exposition, Label, Meter, Tally},
    model::Backoff,
    source::{LoadError, Upstream},
};

const PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";

/// Asked with less than this left, upstream issues a new token while the old one stays valid: the time to refresh.
const REFRESH_AHEAD: Duration = Duration::from_secs(30 * 60);

/// After rejected credentials, no more than one attempt in this time: they don't mend themselves.
const AFTER_REJECTION: Duration = Duration::from_secs(30);

/// After any other failure, those who waited for it share it instead of each failing for themselves.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Tries of one token request against failures that may pass.
const ATTEMPTS: u32 = 4;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(300), cap: Duration::from_secs(5) };

/// Who the gateway is to upstream.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The app's id (`cli_…`).
    pub app_id: String,
    /// The app's secret.
    pub app_secret: SecretString,
}

/// Keeps a valid token at hand.
///
/// A token is fetched by one caller while the others wait, refreshed in the background when little of its life is
/// left, and dropped only when it is the very one that upstream rejected.
#[derive(Clone, Debug)]
pub struct Tokens {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    credentials: Credentials,
    current: RwLock<Option<Token>>,
    /// Held while a token is fetched; remembers the last failure for as long as it stands.
    fetching: Mutex<Option<Failure>>,
    refreshing: AtomicBool,
    requests: Tally<Outcome>,
}

/// A token and how long it serves.
#[derive(Clone, Debug)]
pub struct Token {
    value: Arc<SecretString>,
    expires: Instant,
    refresh: Instant,
}

/// How a token request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    /// The credentials are wrong, or not enough.
    Rejected,
    /// No reply, or none that makes sense; it may pass.
    Failed,
}

#[derive(Clone, Debug)]
struct Failure {
    until: Instant,
    error: LoadError,
}

impl Token {
    /// The token itself, for the `Authorization` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    fn new(value: SecretString, life: Duration) -> Self {
        let now = Instant::now();
        let ahead = REFRESH_AHEAD.min(life / 4);
        Self { value: Arc::new(value), expires: now + life, refresh: now + life.saturating_sub(ahead) }
    }
}

impl Tokens {
    /// Tokens for these credentials. Nothing is fetched yet.
    #[must_use]
    pub fn new(http: Http, credentials: Credentials) -> Self {
        let inner = Inner {
            http,
            credentials,
            current: RwLock::default(),
            fetching: Mutex::default(),
            refreshing: AtomicBool::new(false),
            requests: Tally::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A token that is valid now, fetched where there is none.
    ///
    /// # Errors
    /// [`LoadError::Unauthorized`] for wrong credentials, [`LoadError::Unavailable`] where no reply was to be had.
    pub async fn current(&self) -> Result<Token, LoadError> {
        if let Some(token) = self.inner.held() {
            if token.refresh <= Instant::now() {
                self.refresh_in_background();
            }
            return Ok(token);
        }
        let mut failure = self.inner.fetching.lock().await;
        // Whoever waited for the lock finds the token that its holder fetched.
        match self.inner.held() {
            Some(token) => Ok(token),
            None => self.inner.fetch(&mut failure).await,
        }
    }

    /// Drops the token, if it is still the one that upstream rejected.
    pub fn reject(&self, rejected: &Token) {
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|token| Arc::ptr_eq(&token.value, &rejected.value)) {
            *current = None;
        }
    }

    fn refresh_in_background(&self) {
        if self.inner.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let refresh = Refresh(Arc::clone(&self.inner));
        tokio::spawn(async move {
            let Refresh(inner) = &refresh;
            let mut failure = inner.fetching.lock().await;
            if let Err(error) = inner.fetch(&mut failure).await {
                tracing::warn!(%error, "the access token could not be refreshed ahead of its end");
                inner.postpone_refresh();
            }
        });
    }
}

/// A refresh under way. Says that it is over also where it panics: else there would never be another.
struct Refresh(Arc<Inner>);

impl Drop for Refresh {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
    }
}

impl Inner {
    fn held(&self) -> Option<Token> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().filter(|token| Instant::now() < token.expires)
    }

    fn postpone_refresh(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = current.as_mut() {
            token.refresh = Instant::now() + AFTER_REJECTION;
        }
    }

    async fn fetch(&self, failure: &mut Option<Failure>) -> Result<Token, LoadError> {
        if let Some(known) = failure.as_ref().filter(|known| Instant::now() < known.until) {
            return Err(known.error_now());
        }
        let mut attempt = 0;
        loop {
            let attempt_ended = self.attempt().await;
            self.requests.add_one(Outcome::of(&attempt_ended));
            match attempt_ended {
                Ok(token) => return Ok(token),
                Err(LoadError::Unavailable { .. }) if attempt + 1 < ATTEMPTS => {
                    tokio::time::sleep(BACKOFF.wait(attempt, fastrand::f64())).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure.insert(Failure::new(error)).error_now()),
            }
        }
    }

    async fn attempt(&self) -> Result<Token, LoadError> {
        let body = json!({
            "app_id": self.credentials.app_id,
            "app_secret": self.credentials.app_secret.expose_secret(),
        });
        let reply = self.http.send(self.http.post(PATH).json(&body)).await;
        let reply = reply.map_err(|NoReply(reason)| unavailable(Upstream::default(), &reason))?;
        let Judged { verdict, upstream, .. } = verdict::judge(reply.status, reply.log_id.as_deref(), &reply.body);
        match verdict {
            Verdict::Success => self.keep(&reply.body, upstream),
            Verdict::Throttled => Err(unavailable(upstream, "the rate limit of the token API is reached")),
            Verdict::Passing(reason) => Err(unavailable(upstream, &reason)),
            Verdict::Rejected(reason) | Verdict::Forbidden(reason) => Err(LoadError::Forbidden { upstream, reason }),
            Verdict::CredentialsRejected | Verdict::TokenRejected | Verdict::InvalidParameter | Verdict::QuotaSpent => {
                Err(LoadError::Unauthorized { upstream, retry_after: AFTER_REJECTION })
            }
        }
    }

    fn keep(&self, body: &[u8], upstream: Upstream) -> Result<Token, LoadError> {
        let Some((value, life)) = read(body) else {
            return Err(unavailable(upstream, "the token reply holds no token"));
        };
        let token = Token::new(value, life);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        tracing::debug!(life_seconds = life.as_secs(), "got an access token");
        Ok(token)
    }
}

/// The token in a reply, and for how long it is valid: 1 s to 2 h. `None` where there is none that a header can carry.
#[must_use]
pub fn read(body: &[u8]) -> Option<(SecretString, Duration)> {
    let reply: TokenReply<'_> = serde_json::from_slice(body).ok()?;
    let value = reply.tenant_access_token.text()?;
    // A token of unknown life serves the call at hand.
    let life = reply.expire.count().ok().flatten().unwrap_or(0).clamp(1, 7200);
    let is_sendable = value.bytes().all(|byte| byte.is_ascii_graphic());
    is_sendable.then(|| (value.as_ref().into(), Duration::from_secs(life)))
}

impl Outcome {
    const fn of(attempt: &Result<Token, LoadError>) -> Self {
        match attempt {
            Ok(_) => Self::Success,
            Err(error) if error.is_retryable() => Self::Failed,
            Err(_) => Self::Rejected,
        }
    }
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Success, Self::Rejected, Self::Failed];

    fn value(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

impl Meter for Tokens {
    fn write(&self, page: &mut Exposition) {
        page.counter("feishu_pulse_token_requests_total", "Requests for an access token by how they ended.")
            .tally(&self.inner.requests);
    }
}

impl Failure {
    fn new(error: LoadError) -> Self {
        let stands = if error.is_retryable() { AFTER_FAILURE } else { AFTER_REJECTION };
        tracing::error!(%error, "no access token is to be had");
        Self { until: Instant::now() + stands, error }
    }

    /// The error with the time that is left by now.
    fn error_now(&self) -> LoadError {
        match self.error.clone() {
            LoadError::Unauthorized { upstream, .. } => {
                LoadError::Unauthorized { upstream, retry_after: self.until.saturating_duration_since(Instant::now()) }
            }
            error => error,
        }
    }
}

fn unavailable(upstream: Upstream, reason: &str) -> LoadError {
    LoadError::Unavailable { upstream, reason: format!("no access token: {reason}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_refreshed_half_an_hour_before_its_end() {
        let token = Token::new("t".into(), Duration::from_secs(7200));
        assert_eq!(token.expires - token.refresh, REFRESH_AHEAD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_lived_token_is_refreshed_in_its_last_quarter() {
        let token = Token::new("t".into(), Duration::from_secs(4));
        assert_eq!(token.expires - token.refresh, Duration::from_secs(1));
    }

    #[test]
    fn credentials_do_not_show_the_secret() {
        let credentials = Credentials { app_id: "cli_a".into(), app_secret: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
