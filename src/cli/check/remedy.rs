//! What to do about it: one sentence for everything that upstream can find wrong.

use crate::{model::Geo, source::LoadError};

/// Upstream answers, but with no rows.
pub(super) const NOBODY: &str = "Set the app's data range so that it covers the people who are to be seen. \
                                 If it does, Feishu may be late with this day: look again in an hour.";

/// The memo cannot be read.
pub(super) const MEMO: &str = "See that this user may read and write PULSE_STATE_DIR. A file that makes no sense may be deleted: the \
                               count then begins anew.";

/// Few calls are left.
pub(super) const CALLS: &str =
    "Raise PULSE_UPSTREAM_MONTHLY_QUOTA, or expect that days which are not held yet are soon refused.";

/// The archive does not answer.
pub(super) const ARCHIVE: &str = "See that PULSE_ARCHIVE is right, that this user may read and write there, and, for a bucket, the AWS_… \
                                  variables.";

/// The archive is of a later version.
pub(super) const LATER: &str = "Run the version of feishu-pulse that wrote it, or set PULSE_ARCHIVE to another place.";

/// The archive has somebody else's mark.
pub(super) fn not_ours(mark: &str) -> String {
    format!(
        "Set PULSE_ARCHIVE to a place of this app's own: ids of people differ from app to app. If it is the same app at another \
         address of the same Feishu, delete {mark} there."
    )
}

/// What to do about `error`, which came up with the data of `geo`.
pub(super) fn of(error: &LoadError, geo: Option<Geo>) -> String {
    match error {
        LoadError::Unauthorized { .. } => {
            "Compare FEISHU_APP_ID and FEISHU_APP_SECRET with the developer console; is the app enabled?".into()
        }
        LoadError::Forbidden { upstream, .. } => forbidden(upstream.code, geo),
        LoadError::Rejected { .. } => match geo {
            Some(geo) => {
                format!("If the tenant has no data in {geo}, take it out of PULSE_GEOS; see FEISHU_BASE_URL too.")
            }
            None => ADDRESS.into(),
        },
        LoadError::QuotaExhausted { .. } => {
            "Have the tenant's quota raised, or wait for the next month; days that are held are served.".into()
        }
        LoadError::Throttled { .. } => "Somebody else uses up the app's rate limit; look again in a minute.".into(),
        LoadError::Unavailable { .. } => ADDRESS.into(),
        LoadError::Abandoned => "This is a defect of feishu-pulse: please report it.".into(),
    }
}

const ADDRESS: &str = "See that FEISHU_BASE_URL is right (https://open.feishu.cn, for Lark https://open.larksuite.com), and that DNS, proxy \
                       and firewall let this machine reach it.";

fn forbidden(code: Option<i64>, geo: Option<Geo>) -> String {
    match (code, geo) {
        (Some(99_991_672), _) => {
            "Add the scope admin:admin_user_stat:readonly to the app, and have a new version of it released.".into()
        }
        (Some(1_051_002), Some(geo)) => format!(
            "Widen the app's data range. If the tenant has no data in {geo}, or it is not enabled, take it out of PULSE_GEOS."
        ),
        (Some(99_991_401), _) => "Put this machine's public address on the app's IP allow list.".into(),
        _ => "See in the developer console that the app is enabled and installed in the tenant.".into(),
    }
}
