//! Remedies: what to do about each kind of failed check.

use crate::{model::Geo, source::LoadError};

/// Upstream returns no rows.
pub(super) const NO_ROWS: &str = "Set the app's data range so that it covers the people to report on. \
                                  If it does, Feishu may be late with this day: check again in an hour.";

/// The state file cannot be read.
pub(super) const STATE_FILE: &str = "Check that this user can read and write PULSE_STATE_DIR. \
                                     A damaged file can be deleted; the count then starts at zero.";

/// The monthly quota is nearly used up.
pub(super) const MONTHLY_QUOTA: &str = "Raise PULSE_UPSTREAM_MONTHLY_QUOTA. When it is used up, requests for days \
                                        that are not available yet are rejected.";

/// The archive is unreachable.
pub(super) const ARCHIVE_UNREACHABLE: &str = "Check PULSE_ARCHIVE, that this user can read and write there, and, for a \
                                              bucket, the AWS_… variables.";

/// A folder is accessible to other users.
pub(super) fn wide_folder(path: &std::path::Path) -> String {
    format!("Other users of this machine may read what employees did. Run: chmod -R go= {}", path.display())
}

/// A key is restricted to a department that no row has.
pub(super) const UNKNOWN_DEPARTMENT: &str = "The key sees no data. Compare the path with /v1/reports/departments, and \
                                             correct `departments` in the keys file.";

/// The archive has a newer format.
pub(super) const ARCHIVE_FORMAT: &str =
    "Run the version of feishu-pulse that wrote it, or set PULSE_ARCHIVE to another location.";

/// The archive belongs to another app; `marker` is the path of its ownership marker.
pub(super) fn other_owner(marker: &str) -> String {
    format!(
        "Set PULSE_ARCHIVE to a separate location for this app, because user ids differ between apps. If it is the same app at \
         another address of the same Feishu, delete {marker} there."
    )
}

/// What to do about `error`. `geo` is the geo of the request, if it was for data.
pub(super) fn for_load_error(error: &LoadError, geo: Option<Geo>) -> String {
    match error {
        LoadError::Unauthorized { .. } => {
            "Compare FEISHU_APP_ID and FEISHU_APP_SECRET with the developer console, and check that the app is enabled."
                .into()
        }
        LoadError::Forbidden { upstream, .. } => forbidden(upstream.code, geo),
        LoadError::Rejected { .. } => match geo {
            Some(geo) => {
                format!(
                    "If the tenant has no data in {geo}, remove it from PULSE_GEOS. Otherwise check FEISHU_BASE_URL."
                )
            }
            None => CONNECTION.into(),
        },
        LoadError::QuotaExhausted { .. } => {
            "Ask Feishu to raise the tenant's quota, or wait until next month. Available days are still served.".into()
        }
        LoadError::Throttled { .. } => {
            "Another client is using up the app's rate limit. Run the check again in a minute.".into()
        }
        LoadError::Unavailable { .. } => CONNECTION.into(),
        LoadError::Abandoned => "This is a bug in feishu-pulse. Please report it.".into(),
    }
}

/// Upstream is unreachable or is not Feishu.
const CONNECTION: &str = "Check FEISHU_BASE_URL (https://open.feishu.cn, for Lark https://open.larksuite.com), and that DNS, \
                          proxy and firewall let this machine connect to it.";

fn forbidden(code: Option<i64>, geo: Option<Geo>) -> String {
    match (code, geo) {
        (Some(99_991_672), _) => {
            "Add the scope admin:admin_user_stat:readonly to the app, and have a new version of it released.".into()
        }
        (Some(1_051_002), Some(geo)) => format!(
            "Widen the app's data range. If the tenant has no data in {geo}, or it is not enabled, remove it from PULSE_GEOS."
        ),
        (Some(99_991_401), _) => "Add this machine's public address to the app's IP allow list.".into(),
        (None, _) => CONNECTION.into(),
        _ => "Check in the developer console that the app is enabled and installed in the tenant. If it is, look for the code \
              in Feishu's documentation."
            .into(),
    }
}
