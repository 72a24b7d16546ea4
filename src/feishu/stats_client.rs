//! One page of user-days, asked for until there is an answer or no sense in asking: permit, token, send, judge, retry.

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::sync::watch;
use tracing::Instrument as _;

use super::{
    calls::{self, Calls, Timed},
    decode::{self, DecodedPage},
    http::{Http, NoReply, RawReply},
    quota::{Charge, Quota},
    throttle::{Permit, Throttle},
    token::{Token, Tokens},
    trace,
    verdict::{self, Judged, Verdict},
    wire,
};
use crate::{
    model::{Backoff, DayRange, Geo, Scope, UserIdType},
    source::{CallerId, LoadContext, LoadError, Priority, Upstream},
};

const PATH: &str = "/open-apis/admin/v1/admin_user_stats";

/// The largest page that upstream serves.
pub const PAGE_SIZE: usize = 60;

/// Tries of one page against failures that may pass: with the backoff below about half a minute.
const ATTEMPTS: u32 = 7;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };

/// Refusals of one page in a row before its chain is given up. The throttle spaces them out: it takes minutes.
const REFUSALS: u32 = 25;

/// When a caller should come back after a page was given up.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// What a page is a page of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose data residency.
    pub geo: Geo,
    /// Which ids the rows shall carry.
    pub user_id_type: UserIdType,
    /// Whose rows.
    pub scope: Scope,
    /// The days; at most 31.
    pub span: DayRange,
}

/// Whose turn a call takes, which may become more urgent while the call waits for it.
#[derive(Clone, Debug)]
pub struct Urgency {
    /// Who caused the call.
    pub caller: CallerId,
    /// How urgent it is.
    pub priority: watch::Receiver<Priority>,
}

/// Makes calls of upstream.
#[derive(Debug)]
pub struct Transport {
    http: Http,
    tokens: Tokens,
    throttle: Throttle,
    quota: Arc<Quota>,
    calls: Arc<Calls>,
    /// The tenant's own geo, which is asked without `target_geo`: naming a geo needs a feature that may be off.
    home: Geo,
}

/// What a call holds while it is under way.
struct Turn {
    permit: Permit,
    charge: Charge,
    timed: Timed,
}

/// Why a page was not had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageError {
    /// Upstream does not accept the page token (any more): the chain may be begun anew.
    PageToken(LoadError),
    /// There is no sense in going on.
    Load(LoadError),
}

/// What one call came to, and what to do next.
enum Outcome {
    Page(DecodedPage),
    /// Ask again with a new token.
    TokenRejected(Upstream),
    /// Ask again when the throttle lets us.
    Refused(Upstream),
    /// Ask again after a while.
    Passing(LoadError),
    Failed(PageError),
}

impl Urgency {
    /// How urgent the call is by now.
    #[must_use]
    pub fn now(&self) -> Priority {
        *self.priority.borrow()
    }
}

impl Transport {
    /// A transport made of its parts.
    #[must_use]
    pub fn new(http: Http, tokens: Tokens, throttle: Throttle, quota: Arc<Quota>, home: Geo) -> Self {
        Self { http, tokens, throttle, quota, calls: Arc::default(), home }
    }

    /// The throttle that every call goes through.
    #[must_use]
    pub const fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// The calls that were made.
    #[must_use]
    pub const fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// One page: the first without a token, or the one that `page_token` asks for.
    ///
    /// # Errors
    /// [`PageError`], after every retry that makes sense.
    pub async fn page(&self, ask: &Ask, page_token: Option<&str>, urgency: &Urgency) -> Result<DecodedPage, PageError> {
        let (mut failures, mut refusals, mut token_rejected) = (0, 0, false);
        loop {
            match self.call(ask, page_token, PAGE_SIZE, urgency).await? {
                Outcome::Page(page) => return Ok(page),
                Outcome::Failed(error) => return Err(error),
                Outcome::TokenRejected(_) if !token_rejected => token_rejected = true,
                Outcome::TokenRejected(upstream) => {
                    return Err(LoadError::Unauthorized { upstream, retry_after: GIVEN_UP }.into());
                }
                Outcome::Refused(_) if refusals < REFUSALS => refusals += 1,
                Outcome::Refused(upstream) => {
                    return Err(LoadError::Throttled { upstream, retry_after: GIVEN_UP }.into());
                }
                Outcome::Passing(error) if failures + 1 >= ATTEMPTS => return Err(error.into()),
                Outcome::Passing(error) => {
                    tracing::debug!(%error, attempt = failures, "a page failed and is asked for again");
                    tokio::time::sleep(BACKOFF.wait(failures, fastrand::f64())).await;
                    failures += 1;
                }
            }
        }
    }

    /// One page of at most `rows` rows, asked for once: whatever upstream says to it is the answer.
    ///
    /// # Errors
    /// [`LoadError`], without any further try.
    pub async fn try_once(&self, ask: &Ask, rows: usize, urgency: &Urgency) -> Result<DecodedPage, LoadError> {
        match self.call(ask, None, rows, urgency).await? {
            Outcome::Page(page) => Ok(page),
            Outcome::Failed(error) => Err(error.into()),
            Outcome::TokenRejected(upstream) => Err(LoadError::Unauthorized { upstream, retry_after: GIVEN_UP }),
            Outcome::Refused(upstream) => Err(LoadError::Throttled { upstream, retry_after: GIVEN_UP }),
            Outcome::Passing(error) => Err(error),
        }
    }

    async fn call(
        &self,
        ask: &Ask,
        page_token: Option<&str>,
        rows: usize,
        urgency: &Urgency,
    ) -> Result<Outcome, LoadError> {
        self.quota.check(urgency.now())?;
        // Before the permit, so that no turn passes while a token is fetched.
        self.tokens.current().await?;
        let permit = self.permit(urgency).await;
        // Again, since the wait for a turn may have been long.
        let charge = self.quota.charge(urgency.now())?;
        let token = self.tokens.current().await?;
        let request = self.http.get(PATH).query(&self.parameters(ask, page_token, rows)).bearer_auth(token.expose());
        let turn = Turn { permit, charge, timed: self.calls.begin() };
        let span = trace::call(PATH);
        let request = trace::propagated(request, &span);
        let exchange = async {
            match self.http.send(request).await {
                Ok(reply) => self.conclude(ask, page_token, &token, &reply, turn),
                Err(NoReply(reason)) => {
                    turn.timed.not_replied();
                    trace::failed(calls::Outcome::NoReply, &reason);
                    Outcome::Passing(LoadError::Unavailable { upstream: Upstream::default(), reason })
                }
            }
        };
        Ok(exchange.instrument(span).await)
    }

    /// Waits for a turn, and moves forward in the queue when the call becomes more urgent meanwhile.
    async fn permit(&self, urgency: &Urgency) -> Permit {
        let mut changes = urgency.priority.clone();
        loop {
            let context = LoadContext { priority: *changes.borrow_and_update(), caller: urgency.caller };
            tokio::select! {
                permit = self.throttle.acquire(context) => return permit,
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Judges a reply and tells everyone whom it concerns.
    fn conclude(&self, ask: &Ask, page_token: Option<&str>, token: &Token, reply: &RawReply, turn: Turn) -> Outcome {
        let Turn { permit, charge, timed } = turn;
        let Judged { verdict, upstream, reply: body } =
            verdict::judge(reply.status, reply.log_id.as_deref(), &reply.body);
        timed.replied(&verdict);
        trace::replied(reply.status, &upstream, &verdict);
        match &verdict {
            Verdict::Throttled => permit.refused(&reply.hints),
            // A server that fails says nothing about its limit.
            Verdict::Passing(_) | Verdict::QuotaSpent => drop(permit),
            _ => permit.accepted(&reply.hints),
        }
        match verdict {
            Verdict::Success => {
                charge.spend();
                page(body.as_ref(), ask.geo, upstream)
            }
            Verdict::Throttled => Outcome::Refused(upstream),
            Verdict::QuotaSpent => Outcome::Failed(self.quota.refused(upstream).into()),
            Verdict::TokenRejected => {
                self.tokens.reject(token);
                Outcome::TokenRejected(upstream)
            }
            Verdict::CredentialsRejected => {
                Outcome::Failed(LoadError::Unauthorized { upstream, retry_after: GIVEN_UP }.into())
            }
            Verdict::InvalidParameter => {
                let reason = "a parameter is invalid".into();
                let error = LoadError::Rejected { upstream, reason };
                Outcome::Failed(if page_token.is_some() { PageError::PageToken(error) } else { error.into() })
            }
            Verdict::Forbidden(reason) => Outcome::Failed(LoadError::Forbidden { upstream, reason }.into()),
            Verdict::Rejected(reason) => Outcome::Failed(LoadError::Rejected { upstream, reason }.into()),
            Verdict::Passing(reason) => Outcome::Passing(LoadError::Unavailable { upstream, reason }),
        }
    }

    fn parameters<'a>(
        &self,
        ask: &'a Ask,
        page_token: Option<&'a str>,
        rows: usize,
    ) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut parameters = vec![
            ("user_id_type", ask.user_id_type.name().into()),
            ("start_date", ask.span.first().to_string().into()),
            ("end_date", ask.span.last().to_string().into()),
            ("page_size", rows.to_string().into()),
        ];
        match &ask.scope {
            Scope::Everyone => {}
            Scope::Department(kind, id) => {
                parameters.extend([("department_id_type", kind.name().into()), ("department_id", (&**id).into())]);
            }
            Scope::User(id) => parameters.push(("user_id", (&**id).into())),
        }
        parameters.extend((ask.geo != self.home).then(|| ("target_geo", ask.geo.name().into())));
        parameters.extend(page_token.map(|token| ("page_token", token.into())));
        parameters
    }
}

/// A success whose payload can't be read is a failure that may pass.
fn page(body: Option<&wire::Reply<'_>>, geo: Geo, upstream: Upstream) -> Outcome {
    match body.and_then(|reply| decode::reply(reply, geo)) {
        Some(page) => Outcome::Page(page),
        None => {
            Outcome::Passing(LoadError::Unavailable { upstream, reason: "the page of a reply is unreadable".into() })
        }
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
            // The page tokens are upstream's own: that it takes none of them is no fault of whoever asked.
            PageError::PageToken(error) => Self::Unavailable {
                upstream: error.upstream().cloned().unwrap_or_default(),
                reason: "it does not accept its own page tokens".into(),
            },
            PageError::Load(error) => error,
        }
    }
}
