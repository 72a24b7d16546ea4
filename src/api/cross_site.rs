//! The check of requests that a browser sends for a page of another site.
//!
//! A page needs no permission to send a simple request, such as a POST without a body. It cannot read the response, but
//! the request has its effect. Browsers name the origin of the page in `Sec-Fetch-Site` (Fetch Metadata) and `Origin`
//! (RFC 6454), which pages cannot change. Other clients send neither.

use axum::{
    http::{HeaderName, HeaderValue, Method, Request, header},
    response::{IntoResponse as _, Response},
};

use super::{
    allowed_origins::AllowedOrigins,
    host_check::requested_host,
    middleware::Middleware,
    problem::{Problem, ProblemCode},
    request_facts::RequestFacts,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The layer that refuses requests of pages of other sites.
#[derive(Clone, Debug)]
pub struct RefuseCrossSite {
    /// Origins whose requests are accepted.
    pub allowed_origins: AllowedOrigins,
    /// Whether requests that only read are refused too. Without credentials, a page of another site can use up the quota of
    /// calls with them.
    pub refuses_reads: bool,
}

impl Middleware for RefuseCrossSite {
    type Finish = ();

    fn before<B>(&self, request: &mut Request<B>) -> Result<(), Response> {
        if !self.is_refused(request) {
            return Ok(());
        }
        RequestFacts::of(request).audit();
        let detail = "the request comes from a web page of another site";
        Err(Problem::new(ProblemCode::CrossSiteRequest, detail).into_response())
    }
}

impl RefuseCrossSite {
    fn is_refused<B>(&self, request: &Request<B>) -> bool {
        // A preflight request has no effect.
        if !is_cross_site(request) || *request.method() == Method::OPTIONS {
            return false;
        }
        if request.headers().get(header::ORIGIN).is_some_and(|origin| self.allowed_origins.contains(origin)) {
            return false;
        }
        !request.method().is_safe() || (self.refuses_reads && !is_link(request))
    }
}

/// Whether a page of another site sends the request.
fn is_cross_site<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    match headers.get(SEC_FETCH_SITE) {
        Some(site) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
        // Browsers send no `Sec-Fetch-Site` to hosts other than loopback without TLS.
        None => headers.get(header::ORIGIN).is_some_and(|origin| !is_origin_of_target(origin, request)),
    }
}

/// Whether the origin is that of the host that the request was sent to. The scheme is not compared, because a proxy may
/// have terminated TLS.
fn is_origin_of_target<B>(origin: &HeaderValue, request: &Request<B>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = requested_host(request).ok().flatten();
    origin.zip(host).is_some_and(|((_, origin), host)| host.as_str().eq_ignore_ascii_case(origin))
}

/// Whether the user follows a link to the target.
fn is_link<B>(request: &Request<B>) -> bool {
    *request.method() == Method::GET && request.headers().get(SEC_FETCH_DEST).is_some_and(|dest| dest == "document")
}
