//! The table of problem codes: HTTP status, title, cause and remedy of each.

use axum::http::StatusCode;
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// The codes of problems. They are part of the API and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize, ToSchema, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "`ProblemCode::doc` documents each of them")]
pub enum ProblemCode {
    InvalidParameters,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    StaleCursor,
    Unauthenticated,
    InsufficientScope,
    DepartmentNotAllowed,
    InvalidHost,
    HostNotServed,
    CrossSiteRequest,
    TooManyRequests,
    IdentityProviderUnavailable,
    UpstreamRejected,
    UpstreamUnauthorized,
    UpstreamForbidden,
    UpstreamUnavailable,
    UpstreamThrottled,
    UpstreamQuotaExhausted,
    NoLeader,
    NotReadyInTime,
    ArchiveUnavailable,
    RequestTimeout,
    PayloadTooLarge,
    UriTooLong,
    PreconditionFailed,
    RangeNotSatisfiable,
    Overloaded,
    Internal,
}

/// The documentation of a problem code.
#[derive(Clone, Copy, Debug)]
pub struct ProblemDoc {
    /// HTTP status of the response.
    pub status: StatusCode,
    /// Title of the problem document.
    pub title: &'static str,
    /// What causes the problem.
    pub cause: &'static str,
    /// What to do about the problem.
    pub cure: &'static str,
}

impl ProblemCode {
    /// All codes.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The code in problem documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The documentation of the code.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one table")]
    pub const fn doc(self) -> ProblemDoc {
        let (status, title, cause, cure) = match self {
            Self::InvalidParameters => (
                StatusCode::BAD_REQUEST,
                "Invalid parameters",
                "A parameter is unknown, missing, malformed, repeated, or cannot be combined with another one.",
                "Correct every parameter that `errors` lists. No call was made to Feishu.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "The path does not exist, or names something that does not exist; or no row of the selected days has the \
                 department or person, and all selected days are there.",
                "See /docs for the paths of the API. If `suggestions` is present, it lists departments with a similar \
                 path. Check the id of a person or department and its type.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "The path exists, but not with this method.",
                "Use a method that the header `Allow` lists.",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "No acceptable format",
                "The header `Accept` allows none of the formats of this endpoint.",
                "Accept one of the media types that `detail` lists, or set the parameter `format`.",
            ),
            Self::StaleCursor => (
                StatusCode::CONFLICT,
                "The cursor is stale",
                "A day that was still provisional has changed since the previous page was read.",
                "Start again without a cursor.",
            ),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "Authentication required",
                "The header `Authorization` is missing, or contains neither a valid access key of this service nor a \
                 valid token of its identity provider.",
                "Send `Authorization: Bearer …` with an access key, or with a token that has not expired. The operator \
                 creates access keys with `feishu-pulse key new`.",
            ),
            Self::InsufficientScope => (
                StatusCode::FORBIDDEN,
                "Insufficient scope",
                "The access key or token lacks the scope in `required_scope`.",
                "Request an access key with that scope from the operator.",
            ),
            Self::DepartmentNotAllowed => (
                StatusCode::FORBIDDEN,
                "Department not allowed",
                "The caller is restricted to departments, and `department_path` is outside of them. The response is the \
                 same whether or not the department exists.",
                "Select one of the departments that `detail` names, or a department below them.",
            ),
            Self::InvalidHost => (
                StatusCode::BAD_REQUEST,
                "No single host name",
                "The request has no header `Host`, several of them, or one that is not a host name with an optional \
                 port. HTTP requires exactly one.",
                "Send one header `Host` with the name of this service. HTTP libraries do this by themselves.",
            ),
            Self::HostNotServed => (
                StatusCode::MISDIRECTED_REQUEST,
                "The host name is not served",
                "Access control is disabled. The service then accepts only host names of this machine, so that a web \
                 page cannot reach it through a domain of its own (DNS rebinding). At PULSE_ADMIN_LISTEN, it accepts only \
                 these, all IP addresses, and the names in PULSE_ADMIN_HOSTS.",
                "Send requests to `localhost` or `127.0.0.1`. To serve other hosts, the operator enables access \
                 control, or sets PULSE_ALLOW_ANONYMOUS if another component controls access. At PULSE_ADMIN_LISTEN, use \
                 an IP address, or the operator adds the name to PULSE_ADMIN_HOSTS.",
            ),
            Self::CrossSiteRequest => (
                StatusCode::FORBIDDEN,
                "Request of another site",
                "A browser sent the request for a web page of another site, as the headers `Sec-Fetch-Site` and `Origin` \
                 show. Such a request must not change anything, and without access control it must not read anything \
                 either, because each of these can cost calls to Feishu.",
                "Send the request from a page of this service, or without a browser. To let another page use the API, the \
                 operator adds its origin to PULSE_CORS_ORIGINS. A proxy in front of the service must pass on the header \
                 `Host`.",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests from this caller",
                "The caller has exceeded its rate limit; the header `RateLimit` shows the remaining requests. Or the \
                 caller already runs the maximum number of jobs. Or the credentials are wrong, and 60 other wrong ones \
                 came from the same address within a minute.",
                "Retry after `retry_after` seconds, with valid credentials.",
            ),
            Self::IdentityProviderUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The identity provider cannot be reached",
                "The token may be valid, but the keys to verify it cannot be fetched from the identity provider.",
                "Retry after `retry_after` seconds. The operator checks PULSE_OIDC_ISSUER. Access keys still work.",
            ),
            Self::UpstreamRejected => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Feishu rejects the request",
                "Feishu rejects a parameter, such as a user id of another app.",
                "Check the id and its type (`user_id_type`, `department_id_type`).",
            ),
            Self::UpstreamUnauthorized => (
                StatusCode::BAD_GATEWAY,
                "Feishu rejects the credentials of the app",
                "FEISHU_APP_ID or FEISHU_APP_SECRET is wrong, or the app is disabled.",
                "The operator checks the credentials in Feishu's developer console. The service retries them every 30 \
                 s.",
            ),
            Self::UpstreamForbidden => (
                StatusCode::BAD_GATEWAY,
                "Feishu denies access to the app",
                "The app lacks a scope, its data range does not cover the request, the geo is not enabled, the IP \
                 address of this service is not allowed, or Feishu refuses the call with a code that is not known.",
                "An administrator grants the app what `detail` names, in Feishu's developer console. No restart is \
                 needed: each request tries again. An unknown code can be looked up in Feishu's documentation.",
            ),
            Self::UpstreamUnavailable => (
                StatusCode::BAD_GATEWAY,
                "Feishu is unavailable",
                "Several attempts to call Feishu failed: no response, an error, or an invalid response.",
                "Retry later. Days fetched until then stay available.",
            ),
            Self::UpstreamThrottled => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Feishu's rate limit is exhausted",
                "Feishu keeps rejecting calls because of its rate limit, which other programs with the same app use \
                 too.",
                "Retry after `retry_after` seconds. Check whether other programs use the same app.",
            ),
            Self::UpstreamQuotaExhausted => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The monthly quota of Feishu calls is exhausted",
                "The monthly quota of API calls, which all apps of the tenant share, is used up.",
                "Days in memory and in the archive are still served. For other days, retry after `retry_after` seconds: \
                 then one call is tried. It succeeds from the first of the month (UTC+8), or if more quota was bought.",
            ),
            Self::NoLeader => (
                StatusCode::SERVICE_UNAVAILABLE,
                "No replica calls Feishu",
                "Several replicas run, and none of them leads at the moment: a leader has just ended, or the store of \
                 PULSE_FLEET does not answer. Days that are stored are served.",
                "Retry after `retry_after` seconds. If it lasts, the operator checks the store.",
            ),
            Self::NotReadyInTime => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The days could not be fetched in time",
                "The days are not available yet, and fetching them takes longer than the request may wait.",
                "Retry after `retry_after` seconds: days of everyone are fetched meanwhile, at most 366 for a caller, and \
                 fetched days stay available. Days of one person or of a `department_id` are fetched only while a \
                 request waits for them: wait longer, or set `Prefer: respond-async`. Or request fewer days, or set \
                 `allow_partial=true`.",
            ),
            Self::ArchiveUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The archive is unavailable",
                "The folder or bucket in PULSE_ARCHIVE is full, read-only or unreachable.",
                "The operator finds the failure in `/readyz` and in the log. Retry after it is fixed.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "Request timeout",
                "The request was not received completely, or not answered, within the time limit of a request.",
                "Send the complete request without delay. If this does not help, request fewer days, and report it to \
                 the operator: the service should respond before this limit.",
            ),
            Self::PayloadTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is too large",
                "The body is larger than any request of this API needs.",
                "Send a smaller body or none. Parameters belong in the query.",
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "The precondition failed",
                "The header `If-Match` or `If-Unmodified-Since` requires another representation than the current one: a day \
                 has changed, or the format or content coding differs.",
                "Request the representation again without the precondition, and use its `ETag`.",
            ),
            Self::RangeNotSatisfiable => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "The range is outside of the response",
                "The header `Range` asks for bytes after the end of the response.",
                "Ask for bytes below the length that the header `Content-Range` names, or send no `Range`.",
            ),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                "The path and query are too long",
                "The path and query are longer than those of any valid request.",
                "Send each parameter of the endpoint at most once.",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is overloaded",
                "The gateway does as much as its limits allow: PULSE_MAX_REQUESTS, PULSE_MAX_EXPORTS, or the bytes of responses \
                 that clients have not read. `detail` names the limit.",
                "Retry after `retry_after` seconds. The operator finds the number of requests in `/metrics`.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
                "A defect of this service.",
                "Report it with the `request_id`.",
            ),
        };
        ProblemDoc { status, title, cause, cure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_code_is_its_json_value() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
