//! The ways in which every data endpoint can fail, for the documentation.

use utoipa::IntoResponses;

use super::problem::Problem;

/// Problems of an endpoint that may have to ask Feishu.
#[derive(IntoResponses)]
pub enum UpstreamProblems {
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

/// Problems of every endpoint that takes parameters.
#[derive(IntoResponses)]
pub enum CommonProblems {
    /// `invalid_parameters`: every faulty parameter is named in `errors`. Nothing was asked of Feishu.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// `internal`: a defect of this service.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
}
