//! The script of faults: what shall go wrong, with which of the next calls.

use std::time::Duration;

use super::{StatsQuery, api::Failure, ledger::PathKind, shared::Shared};
use crate::model::{Day, Geo};

/// Faults that wait for the calls they are meant for. One call meets at most one fault: the first that was pushed.
///
/// Only calls that bring a valid access token and are within the limits meet faults; all others have trouble enough.
#[derive(Debug, Default)]
pub struct Faults {
    script: Shared<Vec<Fault>>,
}

/// What shall go wrong, with which calls, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    mishap: Mishap,
    calls: Calls,
    skip: u32,
    times: u32,
}

/// The calls a fault is meant for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// Every call to the stats path.
    #[default]
    Stats,
    /// Stats calls without a page token.
    FirstPages,
    /// Stats calls with a page token.
    LaterPages,
    /// Stats calls for a span that holds this day.
    Spanning(Day),
    /// Stats calls that name this geo.
    Naming(Geo),
    /// Every call to the token path.
    Token,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// A business error instead of an answer.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code in the body, not 0.
        code: i64,
        /// The message in the body.
        message: String,
    },
    /// An HTML page, as from a proxy in between.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// Half of the JSON, with a `content-length` to match.
    TruncatedJson,
    /// Half of the body; then the connection is closed.
    CutMidBody,
    /// The connection is closed without a reply.
    Reset,
    /// The answer comes, this much later.
    Slow(Duration),
    /// No reply ever.
    Hang,
    /// All access tokens issued so far become invalid, and this call is told so (`99991663`).
    RejectAccessToken,
    /// The parameters are found wrong (`1051001`), as for a page token that upstream has forgotten.
    RejectPageToken,
    /// A page that is not as it should be. Nothing happens to token calls.
    Page(Twist),
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// No rows, `has_more: true` and a fresh page token, with which the page's rows come.
    Empty,
    /// `has_more: true`, though without a page token.
    WithoutToken,
    /// The page token is the one that was sent; on a first page nothing is wrong.
    SameToken,
    /// The chain's first row comes (again), in addition to the page's own.
    RowAgain,
}

impl Fault {
    /// The mishap befalls the next stats call.
    #[must_use]
    pub fn new(mishap: Mishap) -> Self {
        Self { mishap, calls: Calls::default(), skip: 0, times: 1 }
    }

    /// Only these calls are meant.
    #[must_use]
    pub fn on(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// This many of the calls meant go by unharmed first.
    #[must_use]
    pub fn after(self, calls: u32) -> Self {
        Self { skip: calls, ..self }
    }

    /// This many calls meet the fault; `u32::MAX` is for good.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        Self { times: calls, ..self }
    }

    fn is_meant_for(&self, path: PathKind, query: Option<&StatsQuery>) -> bool {
        let asks = |wanted: &dyn Fn(&StatsQuery) -> bool| path == PathKind::Stats && query.is_some_and(wanted);
        match self.calls {
            Calls::Token => path == PathKind::Token,
            Calls::Stats => path == PathKind::Stats,
            Calls::FirstPages => asks(&|query| query.page_token.is_none()),
            Calls::LaterPages => asks(&|query| query.page_token.is_some()),
            Calls::Spanning(day) => asks(&|query| query.span.contains(day)),
            Calls::Naming(geo) => asks(&|query| query.target_geo == Some(geo)),
        }
    }
}

impl Mishap {
    /// The business error of a code, with the HTTP status and message it is documented to come with.
    #[must_use]
    pub fn code(code: i64) -> Self {
        let Failure { status, code, message, .. } = Failure::of(code);
        Self::Error { status, code, message: message.into_owned() }
    }

    /// The business error of a code, with an HTTP status of one's own choice.
    #[must_use]
    pub fn code_with_status(code: i64, status: u16) -> Self {
        let message = Failure::of(code).message.into_owned();
        Self::Error { status, code, message }
    }
}

impl Faults {
    /// Adds a fault to the end of the script.
    pub fn push(&self, fault: Fault) {
        self.script.lock().push(fault);
    }

    /// Drops all faults that still wait.
    pub fn clear(&self) {
        self.script.lock().clear();
    }

    /// How many calls are still to meet a fault; 0 when the script is played out.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.script.lock().iter().map(|fault| u64::from(fault.times)).sum()
    }

    /// What shall happen to a call that arrives now.
    pub(crate) fn take(&self, path: PathKind, query: Option<&StatsQuery>) -> Option<Mishap> {
        let mut script = self.script.lock();
        let mut mishap = None;
        for fault in script.iter_mut().filter(|fault| fault.is_meant_for(path, query)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if mishap.is_none() {
                fault.times = if fault.times == u32::MAX { u32::MAX } else { fault.times.saturating_sub(1) };
                mishap = Some(fault.mishap.clone());
            }
        }
        script.retain(|fault| fault.times > 0);
        mishap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(faults: &Faults) -> Option<Mishap> {
        faults.take(PathKind::Stats, None)
    }

    #[test]
    fn a_fault_lets_some_calls_by_and_meets_as_many_as_it_is_told() {
        let faults = Faults::default();
        faults.push(Fault::new(Mishap::Hang).after(1).times(2));

        let met = [(); 4].map(|()| take(&faults).is_some());

        assert_eq!(met, [false, true, true, false]);
        assert_eq!(faults.left(), 0);
    }

    #[test]
    fn faults_that_meet_the_same_call_take_turns() {
        let faults = Faults::default();
        faults.push(Fault::new(Mishap::Hang));
        faults.push(Fault::new(Mishap::Reset));

        assert_eq!([take(&faults), take(&faults), take(&faults)], [Some(Mishap::Hang), Some(Mishap::Reset), None]);
    }

    #[test]
    fn a_fault_meant_for_the_token_path_leaves_stats_alone() {
        let faults = Faults::default();
        faults.push(Fault::new(Mishap::Reset).on(Calls::Token).times(u32::MAX));

        assert_eq!(take(&faults), None);
        assert_eq!(faults.take(PathKind::Token, None), Some(Mishap::Reset));
        assert_eq!(faults.left(), u64::from(u32::MAX));
    }
}
