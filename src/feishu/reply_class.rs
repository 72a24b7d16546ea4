//! What a reply of upstream means, by the `code` in its body.
//!
//! The HTTP status alone says little: token failures come as 200, rate limits as 429 or 400, bad parameters as 500.

use std::sync::Arc;

use reqwest::StatusCode;

use super::wire::{ErrorDetail, Loose, Reply};
use crate::source::Upstream;

/// The longest log id that is passed on, in bytes.
const LONGEST_LOG_ID: usize = 128;

/// What a reply means for the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The payload is there.
    Success,
    /// Over the rate limit: ask again, later.
    Throttled,
    /// The month's calls are spent.
    QuotaSpent,
    /// The access token is not (or no longer) valid: get another.
    TokenRejected,
    /// The app's credentials are wrong, or the app is disabled.
    CredentialsRejected,
    /// A parameter is invalid. On a call with a page token that token is the suspect.
    InvalidParameter,
    /// Not allowed, for this reason.
    Forbidden(Arc<str>),
    /// Not understood, for this reason.
    Rejected(Arc<str>),
    /// Upstream or the way to it has failed; it may pass.
    Passing(Arc<str>),
}

/// The reply's outer level, judged.
#[derive(Debug)]
pub struct Judged<'a> {
    /// What it means.
    pub verdict: Verdict,
    /// What upstream says of itself.
    pub upstream: Upstream,
    /// The payload, where there is one.
    pub reply: Option<Reply<'a>>,
}

/// Judges a reply. `header_log_id` is the log id of the reply's headers, where it had one.
#[must_use]
pub fn judge<'a>(status: StatusCode, header_log_id: Option<&str>, body: &'a [u8]) -> Judged<'a> {
    let reply: Option<Reply<'a>> = serde_json::from_slice(body).ok();
    let code = reply.as_ref().and_then(|reply| code(&reply.code));
    let detail = reply.as_ref().map(detail).unwrap_or_default();
    let log_id = detail.log_id.text().filter(|id| is_log_id(id)).map(|id| id.as_ref().into());
    let log_id = log_id.or_else(|| header_log_id.map(Into::into));
    Judged { verdict: verdict(status, code, &detail), upstream: Upstream { code, log_id }, reply }
}

fn verdict(status: StatusCode, code: Option<i64>, detail: &ErrorDetail<'_>) -> Verdict {
    let Some(code) = code else {
        return match status {
            StatusCode::TOO_MANY_REQUESTS => Verdict::Throttled,
            StatusCode::NOT_FOUND => {
                Verdict::Rejected("there is no such API at the upstream address; check FEISHU_BASE_URL".into())
            }
            status => Verdict::Passing(format!("HTTP {} without a readable reply", status.as_u16()).into()),
        };
    };
    match code {
        0 => Verdict::Success,
        99_991_400 => Verdict::Throttled,
        99_991_403 | 99_991_406 => Verdict::QuotaSpent,
        99_991_661 | 99_991_663..=99_991_665 | 99_991_671 | 20_013 => Verdict::TokenRejected,
        10_003 | 10_005 | 10_012 | 10_013 | 10_014 | 10_015 => Verdict::CredentialsRejected,
        1_051_001 => Verdict::InvalidParameter,
        1_051_002 => {
            Verdict::Forbidden("outside the app's data range, or the geo is not enabled for the tenant".into())
        }
        99_991_672 => Verdict::Forbidden(missing_scopes(detail).into()),
        99_991_401 => Verdict::Forbidden("this machine's address is not on the app's IP allow list".into()),
        99_991_662 | 99_991_673 | 20_009 | 11_210 => {
            Verdict::Forbidden("the app is disabled, or not installed in the tenant".into())
        }
        99_992_361 => Verdict::Rejected("the open_id belongs to another app".into()),
        99_992_351 | 99_992_357 => Verdict::Rejected("upstream does not know this user or department id".into()),
        2200 | 1500 | 1663 | 1668 | 5000 | 10_101 => Verdict::Passing("an internal error that passes".into()),
        unknown if status.is_client_error() => Verdict::Rejected(format!("code {unknown}, which is not known").into()),
        unknown => Verdict::Passing(format!("code {unknown}, which is not known").into()),
    }
}

fn missing_scopes(detail: &ErrorDetail<'_>) -> String {
    let is_scope =
        |name: &str| name.len() <= 80 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":._".contains(&b));
    let named = detail.permission_violations.iter().filter_map(|violation| violation.subject.text());
    let scopes: Vec<String> = named.map(String::from).filter(|name| is_scope(name)).take(5).collect();
    if scopes.is_empty() {
        "the app lacks the scope admin:admin_user_stat:readonly".to_owned()
    } else {
        format!("the app lacks one of the scopes {}", scopes.join(", "))
    }
}

fn code(value: &Loose<'_>) -> Option<i64> {
    match value {
        Loose::Nothing | Loose::Bool(_) => None,
        Loose::Count(_) | Loose::Text(_) => value.count().ok().flatten().and_then(|code| i64::try_from(code).ok()),
        // Not one of upstream's published codes, but not a success either.
        Loose::Number(_) => Some(-1),
    }
}

/// It ends up in logs and in answers: nothing else that a reply might have in its place may get there.
fn is_log_id(text: &str) -> bool {
    text.len() <= LONGEST_LOG_ID && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn detail<'a>(reply: &Reply<'a>) -> ErrorDetail<'a> {
    reply.error.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn judged(status: u16, body: &str) -> Verdict {
        judge(StatusCode::from_u16(status).unwrap(), None, body.as_bytes()).verdict
    }

    #[rstest]
    #[case(200, r#"{"code":0,"msg":"success","data":{}}"#, Verdict::Success)]
    #[case(500, r#"{"code":1051001,"msg":"request contain invalid param"}"#, Verdict::InvalidParameter)]
    #[case(429, r#"{"code":99991400}"#, Verdict::Throttled)]
    #[case(400, r#"{"code":99991400}"#, Verdict::Throttled)]
    #[case(429, r#"{"code":99991403}"#, Verdict::QuotaSpent)]
    #[case(200, r#"{"code":99991663}"#, Verdict::TokenRejected)]
    #[case(400, r#"{"code":99991661}"#, Verdict::TokenRejected)]
    #[case(200, r#"{"code":10014,"msg":"app secret invalid"}"#, Verdict::CredentialsRejected)]
    #[case(429, "slow down", Verdict::Throttled)]
    fn a_reply_is_judged_by_its_code(#[case] status: u16, #[case] body: &str, #[case] verdict: Verdict) {
        assert_eq!(judged(status, body), verdict);
    }

    #[rstest]
    #[case(200, "<html>")]
    #[case(502, "<html>")]
    #[case(200, r#"{"code":0,"da"#)]
    #[case(200, "{}")]
    #[case(200, r#"{"code":2200}"#)]
    #[case(200, r#"{"code":424242}"#)]
    #[case(500, r#"{"code":424242}"#)]
    fn what_may_pass_is_worth_another_try(#[case] status: u16, #[case] body: &str) {
        assert!(matches!(judged(status, body), Verdict::Passing(_)), "{:?}", judged(status, body));
    }

    #[rstest]
    #[case(
        400,
        r#"{"code":99991672,"error":{"permission_violations":[{"subject":"admin:admin_user_stat:readonly"}]}}"#
    )]
    #[case(400, r#"{"code":1051002}"#)]
    #[case(403, r#"{"code":99991401}"#)]
    fn what_is_not_allowed_is_not_asked_again(#[case] status: u16, #[case] body: &str) {
        assert!(matches!(judged(status, body), Verdict::Forbidden(_)));
    }

    #[test]
    fn a_missing_scope_is_named() {
        let body =
            r#"{"code":99991672,"error":{"log_id":"2026","permission_violations":[{"subject":"a:b:readonly"}]}}"#;
        let judged = judge(StatusCode::BAD_REQUEST, Some("header"), body.as_bytes());
        assert_eq!(judged.verdict, Verdict::Forbidden("the app lacks one of the scopes a:b:readonly".into()));
        assert_eq!(judged.upstream, Upstream { code: Some(99_991_672), log_id: Some("2026".into()) });
    }

    #[rstest]
    #[case("two\\nlines")]
    #[case("张三")]
    #[case(&"0123456789abcdef".repeat(9))]
    fn what_is_no_log_id_is_not_passed_on_as_one(#[case] told: &str) {
        let body = format!(r#"{{"code":99991672,"error":{{"log_id":"{told}"}}}}"#);
        let judged = judge(StatusCode::BAD_REQUEST, Some("header"), body.as_bytes());
        assert_eq!(judged.upstream.log_id.as_deref(), Some("header"));
    }
}
