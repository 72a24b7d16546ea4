//! The OpenAPI document and Swagger UI, both served from the binary.

use axum::{
    Json, Router,
    http::{HeaderValue, header},
    routing::get,
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{compat, needs, state::ApiState};

/// What the document says besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "feishu-pulse",
        description = "Who in the company uses which part of Feishu, day by day: Feishu's `admin_user_stats` behind one \
            REST call per question.\n\nTokens, pages of 60 rows, windows of 31 days, rate limits and the monthly quota \
            stay inside. A past day is fetched once and never again. Days are produced by Feishu at 09:30 of the next \
            day (UTC+8 in `cn`, UTC elsewhere); until then they are *pending*, for some hours *provisional*, then \
            *final*.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "this service")),
    tags(
        (name = "data", description = "User-days: one item per person and day"),
        (name = "reports", description = "Figures over user-days"),
        (name = "coverage", description = "Which days are held, and how far they can be relied on"),
        (name = "archive", description = "What is kept for good: fill it, forget parts of it"),
        (name = "drop-in", description = "Feishu's own contract, so that an official SDK works unchanged: only its base \
            URL changes. Errors here are Feishu's, not problem documents"),
        (name = "operations", description = "For probes and for people who look after the service"),
    ),
    modifiers(&Credentials),
)]
struct Base;

/// How callers say who they are.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemes = [
            (
                needs::BEARER,
                "An access key (`feishu-pulse key new`), or a token of the identity provider. Not needed where the \
                 service has no access control. Each operation names the scope it takes: `reports:read`, `users:read` \
                 (which includes it) or `admin`; where it names several, one of them.",
            ),
            (
                compat::BEARER,
                "From `/open-apis/auth/v3/tenant_access_token/internal`; an official SDK gets it by itself.",
            ),
        ];
        let components = document.components.get_or_insert_default();
        for (name, description) in schemes {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
            components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
        }
    }
}

/// What the pages of `/docs` may do: run the scripts that are served with them, and ask this service. Swagger UI sets
/// styles of elements; that cannot load anything.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The document without routes.
#[must_use]
pub fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// `/openapi.json` and `/docs`.
pub fn routes(document: openapi::OpenApi) -> Router<ApiState> {
    let ui = SwaggerUi::new("/docs")
        .config(Config::from("/openapi.json").try_it_out_enabled(true).persist_authorization(false));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    let pages = headers
        .into_iter()
        .fold(Router::from(ui), |pages, (name, value)| pages.layer(SetResponseHeaderLayer::overriding(name, value)));
    Router::new().route("/openapi.json", get(async move || Json(document))).merge(pages)
}
