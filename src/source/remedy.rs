//! What an operator can do about a [`LoadError`].

use std::borrow::Cow;

use super::LoadError;
use crate::model::Geo;

/// Upstream is unreachable or is not Feishu.
const CONNECTION: &str = "Check FEISHU_BASE_URL (https://open.feishu.cn, for Lark https://open.larksuite.com), and that DNS, \
                          proxy and firewall let this machine connect to it.";

impl LoadError {
    /// What to do about the error. `geo` is the geo of the request, if it was for data.
    #[must_use]
    pub fn remedy(&self, geo: Option<Geo>) -> Cow<'static, str> {
        match self {
            Self::Unauthorized { .. } => {
                "Compare FEISHU_APP_ID and FEISHU_APP_SECRET with the developer console, and check that the app is enabled."
                    .into()
            }
            Self::Forbidden { upstream, .. } => forbidden(upstream.code, geo),
            Self::Rejected { .. } => match geo {
                Some(geo) => format!(
                    "If the tenant has no data in {geo}, remove it from PULSE_GEOS. Otherwise check FEISHU_BASE_URL."
                )
                .into(),
                None => CONNECTION.into(),
            },
            Self::QuotaExhausted { .. } => {
                "Ask Feishu to raise the tenant's quota, or wait until next month. Available days are still served.".into()
            }
            Self::Throttled { .. } => {
                "Another client is using up the app's rate limit. Run the check again in a minute.".into()
            }
            // Feishu answered, so the connection works.
            Self::Unavailable { upstream, .. } if upstream.code.is_some() => {
                "This is a passing error of Feishu. Wait a minute and try again; if it stays, report the log id to Feishu."
                    .into()
            }
            Self::Unavailable { .. } => CONNECTION.into(),
            Self::NotLeader => "Another replica leads the fleet. Try again in a few seconds.".into(),
            Self::Abandoned => "This is a bug in feishu-pulse. Please report it.".into(),
        }
    }
}

fn forbidden(code: Option<i64>, geo: Option<Geo>) -> Cow<'static, str> {
    match (code, geo) {
        (Some(99_991_672), _) => {
            "Add the scope admin:admin_user_stat:readonly to the app, and have a new version of it released.".into()
        }
        (Some(1_051_002), Some(geo)) => format!(
            "Widen the app's data range. If the tenant has no data in {geo}, or it is not enabled, remove it from PULSE_GEOS."
        )
        .into(),
        (Some(99_991_401), _) => "Add this machine's public address to the app's IP allow list.".into(),
        (None, _) => CONNECTION.into(),
        _ => "Check in the developer console that the app is enabled and installed in the tenant. If it is, look for the code \
              in Feishu's documentation."
            .into(),
    }
}
