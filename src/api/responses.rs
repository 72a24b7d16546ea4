//! What data endpoints have in common, for the documentation: how they can fail, and how long callers wait.

use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::{problem::Problem, v1::backfill_item::Backfill};

/// What an endpoint that may have to ask Feishu answers besides the data.
#[derive(IntoResponses)]
pub enum UpstreamAnswers {
    /// The days are not held yet, and the caller prefers not to wait for them (`Prefer: respond-async`): they are being
    /// fetched by this job. Ask the same question again when it is done.
    #[response(
        status = 202,
        headers(
            ("Location" = String, description = "Where the job can be followed"),
            ("Retry-After" = u64, description = "Seconds that it probably takes"),
            ("Preference-Applied" = String, description = "`respond-async`"),
        )
    )]
    Accepted(Backfill),
    /// `upstream_rejected`: Feishu does not know the user or department id.
    #[response(status = 422, content_type = "application/problem+json")]
    Rejected(Problem),
    /// `upstream_unauthorized`, `upstream_forbidden` or `upstream_unavailable`: Feishu does not answer this app.
    #[response(status = 502, content_type = "application/problem+json")]
    BadGateway(Problem),
    /// `not_ready_in_time`, `upstream_throttled` or `upstream_quota_exhausted`: ask again after `Retry-After` seconds.
    #[response(
        status = 503,
        content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "Seconds after which asking again makes sense"))
    )]
    Unavailable(Problem),
}

/// The problem of an endpoint that answers in several formats.
#[derive(IntoResponses)]
pub enum FormatProblems {
    /// `not_acceptable`: no acceptable format
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(Problem),
}

/// A table as Parquet: days are dates, instants are timestamps in UTC, counters 64-bit integers, flags booleans, lists
/// lists; compressed with zstd.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "documents what is written")]
pub struct ParquetFile(Vec<u8>);

/// Problems of every endpoint that takes parameters.
#[derive(IntoResponses)]
pub enum CommonProblems {
    /// `invalid_parameters`: every faulty parameter is named in `errors`. Nothing was asked of Feishu.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `unauthenticated`: no credentials, or none that are valid here. Only where the service has access control.
    #[response(status = 401, content_type = "application/problem+json", headers(
        ("WWW-Authenticate" = String, description = "How to say who asks (RFC 6750)"),
    ))]
    Unauthenticated(Problem),
    /// `insufficient_scope`: the caller lacks the scope that `required_scope` names.
    #[response(status = 403, content_type = "application/problem+json")]
    InsufficientScope(Problem),
    /// `host_not_served`: the service has no access control and was asked under a name that is not this machine's own.
    #[response(status = 421, content_type = "application/problem+json")]
    HostNotServed(Problem),
    /// `too_many_requests`: the caller has used up its requests; `Retry-After` says when there are more.
    #[response(status = 429, content_type = "application/problem+json", headers(
        ("Retry-After" = u64, description = "Seconds after which asking again makes sense"),
        ("RateLimit" = String, description = "Requests that are left, and seconds until all are back"),
        ("RateLimit-Policy" = String, description = "Requests that the caller may make in so many seconds"),
    ))]
    TooManyRequests(Problem),
    /// `internal`: a defect of this service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
}

/// The header of endpoints that may have to ask Feishu. Read by [`Preference`](super::prefer::Preference).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents what is read")]
pub struct PreferHeader {
    /// `wait=N`: wait at most N seconds for days that are not held yet (RFC 7240). Without it, as long as the service
    /// is set to. What cannot be had in that time is told at once, with the estimate in `Retry-After`.
    /// `respond-async`: do not wait, answer `202` with the job that fetches the days. With both, wait first.
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}
