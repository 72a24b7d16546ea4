//! Injects a fault into a call.

use std::future::pending;

use super::{api_error::ApiError, reply::SimulatedReply, simulator_state::SimulatorState};
use crate::{FaultKind, PageFault};

impl SimulatorState {
    /// Returns the reply of a call with `fault` injected. `normal_reply` builds the reply without the fault, or with a
    /// faulty page; it is not called for faults that prevent the processing of the call.
    pub(crate) async fn inject_fault(
        &self,
        fault: Option<FaultKind>,
        log_id: &str,
        normal_reply: impl FnOnce(Option<PageFault>) -> SimulatedReply,
    ) -> SimulatedReply {
        let Some(fault) = fault else { return normal_reply(None) };
        match fault {
            FaultKind::Error { status, code, message } => {
                let error = ApiError { status, code, message: message.into(), field: None };
                SimulatedReply::error(&error, log_id)
            }
            FaultKind::Html { status } => SimulatedReply::html(status),
            FaultKind::TruncatedJson => normal_reply(None).truncated(),
            FaultKind::AbortMidBody => normal_reply(None).aborted(),
            FaultKind::CloseWithoutReply => SimulatedReply::not_sent(),
            FaultKind::Delay(delay) => {
                tokio::time::sleep(delay).await;
                normal_reply(None)
            }
            FaultKind::Hang => pending().await,
            FaultKind::RejectAccessToken => {
                self.access_tokens.revoke_all();
                SimulatedReply::error(&ApiError::from_code(99_991_663), log_id)
            }
            FaultKind::RejectPageToken => SimulatedReply::error(&ApiError::invalid_parameter("page_token"), log_id),
            FaultKind::Page(page_fault) => normal_reply(Some(page_fault)),
            FaultKind::DateHeader(date) => normal_reply(None).with_header("date", date),
            FaultKind::ReplaceText { from, to } => normal_reply(None).with_text_replaced(&from, &to),
        }
    }
}
