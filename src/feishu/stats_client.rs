//! [`StatsClient`], the client of Feishu's stats endpoint: permit, token, request, classification, retry.

use std::{borrow::Cow, cell::OnceCell, sync::Arc, time::Duration};

use adaptive_throttle::{Permit, Throttle, TrafficClass};
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::{
    call_metrics::{self, CallMetrics, CallTimer},
    call_trace,
    clock_check::ClockCheck,
    decode::{self, PackedPage},
    http::{HttpClient, RawReply, TransportError},
    json_repair::repair_json,
    quota::{MonthlyQuota, QuotaCharge, QuotaRefusal},
    reply_class::{self, ClassifiedReply, ReplyClass},
    token::{AccessToken, TokenCache},
};
use crate::{
    fleet::Leadership,
    model::{Backoff, Clock, DataScope, DayRange, Geo, UserIdType},
    source::{CallerId, LoadError, PAGE_SIZE, Priority, UpstreamDetail},
    table::Dictionary,
};

const STATS_PATH: &str = "/open-apis/admin/v1/admin_user_stats";

/// Maximum number of attempts of one page, if it fails temporarily. With the backoff below they take about 30 s.
pub const MAX_ATTEMPTS: u32 = 7;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };

/// Maximum number of rate-limit refusals of one page. The throttle delays the attempts, so they take minutes.
const MAX_REFUSALS: u32 = 25;

/// `retry_after` of the errors after a page has failed.
const FAILED_PAGE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The query of a chain: all parameters of a page except the page token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The data residency.
    pub geo: Geo,
    /// The type of the user ids in the rows.
    pub user_id_type: UserIdType,
    /// The people whose rows are requested.
    pub scope: DataScope,
    /// The days, at most 31.
    pub range: DayRange,
}

/// Caller and priority of a call. The priority can be raised while the call waits for a permit.
#[derive(Clone, Debug)]
pub struct CallPriority {
    /// The caller.
    pub caller: CallerId,
    /// The order of the calls of one caller: the lowest rank first.
    pub rank: u64,
    /// The priority.
    pub priority: watch::Receiver<Priority>,
}

/// Client of the stats endpoint.
#[derive(Debug)]
pub struct StatsClient {
    http: HttpClient,
    tokens: TokenCache,
    throttle: Throttle<CallerId>,
    quota: Arc<MonthlyQuota>,
    leadership: Leadership,
    call_metrics: Arc<CallMetrics>,
    clock_check: ClockCheck,
    /// The tenant's own geo. It is requested without `target_geo`, because that parameter needs a feature that may be
    /// disabled.
    home_geo: Geo,
}

/// Guards that a call holds while it is in flight.
struct CallGuards {
    permit: Permit<CallerId>,
    charge: QuotaCharge,
    timer: CallTimer,
    sent_at: Timestamp,
}

/// Why a page could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    /// Upstream rejects the page token. The chain can be restarted from its first page.
    InvalidPageToken(LoadError),
    /// The chain cannot be continued.
    Load(LoadError),
}

/// A page, with the log id of its reply.
#[derive(Debug)]
pub struct FetchedPage {
    /// The page.
    pub page: PackedPage,
    /// The id of the call in Feishu's log search.
    pub log_id: Option<Arc<str>>,
    /// Whether the clock of this machine was ahead of upstream's.
    pub clock_ahead: bool,
}

/// Result of one call.
enum AttemptResult {
    Page(FetchedPage),
    /// Retry with a new access token.
    TokenRejected(UpstreamDetail),
    /// Retry when the throttle grants a permit.
    Throttled(UpstreamDetail),
    /// Retry after a backoff.
    Transient(LoadError),
    Failed(PageError),
}

impl CallPriority {
    /// The current priority.
    #[must_use]
    pub fn current(&self) -> Priority {
        *self.priority.borrow()
    }
}

impl From<Priority> for TrafficClass {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Interactive => Self::Interactive,
            Priority::Background => Self::Background,
        }
    }
}

impl StatsClient {
    /// Creates a client.
    #[must_use]
    pub fn new(
        http: HttpClient,
        tokens: TokenCache,
        throttle: Throttle<CallerId>,
        quota: Arc<MonthlyQuota>,
        clock: Arc<dyn Clock>,
        home_geo: Geo,
    ) -> Self {
        let leadership = Leadership::sole();
        let (call_metrics, clock_check) = (Arc::default(), ClockCheck::new(clock));
        Self { http, tokens, throttle, quota, leadership, call_metrics, clock_check, home_geo }
    }

    /// Calls only while this right lasts.
    #[must_use]
    pub fn with_leadership(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    /// Whether pages may be requested before it is known that they exist. At a reduced rate they would delay other pages.
    #[must_use]
    pub fn may_look_ahead(&self) -> bool {
        self.leadership.leads()
    }

    /// The throttle of all calls.
    #[must_use]
    pub const fn throttle(&self) -> &Throttle<CallerId> {
        &self.throttle
    }

    /// The metrics of all calls.
    #[must_use]
    pub const fn call_metrics(&self) -> &Arc<CallMetrics> {
        &self.call_metrics
    }

    /// Fetches the page with this token, or the first page without a token, and packs its rows with `dictionary`. Makes at most
    /// `max_attempts` attempts if it fails temporarily.
    ///
    /// # Errors
    /// [`PageError`] after a permanent failure, or if all attempts have failed.
    pub async fn fetch_page(
        &self,
        request: &PageRequest,
        page_token: Option<&str>,
        dictionary: &Dictionary,
        call_priority: &CallPriority,
        max_attempts: u32,
    ) -> Result<FetchedPage, PageError> {
        let (mut failures, mut refusals, mut token_rejected) = (0, 0, false);
        loop {
            match self.call(request, page_token, PAGE_SIZE, dictionary, call_priority).await? {
                AttemptResult::Page(page) => return Ok(page),
                AttemptResult::Failed(error) => return Err(error),
                AttemptResult::TokenRejected(_) if !token_rejected => token_rejected = true,
                AttemptResult::TokenRejected(upstream) => {
                    return Err(LoadError::Unauthorized { upstream, retry_after: FAILED_PAGE_RETRY_AFTER }.into());
                }
                AttemptResult::Throttled(_) if refusals < MAX_REFUSALS => refusals += 1,
                AttemptResult::Throttled(upstream) => {
                    return Err(LoadError::Throttled { upstream, retry_after: FAILED_PAGE_RETRY_AFTER }.into());
                }
                AttemptResult::Transient(error) if failures + 1 >= max_attempts => return Err(error.into()),
                AttemptResult::Transient(error) => {
                    tracing::debug!(%error, attempt = failures, "a page failed and is retried");
                    tokio::time::sleep(BACKOFF.delay(failures, fastrand::f64())).await;
                    failures += 1;
                }
            }
        }
    }

    /// Fetches the first page, of at most `rows` rows, in a single attempt.
    ///
    /// # Errors
    /// [`LoadError`] if the attempt fails.
    pub async fn fetch_page_once(
        &self,
        request: &PageRequest,
        rows: usize,
        dictionary: &Dictionary,
        call_priority: &CallPriority,
    ) -> Result<FetchedPage, LoadError> {
        match self.call(request, None, rows, dictionary, call_priority).await? {
            AttemptResult::Page(page) => Ok(page),
            AttemptResult::Failed(error) => Err(error.into()),
            AttemptResult::TokenRejected(upstream) => {
                Err(LoadError::Unauthorized { upstream, retry_after: FAILED_PAGE_RETRY_AFTER })
            }
            AttemptResult::Throttled(upstream) => {
                Err(LoadError::Throttled { upstream, retry_after: FAILED_PAGE_RETRY_AFTER })
            }
            AttemptResult::Transient(error) => Err(error),
        }
    }

    async fn call(
        &self,
        request: &PageRequest,
        page_token: Option<&str>,
        rows: usize,
        dictionary: &Dictionary,
        call_priority: &CallPriority,
    ) -> Result<AttemptResult, LoadError> {
        let (permit, mut charge) = loop {
            if !self.leadership.may_make(call_priority.current()) {
                return Err(LoadError::NotLeader);
            }
            tokio::select! {
                biased;
                admitted = self.quota.admit(call_priority.current()) => admitted?,
                // Only a renewal of the lease ends some waits.
                () = self.leadership.lease_ended() => return Err(LoadError::NotLeader),
            }
            // Before the permit, so that no permit is held while a token is requested.
            self.tokens.current().await?;
            let permit = tokio::select! {
                permit = self.acquire_permit(call_priority) => permit,
                () = self.right_ended(call_priority) => return Err(LoadError::NotLeader),
            };
            // The wait for the permit may have been long.
            match self.quota.charge(call_priority.current()) {
                Ok(charge) => break (permit, charge),
                Err(QuotaRefusal::Exhausted(error)) => return Err(error),
                // Wait without a permit.
                Err(QuotaRefusal::TrialInFlight | QuotaRefusal::AwaitsRenewal) => {}
            }
        };
        let token = self.tokens.current().await?;
        // The last check before the call: the waits above may have been longer than the lease.
        if !self.leadership.may_make(call_priority.current()) {
            return Err(LoadError::NotLeader);
        }
        let http_request = self
            .http
            .get(STATS_PATH)
            .query(&self.query_parameters(request, page_token, rows))
            .bearer_auth(token.expose());
        charge.mark_sent();
        let (timer, sent_at) = (self.call_metrics.start_call(), self.clock_check.now());
        let mut guards = CallGuards { permit, charge, timer, sent_at };
        let span = call_trace::call_span(STATS_PATH);
        let http_request = call_trace::with_trace_headers(http_request, &span);
        let exchange = async {
            match self.http.send(http_request).await {
                Ok(reply) => self.handle_reply(request, page_token, dictionary, &token, &reply, guards),
                Err(TransportError(reason)) => {
                    guards.timer.record_no_reply();
                    guards.charge.mark_failed();
                    call_trace::record_failure(call_metrics::CallOutcome::NoReply, &reason);
                    AttemptResult::Transient(LoadError::Unavailable { upstream: UpstreamDetail::default(), reason })
                }
            }
        };
        Ok(exchange.instrument(span).await)
    }

    /// Completes when a call of this priority may not be sent any more.
    async fn right_ended(&self, call_priority: &CallPriority) {
        self.leadership.lease_ended().await;
        if call_priority.current() == Priority::Interactive {
            self.leadership.lost().await;
        }
    }

    /// Waits for a permit. If the priority is raised meanwhile, the call is queued again with the new priority.
    async fn acquire_permit(&self, call_priority: &CallPriority) -> Permit<CallerId> {
        let mut changes = call_priority.priority.clone();
        loop {
            let priority = *changes.borrow_and_update();
            tokio::select! {
                permit = self.throttle.acquire_ranked(call_priority.caller, priority.into(), call_priority.rank) => return permit,
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Classifies a reply and passes the result to the metrics, the trace, the throttle, the quota and the token cache.
    fn handle_reply(
        &self,
        request: &PageRequest,
        page_token: Option<&str>,
        dictionary: &Dictionary,
        token: &AccessToken,
        reply: &RawReply,
        guards: CallGuards,
    ) -> AttemptResult {
        let CallGuards { permit, mut charge, timer, sent_at } = guards;
        // The strict check is faster, and replies are nearly always valid.
        let text = str::from_utf8(&reply.body).map_or_else(|_| String::from_utf8_lossy(&reply.body), Cow::Borrowed);
        let log_id = reply.log_id.as_deref();
        let classify = |text| reply_class::classify(reply.status, log_id, text);
        let (page, repaired) = (decode::decode_success(&text, request.geo, request.range), OnceCell::new());
        let classified = match &page {
            Some(_) => ClassifiedReply::success(log_id),
            None => Some(classify(&text))
                .filter(|classified| classified.envelope.is_some())
                .unwrap_or_else(|| classify(repaired.get_or_init(|| repair_json(&text)))),
        };
        let ClassifiedReply { class, upstream, envelope } = classified;
        timer.record_reply(&class);
        call_trace::record_reply(reply.status, &upstream, &class);
        match &class {
            ReplyClass::Throttled => permit.refused(&reply.hints),
            // Such a reply contains no information about the rate limit.
            ReplyClass::Transient(_) | ReplyClass::QuotaSpent => drop(permit),
            _ => permit.accepted(&reply.hints),
        }
        charge.mark_failed();
        match class {
            ReplyClass::Success => {
                charge.commit();
                let payload = envelope.and_then(|envelope| envelope.data);
                let page = page.unwrap_or_else(|| decode::decode_payload(payload, request.geo, request.range));
                let values = page.rows.iter().map(|row| u64::from(row.unreadable_values)).sum();
                self.call_metrics.record_unreadable(u64::from(page.unreadable_rows), values);
                AttemptResult::Page(FetchedPage {
                    page: page.pack(dictionary),
                    log_id: upstream.log_id,
                    clock_ahead: self.clock_check.is_ahead(sent_at, reply.date),
                })
            }
            ReplyClass::Throttled => AttemptResult::Throttled(upstream),
            ReplyClass::QuotaSpent => AttemptResult::Failed(self.quota.record_exhausted(upstream).into()),
            ReplyClass::TokenRejected => {
                self.tokens.reject(token);
                AttemptResult::TokenRejected(upstream)
            }
            ReplyClass::CredentialsRejected => {
                AttemptResult::Failed(LoadError::Unauthorized { upstream, retry_after: FAILED_PAGE_RETRY_AFTER }.into())
            }
            ReplyClass::InvalidParameter => {
                let reason = "a parameter is invalid".into();
                let error = LoadError::Rejected { upstream, reason };
                AttemptResult::Failed(if page_token.is_some() {
                    PageError::InvalidPageToken(error)
                } else {
                    error.into()
                })
            }
            ReplyClass::Forbidden(reason) => AttemptResult::Failed(LoadError::Forbidden { upstream, reason }.into()),
            ReplyClass::Rejected(reason) => AttemptResult::Failed(LoadError::Rejected { upstream, reason }.into()),
            ReplyClass::Transient(reason) => AttemptResult::Transient(LoadError::Unavailable { upstream, reason }),
        }
    }

    fn query_parameters<'a>(
        &self,
        request: &'a PageRequest,
        page_token: Option<&'a str>,
        rows: usize,
    ) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut parameters = vec![
            ("user_id_type", request.user_id_type.name().into()),
            ("start_date", request.range.first().to_string().into()),
            ("end_date", request.range.last().to_string().into()),
            ("page_size", rows.to_string().into()),
        ];
        match &request.scope {
            DataScope::Everyone => {}
            DataScope::Department(kind, id) => {
                parameters.extend([("department_id_type", kind.name().into()), ("department_id", (&**id).into())]);
            }
            DataScope::User(id) => parameters.push(("user_id", (&**id).into())),
        }
        parameters.extend((request.geo != self.home_geo).then(|| ("target_geo", request.geo.name().into())));
        parameters.extend(page_token.map(|token| ("page_token", token.into())));
        parameters
    }
}

impl From<LoadError> for PageError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<PageError> for LoadError {
    fn from(error: PageError) -> Self {
        match error {
            // The page tokens come from upstream, so the caller's request is not at fault.
            PageError::InvalidPageToken(error) => Self::Unavailable {
                upstream: error.upstream().cloned().unwrap_or_default(),
                reason: "it does not accept its own page tokens".into(),
            },
            PageError::Load(error) => error,
        }
    }
}
