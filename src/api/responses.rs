//! Parts of the OpenAPI document that endpoints share: error responses, and the header `Prefer`.

use utoipa::{IntoParams, IntoResponses};

use super::problem::Problem;

/// Responses of endpoints that may have to fetch days from Feishu. The 202 of `respond-async` is described at the header
/// `Prefer`: as a response, it would make the result of every operation a union in generated clients.
#[derive(IntoResponses)]
pub enum UpstreamResponses {
    /// `not_found`: no row of the selected days has the selected department or person, and all selected days are there.
    /// For a `department_path`, `suggestions` lists similar departments.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// `upstream_rejected`: Feishu rejects a parameter, such as a user id of another app.
    #[response(status = 422, content_type = "application/problem+json")]
    Rejected(Problem),
    /// `upstream_unauthorized`, `upstream_forbidden` or `upstream_unavailable`: Feishu rejects the calls of this app, or
    /// the calls fail.
    #[response(status = 502, content_type = "application/problem+json")]
    BadGateway(Problem),
    /// `not_ready_in_time`, `upstream_throttled` or `upstream_quota_exhausted`: retry after `Retry-After` seconds.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "Seconds to wait before a retry"))
    )]
    Unavailable(Problem),
}

/// Error responses of endpoints with several formats.
#[derive(IntoResponses)]
pub enum FormatProblems {
    /// `not_acceptable`: none of the available formats is acceptable to the caller
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
}

/// Error responses of all endpoints with parameters.
#[derive(IntoResponses)]
pub enum CommonProblems {
    /// `invalid_parameters`: `errors` lists every faulty parameter. No call was made to Feishu. `invalid_host`: the header
    /// `Host` is missing, repeated or malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `unauthenticated`: the credentials are missing or invalid. Only if access control is enabled.
    #[response(status = 401, content_type = "application/problem+json", headers(
        ("WWW-Authenticate" = String, description = "The authentication challenge (RFC 6750)"),
    ))]
    Unauthenticated(Problem),
    /// `insufficient_scope`: the caller lacks the scope that `required_scope` names. `department_not_allowed`: the caller
    /// is restricted to departments, and `department_path` is outside of them. `cross_site_request`: a web page of another
    /// site sent the request.
    #[response(status = 403, content_type = "application/problem+json")]
    InsufficientScope(Problem),
    /// `host_not_served`: access control is disabled, and the `Host` of the request is not a name of this machine.
    #[response(status = 421, content_type = "application/problem+json")]
    HostNotServed(Problem),
    /// `too_many_requests`: the caller has exceeded its rate limit. Retry after `Retry-After` seconds.
    #[response(status = 429, content_type = "application/problem+json", headers(
        ("Retry-After" = u64, description = "Seconds to wait before a retry"),
        ("RateLimit" = String, description = "Remaining requests, and seconds until the full quota is available again"),
        ("RateLimit-Policy" = String, description = "Quota of requests, and its window in seconds"),
    ))]
    TooManyRequests(Problem),
    /// `internal`: a defect of this service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
}

/// The header `Prefer` of endpoints that may have to fetch days from Feishu. Parsed by
/// [`Preference`](super::prefer::Preference).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents what `Preference::parse` parses")]
pub struct PreferHeader {
    /// `wait=N`: wait at most N seconds for days that have to be fetched (RFC 7240). Default: the service's request
    /// timeout. If the fetch is expected to take longer, the response is an immediate `503` with the estimate in
    /// `Retry-After`. `respond-async`: instead of waiting, respond with `202`, the job that fetches the days in `Location`
    /// (`/v1/backfills/{id}`) and as the body, the estimate in `Retry-After`, and `Preference-Applied`; repeat the request
    /// when the job is done. Without this preference, no response is `202`. With both, wait first.
    #[param(rename = "Prefer", nullable = false)]
    prefer: Option<String>,
}
