//! The queue of faults to inject, and the calls that each fault applies to.

use std::time::Duration;

use jiff::civil::Date;
use parking_lot::Mutex;

use crate::{StatsRequest, TenantGeo, api::ApiError, call_log::Endpoint};

/// The queue of faults to inject. At most one fault is injected into a call: the first one in the queue that matches.
///
/// Faults are injected only into calls with a valid access token that are within the rate limits.
#[derive(Debug, Default)]
pub struct FaultInjector {
    queue: Mutex<Vec<InjectedFault>>,
}

/// A fault, the calls that it applies to, and how often it is injected.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectedFault {
    kind: FaultKind,
    target: FaultTarget,
    skip: u32,
    times: u32,
}

/// The calls that a fault applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultTarget {
    /// All calls to `admin_user_stats`.
    #[default]
    Stats,
    /// Calls to `admin_user_stats` without a page token.
    FirstPages,
    /// Calls to `admin_user_stats` with a page token.
    LaterPages,
    /// Calls to `admin_user_stats` whose date range contains this day.
    ContainingDay(Date),
    /// Calls to `admin_user_stats` with this `target_geo`.
    TargetGeo(TenantGeo),
    /// All calls to `tenant_access_token/internal`.
    Token,
}

/// What a fault does to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Replies with an error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The code in the body, not 0.
        code: i64,
        /// The message in the body.
        message: String,
    },
    /// Replies with an HTML page, as a proxy between caller and Feishu does.
    Html {
        /// The HTTP status.
        status: u16,
    },
    /// Sends half of the JSON, with the `content-length` of that half.
    TruncatedJson,
    /// Sends half of the body, then closes the connection.
    AbortMidBody,
    /// Closes the connection without a reply.
    CloseWithoutReply,
    /// Delays the reply by this time.
    Delay(Duration),
    /// Never replies.
    Hang,
    /// Revokes all access tokens issued so far, and replies with error 99991663.
    RejectAccessToken,
    /// Replies with error 1051001, as for an expired page token.
    RejectPageToken,
    /// Replies with a faulty page. Has no effect on token calls.
    Page(PageFault),
    /// Replies with this header `Date`.
    DateHeader(String),
    /// Replaces the first occurrence of a text in the body by other bytes, which need not be JSON or UTF-8. Has no effect
    /// on a body without this text.
    ReplaceText {
        /// The text to replace.
        from: String,
        /// The bytes to send instead.
        to: Vec<u8>,
    },
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// The page has no rows, `has_more: true` and a new page token, which returns the missing rows.
    Empty,
    /// The page has `has_more: true` but no page token.
    MissingToken,
    /// The page token is the one of the request. Has no effect on first pages.
    RepeatedToken,
    /// The page starts with a copy of the query's first row.
    DuplicateRow,
    /// The page has `has_more: true` and a new page token. After the last page, the token returns the first page again.
    Endless,
}

impl InjectedFault {
    /// A fault for the next call to `admin_user_stats`.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, target: FaultTarget::default(), skip: 0, times: 1 }
    }

    /// Applies the fault to these calls only.
    #[must_use]
    pub fn on(self, target: FaultTarget) -> Self {
        Self { target, ..self }
    }

    /// Skips this many matching calls first.
    #[must_use]
    pub fn after(self, calls: u32) -> Self {
        Self { skip: calls, ..self }
    }

    /// Injects the fault into this many calls; `u32::MAX` means all later calls.
    #[must_use]
    pub fn times(self, calls: u32) -> Self {
        Self { times: calls, ..self }
    }

    fn matches(&self, endpoint: Endpoint, query: Option<&StatsRequest>) -> bool {
        let is_stats_call =
            |predicate: &dyn Fn(&StatsRequest) -> bool| endpoint == Endpoint::Stats && query.is_some_and(predicate);
        match self.target {
            FaultTarget::Token => endpoint == Endpoint::Token,
            FaultTarget::Stats => endpoint == Endpoint::Stats,
            FaultTarget::FirstPages => is_stats_call(&|query| query.page_token.is_none()),
            FaultTarget::LaterPages => is_stats_call(&|query| query.page_token.is_some()),
            FaultTarget::ContainingDay(day) => is_stats_call(&|query| query.days.contains(&day)),
            FaultTarget::TargetGeo(geo) => is_stats_call(&|query| query.target_geo == Some(geo)),
        }
    }
}

impl FaultKind {
    /// Replaces the first occurrence of a text in the body.
    #[must_use]
    pub fn replace_text(from: impl Into<String>, to: impl Into<Vec<u8>>) -> Self {
        Self::ReplaceText { from: from.into(), to: to.into() }
    }

    /// Replies with an error code and the HTTP status and message that Feishu documents for it.
    #[must_use]
    pub fn error_code(code: i64) -> Self {
        let ApiError { status, code, message, .. } = ApiError::from_code(code);
        Self::Error { status, code, message: message.into_owned() }
    }

    /// Replies with an error code, its documented message and the given HTTP status.
    #[must_use]
    pub fn error_code_with_status(code: i64, status: u16) -> Self {
        let message = ApiError::from_code(code).message.into_owned();
        Self::Error { status, code, message }
    }
}

impl FaultInjector {
    /// Appends a fault to the queue.
    pub fn push(&self, fault: InjectedFault) {
        self.queue.lock().push(fault);
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.queue.lock().clear();
    }

    /// How many more calls will receive a fault; 0 if the queue is empty.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.queue.lock().iter().map(|fault| u64::from(fault.times)).sum()
    }

    /// The fault for a call that arrives now.
    pub(crate) fn next_fault(&self, endpoint: Endpoint, query: Option<&StatsRequest>) -> Option<FaultKind> {
        let mut queue = self.queue.lock();
        let mut selected = None;
        for fault in queue.iter_mut().filter(|fault| fault.matches(endpoint, query)) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if selected.is_none() {
                fault.times = if fault.times == u32::MAX { u32::MAX } else { fault.times.saturating_sub(1) };
                selected = Some(fault.kind.clone());
            }
        }
        queue.retain(|fault| fault.times > 0);
        selected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_fault(faults: &FaultInjector) -> Option<FaultKind> {
        faults.next_fault(Endpoint::Stats, None)
    }

    #[test]
    fn a_fault_skips_calls_and_then_is_injected_into_a_number_of_calls() {
        let faults = FaultInjector::default();
        faults.push(InjectedFault::new(FaultKind::Hang).after(1).times(2));

        let injected = [(); 4].map(|()| next_fault(&faults).is_some());

        assert_eq!(injected, [false, true, true, false]);
        assert_eq!(faults.remaining(), 0);
    }

    #[test]
    fn faults_with_the_same_target_are_injected_in_order() {
        let faults = FaultInjector::default();
        faults.push(InjectedFault::new(FaultKind::Hang));
        faults.push(InjectedFault::new(FaultKind::CloseWithoutReply));

        assert_eq!(
            [next_fault(&faults), next_fault(&faults), next_fault(&faults)],
            [Some(FaultKind::Hang), Some(FaultKind::CloseWithoutReply), None]
        );
    }

    #[test]
    fn a_fault_for_token_calls_is_not_injected_into_stats_calls() {
        let faults = FaultInjector::default();
        faults.push(InjectedFault::new(FaultKind::CloseWithoutReply).on(FaultTarget::Token).times(u32::MAX));

        assert_eq!(next_fault(&faults), None);
        assert_eq!(faults.next_fault(Endpoint::Token, None), Some(FaultKind::CloseWithoutReply));
        assert_eq!(faults.remaining(), u64::from(u32::MAX));
    }
}
