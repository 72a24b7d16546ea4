//! Serves the OpenAPI document, Swagger UI and the documents for readers from the binary.

mod markdown_page;

use std::sync::{Arc, LazyLock};

use axum::{
    Json, Router,
    http::{HeaderMap, HeaderValue, header},
    routing::get,
};
use serde_json::Value;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::markdown_page::MarkdownPage;
use super::{
    authorization, drop_in,
    exports::ExportLayout,
    state::ApiState,
    static_file::StaticFile,
    v1::{
        activity::BucketLength,
        departments::DepartmentsLayout,
        figures::{FeatureActiveDays, FeatureUse},
        retention::PeriodLength,
        trailing::TrailingMode,
        user_day::UserDayClient,
    },
};
use crate::model::{DepartmentIdType, UserIdType};

/// The parts of the OpenAPI document that do not depend on the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "feishu-pulse",
        description = "Feishu usage statistics per person and day: the data of Feishu's `admin_user_stats` API in a \
            single REST call.\n\nThe service handles access tokens, pages of 60 rows, windows of 31 days, rate limits \
            and the monthly quota. It fetches each day once and stores it. Feishu produces the data of a day at 09:30 \
            on the next day (UTC+8 in `cn`, UTC elsewhere). Until then the day is *pending*, then for some hours \
            *provisional*, then *final*.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "data", description = "People and user-days (one item per person and day)"),
        (name = "reports", description = "Aggregated figures over user-days"),
        (name = "coverage", description = "The state of each day"),
        (name = "archive", description = "Fill the archive, delete days"),
        (name = "exports", description = "The same tables as files: CSV, NDJSON, Parquet and XLSX"),
        (name = "drop-in", description = "Feishu's own API, so that an official SDK works after a change of its base \
            URL. Errors have Feishu's format instead of problem documents"),
        (name = "operations", description = "Probes, metrics and other endpoints for operators"),
    ),
    // Types that are only parts of others.
    components(schemas(
        UserIdType,
        DepartmentIdType,
        FeatureUse,
        FeatureActiveDays,
        UserDayClient,
        BucketLength,
        PeriodLength,
        TrailingMode,
        DepartmentsLayout,
        ExportLayout
    )),
    modifiers(&SecuritySchemes),
)]
struct DocumentBase;

/// Adds the security schemes to the document.
struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemes = [
            (
                authorization::ACCESS_KEY_SCHEME,
                "An access key (`feishu-pulse key new`), or a token of the identity provider. Not required if access \
                 control is disabled. Each operation names the scope that it requires: `reports:read`, `users:read` \
                 (includes `reports:read`) or `admin`. If it names several scopes, one of them is enough.",
            ),
            (
                drop_in::TENANT_TOKEN_SCHEME,
                "A token from `/open-apis/auth/v3/tenant_access_token/internal`. An official SDK requests it by itself.",
            ),
        ];
        let components = document.components.get_or_insert_default();
        for (name, description) in schemes {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
            components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
        }
    }
}

/// The pages of `/docs` may only load resources from this service and send requests to it. `unsafe-inline` styles are
/// allowed because Swagger UI sets style attributes.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The OpenAPI document without routes.
#[must_use]
pub fn base() -> openapi::OpenApi {
    DocumentBase::openapi()
}

/// The documents that are served as pages: the definitions of all figures, to which the dashboard links, and what callers need.
const DOCUMENTS: [MarkdownPage; 8] = [
    MarkdownPage { path: "metrics", markdown: include_str!("../../docs/metrics.md") },
    MarkdownPage { path: "access", markdown: include_str!("../../docs/access.md") },
    MarkdownPage { path: "settings", markdown: include_str!("../../docs/settings.md") },
    MarkdownPage { path: "drop-in", markdown: include_str!("../../docs/drop-in.md") },
    MarkdownPage { path: "zh/metrics", markdown: include_str!("../../docs/zh/metrics.md") },
    MarkdownPage { path: "zh/access", markdown: include_str!("../../docs/zh/access.md") },
    MarkdownPage { path: "zh/settings", markdown: include_str!("../../docs/zh/settings.md") },
    MarkdownPage { path: "zh/drop-in", markdown: include_str!("../../docs/zh/drop-in.md") },
];

/// The script that starts Swagger UI, and the style sheet of the documents.
const OWN_FILES: [(&str, &str); 2] = [
    ("/docs/swagger-initializer.js", include_str!("docs/initializer.js")),
    ("/docs/page.css", include_str!("docs/page.css")),
];

/// The files by path, each compressed once.
static OWN_PAGES: LazyLock<Vec<(String, Arc<StaticFile>)>> = LazyLock::new(|| {
    let served: Vec<&str> = DOCUMENTS.iter().map(|document| document.path).collect();
    let documents =
        DOCUMENTS.iter().map(|document| (format!("/docs/{}.html", document.path), document.render(&served)));
    let files = OWN_FILES.into_iter().map(|(path, content)| (path.to_owned(), content.to_owned()));
    let file = |(path, content): (String, String)| {
        let file =
            StaticFile::new(&content.into(), &path, &[(header::VARY, HeaderValue::from_static("accept-encoding"))]);
        (path, Arc::new(file))
    };
    documents.chain(files).map(file).collect()
});

fn own_pages() -> Router<ApiState> {
    OWN_PAGES.iter().fold(Router::new(), |pages, (path, file)| {
        let file = Arc::clone(file);
        pages.route(path, get(async move |headers: HeaderMap| file.response(&headers)))
    })
}

/// `/openapi.json` and `/docs`.
pub fn routes(document: Value) -> Router<ApiState> {
    // `initializer.js` has the configuration.
    let ui = SwaggerUi::new("/docs").config(Config::from("../openapi.json"));
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    let pages = headers.into_iter().fold(Router::from(ui).merge(own_pages()), |pages, (name, value)| {
        pages.layer(SetResponseHeaderLayer::overriding(name, value))
    });
    Router::new().route("/openapi.json", get(async move || Json(document))).merge(pages)
}
