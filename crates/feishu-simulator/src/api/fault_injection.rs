//! Mishaps, carried out.

use std::future::pending;

use super::{answer::Answer, failure::Failure, world::World};
use crate::sim::{Mishap, faults::Twist};

impl World {
    /// The answer that `honest` gives, or what becomes of it by a mishap. `honest` is asked only if upstream would
    /// have got that far.
    pub(crate) async fn spoil(
        &self,
        mishap: Option<Mishap>,
        log_id: &str,
        honest: impl FnOnce(Option<Twist>) -> Answer,
    ) -> Answer {
        let Some(mishap) = mishap else { return honest(None) };
        match mishap {
            Mishap::Error { status, code, message } => {
                let failure = Failure { status, code, message: message.into(), field: None };
                Answer::failure(&failure, log_id)
            }
            Mishap::Html { status } => Answer::html(status),
            Mishap::TruncatedJson => honest(None).truncated(),
            Mishap::CutMidBody => honest(None).cut(),
            Mishap::Reset => Answer::lost(),
            Mishap::Slow(delay) => {
                tokio::time::sleep(delay).await;
                honest(None)
            }
            Mishap::Hang => pending().await,
            Mishap::RejectAccessToken => {
                self.access.revoke_all();
                Answer::failure(&Failure::of(99_991_663), log_id)
            }
            Mishap::RejectPageToken => Answer::failure(&Failure::invalid("page_token"), log_id),
            Mishap::Page(twist) => honest(Some(twist)),
        }
    }
}
