//! The state that both endpoints share: app, tenant, limits, quota, faults and call log.

use std::{future::Future, sync::Arc, time::Duration};

use axum::http::{HeaderMap, header};
use jiff::civil::Date;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    access_token::AccessTokenIssuer, api_error::ApiError, call_quota::CallQuota, page_token::PageTokenCodec,
    reply::SimulatedReply, stats_request::StatsRequest,
};
use crate::{
    CallLog, Endpoint, FaultInjector, FaultKind, OverLimitStatus, ResetHeader, SimulatorConfig, Tenant,
    call_log::OpenCall,
    clock::WallClock,
    rate_limit::{RateLimitExceeded, RateLimits},
    seeded_rng::{hash_parts, hash_text, rng_for},
};

const LOG_ID: u64 = hash_text("log_id");
/// The value of `x-ogw-ratelimit-limit` in successful replies. Feishu does not document what the number means.
const LIMIT_HEADER_ON_SUCCESS: u32 = 100;
const JITTER: u64 = hash_text("jitter");

/// The simulated Feishu without its HTTP server.
#[derive(Debug)]
pub(crate) struct SimulatorState {
    pub(crate) config: SimulatorConfig,
    pub(crate) clock: WallClock,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) call_log: Arc<CallLog>,
    pub(crate) faults: Arc<FaultInjector>,
    pub(crate) access_tokens: AccessTokenIssuer,
    pub(crate) page_tokens: PageTokenCodec,
    pub(crate) quota: CallQuota,
    limits: Mutex<RateLimits>,
}

/// A call that has no reply yet.
pub(crate) struct ActiveCall {
    open_call: OpenCall,
    pub(crate) log_id: String,
}

/// Why a call to `admin_user_stats` is rejected before it is processed: no valid access token, or a rate limit.
#[derive(Debug)]
pub(crate) struct Rejection {
    error: ApiError,
    exceeded: Option<RateLimitExceeded>,
}

impl SimulatorState {
    pub(crate) fn new(config: SimulatorConfig, clock: WallClock) -> Self {
        Self {
            tenant: Arc::new(Tenant::new(&config, clock.now())),
            call_log: Arc::new(CallLog::new()),
            faults: Arc::default(),
            access_tokens: AccessTokenIssuer::new(&config),
            page_tokens: PageTokenCodec::new(config.page_tokens, config.seed),
            quota: CallQuota::new(config.quota),
            limits: Mutex::new(config.limits.clone()),
            config,
            clock,
        }
    }

    /// The date in the tenant's home geo.
    pub(crate) fn today(&self) -> Date {
        self.config.home_geo().today(self.clock.now())
    }

    /// Logs a call and assigns a log id.
    pub(crate) fn log_call(&self, endpoint: Endpoint, query: Option<StatsRequest>) -> ActiveCall {
        let page = query.as_ref().and_then(|query| self.page_tokens.page_of(query)).map(|page| page + 1);
        let open_call = self.call_log.start(endpoint, query, page);
        let time = self.config.home_geo().offset().to_datetime(self.clock.now()).strftime("%Y%m%d%H%M%S");
        let log_id = format!(
            "{time}{:016X}{:04X}",
            hash_parts(&[self.config.seed, LOG_ID, open_call.number()]),
            open_call.number()
        );
        ActiveCall { open_call, log_id }
    }

    /// Logs a call to `admin_user_stats`, then checks its access token and the rate limits.
    ///
    /// The limits use the arrival time of the call log, so a test can recompute every decision from the log.
    pub(crate) fn admit_stats_call(
        &self,
        query: Option<&StatsRequest>,
        headers: &HeaderMap,
    ) -> (ActiveCall, Result<(), Rejection>) {
        let mut limits = self.limits.lock();
        let call = self.log_call(Endpoint::Stats, query.cloned());
        let admission = self.authorise(headers).and_then(|()| {
            let over_limit = |exceeded| Rejection { error: self.over_limit_error(), exceeded: Some(exceeded) };
            limits.admit(call.open_call.offset()).map_err(over_limit)
        });
        (call, admission)
    }

    /// The reply for a rejected call.
    pub(crate) fn rejection_reply(&self, rejection: &Rejection, call: &ActiveCall) -> SimulatedReply {
        let reply = SimulatedReply::error(&rejection.error, &call.log_id);
        match rejection.exceeded {
            Some(exceeded) => self.with_rate_limit_headers(reply, exceeded.calls, exceeded.reset),
            None => reply,
        }
    }

    /// Adds the rate limit headers to a successful reply if they are configured.
    pub(crate) fn with_success_headers(&self, reply: SimulatedReply) -> SimulatedReply {
        if self.config.rate_limit_headers.on_success {
            self.with_rate_limit_headers(reply, LIMIT_HEADER_ON_SUCCESS, Duration::ZERO)
        } else {
            reply
        }
    }

    /// Waits for the latency of the call, then returns the response and logs the result.
    pub(crate) async fn reply(
        &self,
        call: ActiveCall,
        reply: impl Future<Output = SimulatedReply>,
    ) -> axum::response::Response {
        tokio::time::sleep(self.delay(call.open_call.number())).await;
        let reply = reply.await.with_header("x-tt-logid", call.log_id).with_default_date(self.clock.now());
        call.open_call.finish(reply.result());
        reply.into_response()
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let rejection = |code| Rejection { error: ApiError::from_code(code), exceeded: None };
        let token = bearer_token(headers).ok_or_else(|| rejection(99_991_661))?;
        let is_valid = self.access_tokens.is_valid(token, Instant::now());
        is_valid.then_some(()).ok_or_else(|| rejection(99_991_663))
    }

    /// The latency of call `number`.
    fn delay(&self, number: u64) -> Duration {
        let random = rng_for(&[self.config.seed, JITTER, number]).f64();
        self.config.latency + self.config.jitter.mul_f64(random)
    }

    fn over_limit_error(&self) -> ApiError {
        let status = match self.config.over_limit_status {
            OverLimitStatus::TooManyRequests => 429,
            OverLimitStatus::BadRequest => 400,
        };
        ApiError { status, ..ApiError::from_code(99_991_400) }
    }

    fn with_rate_limit_headers(&self, reply: SimulatedReply, calls: u32, reset: Duration) -> SimulatedReply {
        let reset = match &self.config.rate_limit_headers.reset {
            ResetHeader::Absent => return reply,
            ResetHeader::Seconds => reset.as_secs_f64().ceil().to_string(),
            ResetHeader::Decimal => format!("{:.3}", reset.as_secs_f64()),
            ResetHeader::Fixed(text) => text.clone(),
        };
        reply.with_header("x-ogw-ratelimit-limit", calls.to_string()).with_header("x-ogw-ratelimit-reset", reset)
    }
}

impl ActiveCall {
    pub(crate) fn set_fault(&self, fault: Option<&FaultKind>) {
        self.open_call.set_fault(fault);
    }
}

/// The bearer token of a call.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn state(config: SimulatorConfig) -> SimulatorState {
        SimulatorState::new(config, WallClock::new(|| "2026-11-22T04:00:00Z".parse().expect("an instant")))
    }

    #[tokio::test]
    async fn the_latency_depends_on_the_call_number_only() {
        let (latency, jitter) = (Duration::from_millis(100), Duration::from_millis(50));
        let config = SimulatorConfig { latency, jitter, ..SimulatorConfig::default() };
        let (one, other) = (state(config.clone()), state(config));

        let delays: Vec<Duration> = (0..50).map(|number| one.delay(number)).collect();

        assert!(delays.iter().all(|delay| (latency..latency + jitter).contains(delay)));
        assert!(delays[1..].iter().all(|delay| *delay != delays[0]));
        assert_eq!(delays, (0..50).map(|number| other.delay(number)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn every_call_has_its_own_log_id() {
        let state = state(SimulatorConfig::default());

        let [one, other] = [(); 2].map(|()| state.log_call(Endpoint::Other, None).log_id);

        assert!(one.starts_with("20261122120000") && one.len() == 34, "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn the_token_follows_the_scheme_bearer() {
        let token_of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer_token(&headers).map(str::to_owned)
        };

        assert_eq!(token_of("Bearer t-1"), Some("t-1".to_owned()));
        assert_eq!([token_of("t-1"), token_of("Bearer "), token_of("Basic dDox")], [None, None, None]);
    }
}
