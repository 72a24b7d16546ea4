//! [`TokenCache`]: the tenant access token. It is shared by all calls, refreshed before it expires, and replaced when
//! upstream rejects it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use strum::{IntoStaticStr, VariantArray};
use tokio::{sync::Mutex, time::Instant};

use super::{
    http::{HttpClient, TransportError},
    reply_class::{self, ClassifiedReply, ReplyClass},
    wire::TokenReply,
};
use crate::{
    model::Backoff,
    prometheus::{Collector, CounterVec, Exposition, MetricLabel},
    source::{LoadError, UpstreamDetail},
};

const TOKEN_PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";

/// Remaining lifetime at which a token is refreshed: 30 min. Documented: from then on Feishu issues a new token, and the
/// old one stays valid.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(30 * 60);

/// Delay after rejected credentials before the next token request.
const REJECTION_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Delay after any other failure before the next token request. Calls within this delay receive the same error.
const FAILURE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Maximum number of attempts of one token request, if it fails temporarily.
const MAX_ATTEMPTS: u32 = 4;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(300), cap: Duration::from_secs(5) };

/// Credentials of the Feishu app.
#[derive(Clone, Debug)]
pub struct AppCredentials {
    /// The app's id (`cli_…`).
    pub app_id: String,
    /// The app's secret.
    pub app_secret: SecretString,
}

/// Caches the access token.
///
/// Only one token request runs at a time; concurrent calls wait for it. A token that expires soon is refreshed in the
/// background. A rejected token is dropped only if it is still the cached one.
#[derive(Clone, Debug)]
pub struct TokenCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    credentials: AppCredentials,
    current: RwLock<Option<AccessToken>>,
    /// Locked during a token request. Holds the last failure.
    fetching: Mutex<Option<CachedFailure>>,
    /// Whether a background refresh runs.
    refreshing: AtomicBool,
    requests: CounterVec<TokenRequestOutcome>,
}

/// An access token with its expiry and refresh times.
#[derive(Clone, Debug)]
pub struct AccessToken {
    value: Arc<SecretString>,
    expires_at: Instant,
    refresh_at: Instant,
}

/// Outcome of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum TokenRequestOutcome {
    Success,
    /// The credentials are wrong or lack a permission.
    Rejected,
    /// A temporary failure, or no readable reply.
    Failed,
}

#[derive(Clone, Debug)]
struct CachedFailure {
    until: Instant,
    error: LoadError,
}

impl AccessToken {
    /// The secret value, for the `Authorization` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// A token with a lifetime below 2 h is refreshed in its last quarter.
    fn new(value: SecretString, lifetime: Duration) -> Self {
        let now = Instant::now();
        let refresh_before = REFRESH_BEFORE_EXPIRY.min(lifetime / 4);
        Self {
            value: Arc::new(value),
            expires_at: now + lifetime,
            refresh_at: now + lifetime.saturating_sub(refresh_before),
        }
    }
}

impl TokenCache {
    /// Creates an empty cache. It makes no request.
    #[must_use]
    pub fn new(http: HttpClient, credentials: AppCredentials) -> Self {
        let inner = Inner {
            http,
            credentials,
            current: RwLock::default(),
            fetching: Mutex::default(),
            refreshing: AtomicBool::new(false),
            requests: CounterVec::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A valid token. It is requested if there is none.
    ///
    /// # Errors
    /// [`LoadError::Unauthorized`] for wrong credentials, [`LoadError::Forbidden`] if the app lacks a permission,
    /// [`LoadError::Unavailable`] if there is no readable reply.
    pub async fn current(&self) -> Result<AccessToken, LoadError> {
        if let Some(token) = self.inner.valid_token() {
            if token.refresh_at <= Instant::now() {
                self.refresh_in_background();
            }
            return Ok(token);
        }
        let mut failure = self.inner.fetching.lock().await;
        // The previous holder of the lock may have stored a token.
        match self.inner.valid_token() {
            Some(token) => Ok(token),
            None => self.inner.fetch(&mut failure).await,
        }
    }

    /// Drops the cached token if it is the rejected one.
    pub fn reject(&self, rejected: &AccessToken) {
        let mut current = self.inner.current.write();
        if current.as_ref().is_some_and(|token| Arc::ptr_eq(&token.value, &rejected.value)) {
            *current = None;
        }
    }

    fn refresh_in_background(&self) {
        if self.inner.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let refresh = RefreshGuard(Arc::clone(&self.inner));
        tokio::spawn(async move {
            let RefreshGuard(inner) = &refresh;
            let mut failure = inner.fetching.lock().await;
            if let Err(error) = inner.fetch(&mut failure).await {
                tracing::warn!(%error, "the access token could not be refreshed before it expires");
                inner.postpone_refresh();
            }
        });
    }
}

/// Marks the refresh as ended on drop, also after a panic. Otherwise there would be no further refresh.
struct RefreshGuard(Arc<Inner>);

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
    }
}

impl Inner {
    fn valid_token(&self) -> Option<AccessToken> {
        let current = self.current.read();
        current.clone().filter(|token| Instant::now() < token.expires_at)
    }

    fn postpone_refresh(&self) {
        let mut current = self.current.write();
        if let Some(token) = current.as_mut() {
            token.refresh_at = Instant::now() + REJECTION_RETRY_DELAY;
        }
    }

    async fn fetch(&self, failure: &mut Option<CachedFailure>) -> Result<AccessToken, LoadError> {
        if let Some(recent) = failure.as_ref().filter(|recent| Instant::now() < recent.until) {
            return Err(recent.current_error());
        }
        let mut attempt = 0;
        loop {
            let result = self.request_token().await;
            self.requests.increment(TokenRequestOutcome::from_result(&result));
            match result {
                Ok(token) => return Ok(token),
                Err(LoadError::Unavailable { .. }) if attempt + 1 < MAX_ATTEMPTS => {
                    tokio::time::sleep(BACKOFF.delay(attempt, fastrand::f64())).await;
                    attempt += 1;
                }
                Err(error) => return Err(failure.insert(CachedFailure::new(error)).current_error()),
            }
        }
    }

    async fn request_token(&self) -> Result<AccessToken, LoadError> {
        let body = json!({
            "app_id": self.credentials.app_id,
            "app_secret": self.credentials.app_secret.expose_secret(),
        });
        let reply = self.http.send(self.http.post(TOKEN_PATH).json(&body)).await;
        let reply = reply.map_err(|TransportError(reason)| unavailable(UpstreamDetail::default(), &reason))?;
        let body = String::from_utf8_lossy(&reply.body);
        let ClassifiedReply { class, upstream, .. } =
            reply_class::classify(reply.status, reply.log_id.as_deref(), &body);
        match class {
            ReplyClass::Success => self.store_token(&body, upstream),
            ReplyClass::Throttled => Err(unavailable(upstream, "the rate limit of the token API is exceeded")),
            ReplyClass::Transient(reason) => Err(unavailable(upstream, &reason)),
            ReplyClass::Rejected(reason) | ReplyClass::Forbidden(reason) => {
                Err(LoadError::Forbidden { upstream, reason })
            }
            ReplyClass::CredentialsRejected
            | ReplyClass::TokenRejected
            | ReplyClass::InvalidParameter
            | ReplyClass::QuotaSpent => Err(LoadError::Unauthorized { upstream, retry_after: REJECTION_RETRY_DELAY }),
        }
    }

    fn store_token(&self, body: &str, upstream: UpstreamDetail) -> Result<AccessToken, LoadError> {
        let Some((value, lifetime)) = parse_token_reply(body) else {
            return Err(unavailable(upstream, "the token reply contains no token"));
        };
        let token = AccessToken::new(value, lifetime);
        *self.current.write() = Some(token.clone());
        tracing::debug!(life_seconds = lifetime.as_secs(), "received an access token");
        Ok(token)
    }
}

/// Parses the token and its lifetime, 1 s to 2 h. `None` if there is no token that can be sent in a header.
#[must_use]
pub fn parse_token_reply(body: &str) -> Option<(SecretString, Duration)> {
    let reply = TokenReply::parse(body)?;
    let value = reply.tenant_access_token.text()?;
    // A token without a valid lifetime is used for 1 s, so that the present call can use it.
    let seconds = reply.expire.count().unwrap_or(0).clamp(1, 7200);
    let is_sendable = value.bytes().all(|byte| byte.is_ascii_graphic());
    is_sendable.then(|| (value.as_ref().into(), Duration::from_secs(seconds)))
}

impl TokenRequestOutcome {
    const fn from_result(result: &Result<AccessToken, LoadError>) -> Self {
        match result {
            Ok(_) => Self::Success,
            Err(error) if error.is_retryable() => Self::Failed,
            Err(_) => Self::Rejected,
        }
    }
}

impl MetricLabel for TokenRequestOutcome {
    const NAME: &'static str = "outcome";
}

impl Collector for TokenCache {
    fn collect(&self, exposition: &mut Exposition) {
        exposition
            .counter("feishu_pulse_token_requests_total", "Requests for an access token by outcome.")
            .counter_vec(&self.inner.requests);
    }
}

impl CachedFailure {
    fn new(error: LoadError) -> Self {
        let retry_delay = if error.is_retryable() { FAILURE_RETRY_DELAY } else { REJECTION_RETRY_DELAY };
        let remedy = error.remedy(None);
        tracing::error!(%error, %remedy, "no access token could be obtained");
        Self { until: Instant::now() + retry_delay, error }
    }

    /// The error, with the remaining delay as `retry_after`.
    fn current_error(&self) -> LoadError {
        match self.error.clone() {
            LoadError::Unauthorized { upstream, .. } => {
                LoadError::Unauthorized { upstream, retry_after: self.until.saturating_duration_since(Instant::now()) }
            }
            error => error,
        }
    }
}

fn unavailable(upstream: UpstreamDetail, reason: &str) -> LoadError {
    LoadError::Unavailable { upstream, reason: format!("no access token: {reason}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_refreshed_half_an_hour_before_it_expires() {
        let token = AccessToken::new("t".into(), Duration::from_secs(7200));
        assert_eq!(token.expires_at - token.refresh_at, REFRESH_BEFORE_EXPIRY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_lived_token_is_refreshed_in_its_last_quarter() {
        let token = AccessToken::new("t".into(), Duration::from_secs(4));
        assert_eq!(token.expires_at - token.refresh_at, Duration::from_secs(1));
    }

    #[test]
    fn the_debug_format_of_credentials_hides_the_secret() {
        let credentials = AppCredentials { app_id: "cli_a".into(), app_secret: "hush".into() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
