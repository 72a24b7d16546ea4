//! Calls of upstream as an operator sees them: how many ended how, and how long they took.

use std::sync::Arc;

use tokio::time::Instant;

use super::verdict::Verdict;
use crate::meter::{Exposition, Histogram, Label, Meter, Tally};

/// From a quick reply to the longest that a call may take.
const SECONDS: &[f64] = &[0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0];

/// Counts and times calls of the stats path.
#[derive(Debug)]
pub struct Calls {
    outcomes: Tally<Outcome>,
    seconds: Histogram,
}

/// A call under way. Dropping it without a word counts it as abandoned: nobody wanted its page any more.
#[derive(Debug)]
pub struct Timed {
    calls: Arc<Calls>,
    begun: Instant,
    outcome: Outcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Throttled,
    QuotaSpent,
    TokenRejected,
    CredentialsRejected,
    InvalidParameter,
    Forbidden,
    Rejected,
    Failed,
    NoReply,
    Abandoned,
}

impl Calls {
    /// A call begins.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Timed {
        Timed { calls: Arc::clone(self), begun: Instant::now(), outcome: Outcome::Abandoned }
    }
}

impl Timed {
    /// A reply came, and means this.
    pub fn replied(mut self, verdict: &Verdict) {
        self.outcome = verdict.into();
    }

    /// No reply came.
    pub fn not_replied(mut self) {
        self.outcome = Outcome::NoReply;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.calls.outcomes.add_one(self.outcome);
        if self.outcome != Outcome::Abandoned {
            self.calls.seconds.record(self.begun.elapsed());
        }
    }
}

impl Default for Calls {
    fn default() -> Self {
        Self { outcomes: Tally::default(), seconds: Histogram::new(SECONDS) }
    }
}

impl Meter for Calls {
    fn write(&self, page: &mut Exposition) {
        page.counter(
            "feishu_pulse_upstream_calls_total",
            "Calls of Feishu's stats path by how they ended; `throttled` are refusals for the rate limit.",
        )
        .tally(&self.outcomes);
        page.histogram("feishu_pulse_upstream_call_seconds", "How long calls of Feishu's stats path took.")
            .distribution(&[], &self.seconds);
    }
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Success,
        Self::Throttled,
        Self::QuotaSpent,
        Self::TokenRejected,
        Self::CredentialsRejected,
        Self::InvalidParameter,
        Self::Forbidden,
        Self::Rejected,
        Self::Failed,
        Self::NoReply,
        Self::Abandoned,
    ];

    fn value(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Throttled => "throttled",
            Self::QuotaSpent => "quota_spent",
            Self::TokenRejected => "token_rejected",
            Self::CredentialsRejected => "credentials_rejected",
            Self::InvalidParameter => "invalid_parameter",
            Self::Forbidden => "forbidden",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::NoReply => "no_reply",
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Success => Self::Success,
            Verdict::Throttled => Self::Throttled,
            Verdict::QuotaSpent => Self::QuotaSpent,
            Verdict::TokenRejected => Self::TokenRejected,
            Verdict::CredentialsRejected => Self::CredentialsRejected,
            Verdict::InvalidParameter => Self::InvalidParameter,
            Verdict::Forbidden(_) => Self::Forbidden,
            Verdict::Rejected(_) => Self::Rejected,
            Verdict::Passing(_) => Self::Failed,
        }
    }
}
