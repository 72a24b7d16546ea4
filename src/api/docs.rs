//! The OpenAPI document and Swagger UI, both served from the binary.

use axum::{Json, Router, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{compat, state::ApiState};

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
    modifiers(&BearerToken),
    security(()),
)]
struct Base;

/// The access token that an official SDK fetches for itself.
struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let described = scheme.description(Some("From `/open-apis/auth/v3/tenant_access_token/internal`."));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(compat::BEARER, SecurityScheme::Http(described.build()));
    }
}

/// The document without routes.
#[must_use]
pub fn base() -> openapi::OpenApi {
    Base::openapi()
}

/// `/openapi.json` and `/docs`.
pub fn routes(document: openapi::OpenApi) -> Router<ApiState> {
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json").try_it_out_enabled(true));
    Router::new().route("/openapi.json", get(async move || Json(document))).merge(ui)
}
