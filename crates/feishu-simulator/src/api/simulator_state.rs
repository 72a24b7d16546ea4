//! Everything the two paths share: the app, the limits, the tenant, and what is remembered of each call.

use std::{future::Future, sync::Arc, time::Duration};

use axum::http::{HeaderMap, header};
use tokio::time::Instant;

use super::{
    access_token::AccessTokens, answer::Answer, failure::Failure, page_token::PageTokens, query::StatsQuery,
    quota::Quota,
};
use crate::{
    model::{Clock, Day},
    sim::{
        Faults, Ledger, Mishap, PathKind, RefusalStatus, ResetHint, SimConfig, Tenant,
        chance::{draw, mix, mix_text},
        ledger::Entry,
        limit::{Limits, Refusal},
        shared::Shared,
    },
};

const LOG_ID: u64 = mix_text("log_id");
/// What a successful reply says of the limit: upstream calls the number opaque.
const OPAQUE_LIMIT: u32 = 100;
const JITTER: u64 = mix_text("jitter");

/// The simulated Feishu, but for the socket.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: SimConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) access: AccessTokens,
    pub(crate) pages: PageTokens,
    pub(crate) quota: Quota,
    limits: Shared<Limits>,
}

/// A call that is being answered.
pub(crate) struct Visit {
    entry: Entry,
    pub(crate) log_id: String,
}

/// A stats call that does not get past the door, with what it is told about the limit.
#[derive(Debug)]
pub(crate) struct TurnedAway {
    failure: Failure,
    refusal: Option<Refusal>,
}

impl World {
    pub(crate) fn new(config: SimConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            tenant: Arc::new(Tenant::new(&config, clock.now())),
            ledger: Arc::new(Ledger::new()),
            faults: Arc::default(),
            access: AccessTokens::new(&config),
            pages: PageTokens::new(config.page_tokens, config.seed),
            quota: Quota::new(config.quota),
            limits: Shared::new(config.limits.clone()),
            config,
            clock,
        }
    }

    /// Today, by the tenant's own calendar.
    pub(crate) fn today(&self) -> Day {
        self.config.home().today(self.clock.now())
    }

    /// Enters a call in the ledger, and gives it a log id.
    pub(crate) fn receive(&self, path: PathKind, query: Option<StatsQuery>) -> Visit {
        let page = query.as_ref().and_then(|query| self.pages.page_of(query)).map(|page| page + 1);
        let entry = self.ledger.open(path, query, page);
        let time = self.config.home().offset().to_datetime(self.clock.now()).strftime("%Y%m%d%H%M%S");
        let log_id = format!("{time}{:016X}{:04X}", mix(&[self.config.seed, LOG_ID, entry.number()]), entry.number());
        Visit { entry, log_id }
    }

    /// Enters a stats call, and says whether it gets past the door: with a valid access token, and within the limits.
    ///
    /// The limits judge by the instant that the ledger shows, so that both tell the same story to the nanosecond.
    pub(crate) fn receive_limited(
        &self,
        query: Option<&StatsQuery>,
        headers: &HeaderMap,
    ) -> (Visit, Result<(), TurnedAway>) {
        let mut limits = self.limits.lock();
        let visit = self.receive(PathKind::Stats, query.cloned());
        let admission = self.authorise(headers).and_then(|()| {
            let over = |refusal| TurnedAway { failure: self.over_the_limit(), refusal: Some(refusal) };
            limits.admit(visit.entry.offset()).map_err(over)
        });
        (visit, admission)
    }

    /// What a call is told that was turned away.
    pub(crate) fn turn_away(&self, away: &TurnedAway, visit: &Visit) -> Answer {
        let answer = Answer::failure(&away.failure, &visit.log_id);
        match away.refusal {
            Some(refusal) => self.hint(answer, refusal.calls, refusal.reset),
            None => answer,
        }
    }

    /// The headers about limits that a successful reply carries, if it does.
    pub(crate) fn hint_at_success(&self, answer: Answer) -> Answer {
        if self.config.rate_hints.on_success { self.hint(answer, OPAQUE_LIMIT, Duration::ZERO) } else { answer }
    }

    /// Takes the time that upstream takes, then sends the answer and enters what it was.
    pub(crate) async fn reply(&self, visit: Visit, answer: impl Future<Output = Answer>) -> axum::response::Response {
        tokio::time::sleep(self.delay(visit.entry.number())).await;
        let answer = answer.await.with_header("x-tt-logid", visit.log_id);
        visit.entry.finish(answer.outcome());
        answer.into_response()
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), TurnedAway> {
        let turned_away = |code| TurnedAway { failure: Failure::of(code), refusal: None };
        let token = bearer(headers).ok_or_else(|| turned_away(99_991_661))?;
        let is_valid = self.access.is_valid(token, Instant::now());
        is_valid.then_some(()).ok_or_else(|| turned_away(99_991_663))
    }

    /// How long a call takes.
    fn delay(&self, number: u64) -> Duration {
        let chance = draw(&[self.config.seed, JITTER, number]).f64();
        self.config.latency + self.config.jitter.mul_f64(chance)
    }

    fn over_the_limit(&self) -> Failure {
        let status = match self.config.refuse_with {
            RefusalStatus::TooManyRequests => 429,
            RefusalStatus::BadRequest => 400,
        };
        Failure { status, ..Failure::of(99_991_400) }
    }

    fn hint(&self, answer: Answer, calls: u32, reset: Duration) -> Answer {
        let reset = match &self.config.rate_hints.reset {
            ResetHint::Absent => return answer,
            ResetHint::Seconds => reset.as_secs_f64().ceil().to_string(),
            ResetHint::Decimal => format!("{:.3}", reset.as_secs_f64()),
            ResetHint::Fixed(text) => text.clone(),
        };
        answer.with_header("x-ogw-ratelimit-limit", calls.to_string()).with_header("x-ogw-ratelimit-reset", reset)
    }
}

impl Visit {
    pub(crate) fn note(&self, mishap: Option<&Mishap>) {
        self.entry.note(mishap);
    }
}

/// The access token of a call.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::model::ManualClock;

    fn world(config: SimConfig) -> World {
        World::new(config, Arc::new(ManualClock::at("2026-11-22T04:00:00Z".parse().expect("an instant"))))
    }

    #[tokio::test]
    async fn a_call_takes_as_long_as_its_number_says() {
        let (latency, jitter) = (Duration::from_millis(100), Duration::from_millis(50));
        let config = SimConfig { latency, jitter, ..SimConfig::default() };
        let (one, other) = (world(config.clone()), world(config));

        let delays: Vec<Duration> = (0..50).map(|number| one.delay(number)).collect();

        assert!(delays.iter().all(|delay| (latency..latency + jitter).contains(delay)));
        assert!(delays[1..].iter().all(|delay| *delay != delays[0]));
        assert_eq!(delays, (0..50).map(|number| other.delay(number)).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn every_call_has_a_log_id_of_its_own() {
        let world = world(SimConfig::default());

        let [one, other] = [(); 2].map(|()| world.receive(PathKind::Other, None).log_id);

        assert!(one.starts_with("20261122120000") && one.len() == 34, "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_token_comes_after_the_word_bearer() {
        let sent = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned)
        };

        assert_eq!(sent("Bearer t-1"), Some("t-1".to_owned()));
        assert_eq!([sent("t-1"), sent("Bearer "), sent("Basic dDox")], [None, None, None]);
    }
}
