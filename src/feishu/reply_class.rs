//! Classifies upstream replies by the `code` in their body, and by the HTTP status if the code is unknown.
//!
//! The HTTP status alone is not enough. Documented: rate limits have status 429 or 400, and invalid parameters 500.
//! Observed: token failures have status 200 or 400. The code alone is not enough either: Feishu adds codes, and its APIs
//! use different ones.

use std::sync::Arc;

use reqwest::StatusCode;

use super::wire::{ErrorDetail, LenientScalar, ReplyEnvelope};
use crate::source::{LoadError, UpstreamDetail};

/// Maximum length of an accepted log id, in bytes.
const MAX_LOG_ID_BYTES: usize = 128;

/// The class of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyClass {
    /// The call was successful.
    Success,
    /// The rate limit is exceeded. The call can be retried later.
    Throttled,
    /// The monthly quota is exhausted.
    QuotaSpent,
    /// The access token is invalid or expired.
    TokenRejected,
    /// The app's credentials are wrong, or the app is disabled.
    CredentialsRejected,
    /// A parameter is invalid. If the call has a page token, that token is the most likely cause.
    InvalidParameter,
    /// The app lacks a permission, or upstream refuses the call for an unknown reason. A retry cannot help. The text names
    /// the reason.
    Forbidden(Arc<str>),
    /// A parameter of the caller is not accepted. The text names the reason.
    Rejected(Arc<str>),
    /// A temporary failure of upstream or of the network. The text names the reason.
    Transient(Arc<str>),
}

/// A parsed reply and its class.
#[derive(Debug)]
pub struct ClassifiedReply<'a> {
    /// The class.
    pub class: ReplyClass,
    /// Code and log id.
    pub upstream: UpstreamDetail,
    /// The outer object of the reply. `None` if the body is not such an object.
    pub envelope: Option<ReplyEnvelope<'a>>,
}

impl ClassifiedReply<'_> {
    /// A successful reply whose envelope is not needed.
    #[must_use]
    pub fn success(header_log_id: Option<&str>) -> Self {
        let upstream = UpstreamDetail { code: Some(0), log_id: header_log_id.map(Into::into) };
        Self { class: ReplyClass::Success, upstream, envelope: None }
    }
}

/// Classifies a reply. `header_log_id` is the log id from the headers; a valid one in the body takes precedence.
#[must_use]
pub fn classify<'a>(status: StatusCode, header_log_id: Option<&str>, body: &'a str) -> ClassifiedReply<'a> {
    let envelope = ReplyEnvelope::parse(body);
    let code = envelope.as_ref().and_then(|envelope| parse_code(&envelope.code));
    let detail = envelope.as_ref().map(parse_error_detail).unwrap_or_default();
    let log_id = detail.log_id.text().filter(|id| is_valid_log_id(id)).map(|id| id.as_ref().into());
    let log_id = log_id.or_else(|| header_log_id.map(Into::into));
    ClassifiedReply { class: class_of(status, code, &detail), upstream: UpstreamDetail { code, log_id }, envelope }
}

/// A known code decides. For any other reply, the HTTP status decides.
fn class_of(status: StatusCode, code: Option<i64>, detail: &ErrorDetail<'_>) -> ReplyClass {
    code.and_then(|code| class_of_code(code, detail)).unwrap_or_else(|| class_of_status(status, code))
}

/// `None` if the code is unknown. Only codes that are known to mean a parameter of the caller are
/// [`ReplyClass::InvalidParameter`] or [`ReplyClass::Rejected`].
fn class_of_code(code: i64, detail: &ErrorDetail<'_>) -> Option<ReplyClass> {
    Some(match code {
        0 => ReplyClass::Success,
        99_991_400 | 11_232 | 11_233 => ReplyClass::Throttled,
        99_991_403 | 99_991_406 => ReplyClass::QuotaSpent,
        99_991_661 | 99_991_663..=99_991_665 | 99_991_668 | 99_991_669 | 99_991_671 | 99_991_677 | 20_013 => {
            ReplyClass::TokenRejected
        }
        10_003 | 10_005 | 10_012 | 10_013 | 10_014 | 10_015 => ReplyClass::CredentialsRejected,
        1_051_001 => ReplyClass::InvalidParameter,
        1_051_002 => ReplyClass::Forbidden(
            "the request is outside the app's data range, or the geo is not enabled for the tenant".into(),
        ),
        99_991_672 => ReplyClass::Forbidden(describe_missing_scopes(detail).into()),
        99_991_401 => ReplyClass::Forbidden("this machine's address is not on the app's IP allow list".into()),
        99_991_662 | 99_991_673 | 20_009 | 11_210 => {
            ReplyClass::Forbidden("the app is disabled or is not installed in the tenant".into())
        }
        99_992_361 => ReplyClass::Rejected("the open_id belongs to another app".into()),
        99_992_351 | 99_992_357 => ReplyClass::Rejected("upstream does not know this user or department id".into()),
        2200 | 1500 | 1663 | 1668 | 5000 | 10_101 => {
            ReplyClass::Transient("a temporary internal error of Feishu".into())
        }
        _ => return None,
    })
}

/// The class of a reply whose code is unknown, or that has none.
fn class_of_status(status: StatusCode, code: Option<i64>) -> ReplyClass {
    let cause = match code {
        Some(code) => format!("HTTP {} with the unknown code {code}", status.as_u16()),
        None => format!("HTTP {} without a readable reply", status.as_u16()),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => ReplyClass::Throttled,
        StatusCode::UNAUTHORIZED => ReplyClass::TokenRejected,
        StatusCode::REQUEST_TIMEOUT => ReplyClass::Transient(cause.into()),
        StatusCode::NOT_FOUND if code.is_none() => {
            ReplyClass::Forbidden("the upstream address does not serve this API; check FEISHU_BASE_URL".into())
        }
        status if status.is_client_error() => ReplyClass::Forbidden(cause.into()),
        _ => ReplyClass::Transient(cause.into()),
    }
}

/// Whether the error is one of the app or of the tenant, so that all days fail in the same way.
#[must_use]
pub fn concerns_all_days(error: &LoadError) -> bool {
    match error {
        LoadError::Unauthorized { .. } => true,
        LoadError::Forbidden { upstream, .. } => {
            // An unknown code can concern one day.
            upstream.code.is_none_or(|code| class_of_code(code, &ErrorDetail::default()).is_some())
        }
        LoadError::Rejected { .. }
        | LoadError::QuotaExhausted { .. }
        | LoadError::Throttled { .. }
        | LoadError::Unavailable { .. }
        | LoadError::NotLeader
        | LoadError::Abandoned => false,
    }
}

fn describe_missing_scopes(detail: &ErrorDetail<'_>) -> String {
    let is_scope =
        |name: &str| name.len() <= 80 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":._".contains(&b));
    let subjects = detail.permission_violations.iter().filter_map(|violation| violation.subject.text());
    let scopes: Vec<String> = subjects.map(String::from).filter(|name| is_scope(name)).take(5).collect();
    if scopes.is_empty() {
        "the app lacks the scope admin:admin_user_stat:readonly".to_owned()
    } else {
        format!("the app lacks one of the scopes {}", scopes.join(", "))
    }
}

fn parse_code(value: &LenientScalar<'_>) -> Option<i64> {
    match value {
        LenientScalar::Missing | LenientScalar::Bool(_) | LenientScalar::Unreadable => None,
        LenientScalar::Count(code) => i64::try_from(*code).ok(),
        LenientScalar::Text(text) => text.trim().parse().ok(),
        // Not a documented code, but not a success either.
        LenientScalar::Number(_) => Some(-1),
    }
}

/// Whether the text can be a log id. Log ids appear in logs and in responses, so other content must not pass.
fn is_valid_log_id(text: &str) -> bool {
    text.len() <= MAX_LOG_ID_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_error_detail<'a>(envelope: &ReplyEnvelope<'a>) -> ErrorDetail<'a> {
    envelope.error.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn class_of_body(status: u16, body: &str) -> ReplyClass {
        classify(StatusCode::from_u16(status).unwrap(), None, body).class
    }

    #[rstest]
    #[case(200, r#"{"code":0,"msg":"success","data":{}}"#, ReplyClass::Success)]
    #[case(500, r#"{"code":1051001,"msg":"request contain invalid param"}"#, ReplyClass::InvalidParameter)]
    #[case(429, r#"{"code":99991400}"#, ReplyClass::Throttled)]
    #[case(400, r#"{"code":99991400}"#, ReplyClass::Throttled)]
    #[case(429, r#"{"code":99991403}"#, ReplyClass::QuotaSpent)]
    #[case(200, r#"{"code":99991663}"#, ReplyClass::TokenRejected)]
    #[case(400, r#"{"code":99991661}"#, ReplyClass::TokenRejected)]
    #[case(200, r#"{"code":10014,"msg":"app secret invalid"}"#, ReplyClass::CredentialsRejected)]
    #[case(200, r#"{"code":11233}"#, ReplyClass::Throttled)]
    #[case(400, r#"{"code":99991668}"#, ReplyClass::TokenRejected)]
    fn a_reply_is_classified_by_its_code(#[case] status: u16, #[case] body: &str, #[case] class: ReplyClass) {
        assert_eq!(class_of_body(status, body), class);
    }

    #[rstest]
    #[case(429, ReplyClass::Throttled)]
    #[case(401, ReplyClass::TokenRejected)]
    fn an_unknown_code_is_classified_by_the_status(#[case] status: u16, #[case] class: ReplyClass) {
        assert_eq!(class_of_body(status, r#"{"code":424242}"#), class);
        assert_eq!(class_of_body(status, "<html>"), class);
    }

    #[rstest]
    #[case(400)]
    #[case(403)]
    #[case(404)]
    #[case(405)]
    fn an_unknown_refusal_is_not_retried_and_not_the_callers_fault(#[case] status: u16) {
        for body in [r#"{"code":424242}"#, "<html>"] {
            assert!(matches!(class_of_body(status, body), ReplyClass::Forbidden(_)), "{status} {body}");
        }
    }

    #[rstest]
    #[case(200, "<html>")]
    #[case(408, r#"{"code":424242}"#)]
    #[case(502, "<html>")]
    #[case(200, r#"{"code":0,"da"#)]
    #[case(200, "{}")]
    #[case(200, r#"{"code":2200}"#)]
    #[case(200, r#"{"code":424242}"#)]
    #[case(500, r#"{"code":424242}"#)]
    fn temporary_and_unreadable_replies_are_transient(#[case] status: u16, #[case] body: &str) {
        let class = class_of_body(status, body);
        assert!(matches!(class, ReplyClass::Transient(_)), "{class:?}");
    }

    #[rstest]
    #[case(
        400,
        r#"{"code":99991672,"error":{"permission_violations":[{"subject":"admin:admin_user_stat:readonly"}]}}"#
    )]
    #[case(400, r#"{"code":1051002}"#)]
    #[case(403, r#"{"code":99991401}"#)]
    fn missing_permissions_are_forbidden(#[case] status: u16, #[case] body: &str) {
        assert!(matches!(class_of_body(status, body), ReplyClass::Forbidden(_)));
    }

    #[test]
    fn the_reason_names_the_missing_scope() {
        let body =
            r#"{"code":99991672,"error":{"log_id":"2026","permission_violations":[{"subject":"a:b:readonly"}]}}"#;
        let classified = classify(StatusCode::BAD_REQUEST, Some("header"), body);
        assert_eq!(classified.class, ReplyClass::Forbidden("the app lacks one of the scopes a:b:readonly".into()));
        assert_eq!(classified.upstream, UpstreamDetail { code: Some(99_991_672), log_id: Some("2026".into()) });
    }

    #[rstest]
    #[case("two\\nlines")]
    #[case("张三")]
    #[case(&"0123456789abcdef".repeat(9))]
    fn an_invalid_log_id_is_replaced_by_that_of_the_header(#[case] log_id: &str) {
        let body = format!(r#"{{"code":99991672,"error":{{"log_id":"{log_id}"}}}}"#);
        let classified = classify(StatusCode::BAD_REQUEST, Some("header"), &body);
        assert_eq!(classified.upstream.log_id.as_deref(), Some("header"));
    }
}
