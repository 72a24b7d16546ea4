//! The one table of everything that can go wrong.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Every kind of problem there is. Callers may rely on the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is explained by `ProblemCode::explain`, which is served to callers too")]
pub enum ProblemCode {
    InvalidParameters,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    StaleCursor,
    Unauthenticated,
    InsufficientScope,
    HostNotServed,
    TooManyRequests,
    IdentityProviderUnavailable,
    UpstreamRejected,
    UpstreamUnauthorized,
    UpstreamForbidden,
    UpstreamUnavailable,
    UpstreamThrottled,
    UpstreamQuotaExhausted,
    NotReadyInTime,
    ArchiveUnavailable,
    RequestTimeout,
    PayloadTooLarge,
    UriTooLong,
    Overloaded,
    Internal,
}

/// What a kind of problem means.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The status it is answered with.
    pub status: StatusCode,
    /// Its name for people.
    pub title: &'static str,
    /// How it comes about.
    pub cause: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

impl ProblemCode {
    /// Every kind of problem.
    pub const ALL: [Self; 23] = [
        Self::InvalidParameters,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::StaleCursor,
        Self::Unauthenticated,
        Self::InsufficientScope,
        Self::HostNotServed,
        Self::TooManyRequests,
        Self::IdentityProviderUnavailable,
        Self::UpstreamRejected,
        Self::UpstreamUnauthorized,
        Self::UpstreamForbidden,
        Self::UpstreamUnavailable,
        Self::UpstreamThrottled,
        Self::UpstreamQuotaExhausted,
        Self::NotReadyInTime,
        Self::ArchiveUnavailable,
        Self::RequestTimeout,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The name that programs see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidParameters => "invalid_parameters",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::StaleCursor => "stale_cursor",
            Self::Unauthenticated => "unauthenticated",
            Self::InsufficientScope => "insufficient_scope",
            Self::HostNotServed => "host_not_served",
            Self::TooManyRequests => "too_many_requests",
            Self::IdentityProviderUnavailable => "identity_provider_unavailable",
            Self::UpstreamRejected => "upstream_rejected",
            Self::UpstreamUnauthorized => "upstream_unauthorized",
            Self::UpstreamForbidden => "upstream_forbidden",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamThrottled => "upstream_throttled",
            Self::UpstreamQuotaExhausted => "upstream_quota_exhausted",
            Self::NotReadyInTime => "not_ready_in_time",
            Self::ArchiveUnavailable => "archive_unavailable",
            Self::RequestTimeout => "request_timeout",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// The row of the table.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one table")]
    pub const fn explain(self) -> Explanation {
        let (status, title, cause, cure) = match self {
            Self::InvalidParameters => (
                StatusCode::BAD_REQUEST,
                "The request has invalid parameters",
                "A parameter is unknown, missing, malformed, given twice, or does not go with another.",
                "Mend every parameter that `errors` names. Nothing was asked of Feishu.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The path is none of this service, or names something that is not there.",
                "See /docs for the paths there are.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The method is not allowed here",
                "The path exists, for other methods.",
                "Use a method that the header `Allow` names.",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "There is no answer in an acceptable format",
                "The header `Accept` allows none of the formats that this endpoint has.",
                "Accept one of the media types that `detail` names, or use `format=`.",
            ),
            Self::StaleCursor => (
                StatusCode::CONFLICT,
                "The cursor is of older data",
                "A day that was still provisional has changed since the page before was read.",
                "Begin again without a cursor.",
            ),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "The request does not say, or not credibly, who asks",
                "The header `Authorization` is missing, or carries no access key of this service and no valid token of \
                 its identity provider.",
                "Send `Authorization: Bearer …` with an access key, or with a token that has not expired. The operator \
                 makes keys with `feishu-pulse key new`.",
            ),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "The caller may not do this",
                "The access key or token lacks the scope that `required_scope` names.",
                "Ask the operator for a key with that scope.",
            ),
            Self::HostNotServed => (
                StatusCode::MISDIRECTED_REQUEST,
                "The service does not go by this name",
                "There is no access control, so the service answers only to names of this machine: a web page elsewhere \
                 must not reach it through a name of its own.",
                "Ask at `localhost` or `127.0.0.1`. For others, the operator sets up access control, or sets \
                 PULSE_ALLOW_ANONYMOUS where something else controls access.",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "The caller makes too many requests",
                "The access key has used up its requests; the header `RateLimit` tells how many are left.",
                "Ask again after `retry_after` seconds.",
            ),
            Self::IdentityProviderUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The identity provider cannot be reached",
                "The token may be valid, but the keys it would have to be checked with cannot be fetched.",
                "Ask again after `retry_after` seconds; the operator sees to PULSE_OIDC_ISSUER. Access keys work meanwhile.",
            ),
            Self::UpstreamRejected => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Feishu does not accept the request",
                "Feishu does not know the user or department id, or it belongs to another app.",
                "Check the id and its type (`user_id_type`, `department_id_type`).",
            ),
            Self::UpstreamUnauthorized => (
                StatusCode::BAD_GATEWAY,
                "Feishu rejects the app's credentials",
                "FEISHU_APP_ID or FEISHU_APP_SECRET is wrong, or the app is disabled.",
                "The operator checks the credentials in Feishu's developer console. They are tried again every 30 s.",
            ),
            Self::UpstreamForbidden => (
                StatusCode::BAD_GATEWAY,
                "Feishu denies the app access",
                "The app lacks a scope, its data range does not cover what was asked, a geo is not enabled, or this \
                 machine's address is not allowed.",
                "An administrator grants the app what `detail` names, in Feishu's developer console.",
            ),
            Self::UpstreamUnavailable => (
                StatusCode::BAD_GATEWAY,
                "Feishu could not be reached, or failed",
                "Feishu answered with errors, with what is no answer, or not at all, through several tries.",
                "Ask again later. What was fetched meanwhile is kept.",
            ),
            Self::UpstreamThrottled => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Feishu keeps refusing calls for its rate limit",
                "Others use up the rate limit of the same app.",
                "Ask again after `retry_after` seconds; see whether other programs use the same app.",
            ),
            Self::UpstreamQuotaExhausted => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The month's calls of Feishu are spent",
                "The tenant's monthly quota of API calls, which all its apps share, is used up.",
                "Days that are held are served as before. For others, wait for the first of the month (UTC+8) or buy quota.",
            ),
            Self::NotReadyInTime => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The days could not be fetched in time",
                "The days are not held yet, and fetching them takes longer than the request may.",
                "Ask again after `retry_after` seconds: the fetch goes on, and what was fetched is kept. Or ask for \
                 fewer days, or with `allow_partial=true`.",
            ),
            Self::ArchiveUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The archive does not do what it was asked for",
                "The folder or bucket of PULSE_ARCHIVE is full, read-only, or cannot be reached.",
                "The operator looks at `/readyz` and the log, which name the fault; then ask again.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "The request took too long",
                "The request was not sent whole, or could not be answered, in the time that any request has.",
                "Send the request at once. If it was: ask for less, and tell the operator, since requests are bounded \
                 so that this does not happen.",
            ),
            Self::PayloadTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is too long",
                "The body is longer than any that this service has a use for.",
                "Send a shorter body, or none: parameters go into the query.",
            ),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                "The path and query are too long",
                "They are longer than all parameters together can be.",
                "Send only the parameters that the endpoint has, each once.",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "There are too many requests at once",
                "As many requests as PULSE_MAX_REQUESTS allows are under way, and most of them probably wait for Feishu; or as \
                 many connections as PULSE_MAX_CONNECTIONS allows are open.",
                "Ask again after `retry_after` seconds. The operator sees in `/metrics` what is under way.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something is wrong inside this service",
                "A defect of this service.",
                "Report it with the `request_id`.",
            ),
        };
        Explanation { status, title, cause, cure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_problem_is_its_name_in_json() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
