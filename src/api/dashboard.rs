//! Serves the dashboard from the binary: the page at `/`, and its scripts and styles.
//!
//! The page contains no data. Its scripts request the public API with the credentials of the user.

mod assets;
mod dashboard_config;

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use quick_xml::escape::escape;
use reqwest::Url;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::assets::{ASSETS, PAGE};
pub use self::dashboard_config::{DashboardConfig, OidcSignIn};
use super::{
    format::media_type_quality,
    problem::{Problem, ProblemCode},
    public_path::BarePublicPath,
    state::ApiState,
    static_file::StaticFile,
};
use crate::model::Geo;

/// For the page: a browser revalidates it, because it names the hash of the assets.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// For the assets: their path contains a hash of their content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

const HTML: &str = "text/html";

/// Hash of all assets, part of their path.
static ASSETS_HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, content) in ASSETS {
        // The length before each part makes the hashed text unambiguous.
        for part in [*name, *content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
});

/// The assets by name, each compressed once.
static ENCODED_ASSETS: LazyLock<Vec<(&str, StaticFile)>> = LazyLock::new(|| {
    let encoded = |(name, content): &(&'static str, &'static str)| {
        let headers = [(header::CACHE_CONTROL, IMMUTABLE), (header::VARY, HeaderValue::from_static("accept-encoding"))];
        (*name, StaticFile::new(&Bytes::from_static(content.as_bytes()), name, &headers))
    };
    ASSETS.iter().map(encoded).collect()
});

/// `/` and `/dashboard/{assets_hash}/{name}`.
pub(super) fn routes(config: &DashboardConfig, geos: &[Geo]) -> Router<ApiState> {
    let page = Arc::new(Page::new(config, geos));
    Router::new().route("/", get(index).layer(Extension(page))).route("/dashboard/{assets_hash}/{name}", get(asset))
}

/// The page for browsers, and for other clients the addresses of the documentation.
async fn index(State(state): State<ApiState>, Extension(page): Extension<Arc<Page>>, request: Request) -> Response {
    // Without a slash at the end, browsers resolve the page's relative addresses against the parent path.
    if request.extensions().get::<BarePublicPath>().is_some() {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return Redirect::permanent(&format!("/{query}")).into_response();
    }
    if prefers_html(request.headers()) {
        let token_endpoint = match page.config.sign_in {
            Some(_) => state.access.authenticator.token_endpoint().await,
            None => None,
        };
        return page.file(token_endpoint.as_ref()).response(request.headers());
    }
    let pointer = json!({"service": "feishu-pulse", "documentation": "docs/", "openapi": "openapi.json"});
    ([(header::VARY, "accept")], Json(pointer)).into_response()
}

/// An asset of this version.
async fn asset(Path((assets_hash, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = ENCODED_ASSETS.iter().find(|(known, _)| *known == name).filter(|_| assets_hash == *ASSETS_HASH);
    let detail = "this version of the dashboard has no such file; load the page again";
    found.map(|(_, file)| file.response(&headers)).ok_or_else(|| Problem::new(ProblemCode::NotFound, detail))
}

/// Whether the client would rather have HTML than JSON. Only browsers name HTML.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    let accept = accept.join(",");
    media_type_quality(&accept, HTML) > media_type_quality(&accept, "application/json")
}

/// The page with its placeholders filled in. Its policy names the origins of the identity provider, which can change.
struct Page {
    html: Bytes,
    config: DashboardConfig,
    rendered: Mutex<RenderedPage>,
}

/// The page with the policy for these origins.
struct RenderedPage {
    provider_origins: Vec<String>,
    file: Arc<StaticFile>,
}

impl Page {
    fn new(config: &DashboardConfig, geos: &[Geo]) -> Self {
        let (issuer, client_id) = config.sign_in.as_ref().map_or(("", ""), |OidcSignIn { issuer, client_id }| {
            (issuer.as_str().trim_end_matches('/'), client_id.as_str())
        });
        let geos = geos.iter().map(|geo| geo.name()).collect::<Vec<_>>().join(",");
        let values = [
            ("{{assets_hash}}", ASSETS_HASH.as_str()),
            ("{{geos}}", &geos),
            ("{{oidc_issuer}}", issuer),
            ("{{oidc_client_id}}", client_id),
        ];
        let html = values.into_iter().fold(PAGE.to_owned(), |html, (name, value)| html.replace(name, &escape(value)));
        let html = Bytes::from(html);
        let provider_origins = provider_origins(config, None);
        let file = Arc::new(render(&html, config, &provider_origins));
        Self { html, config: config.clone(), rendered: Mutex::new(RenderedPage { provider_origins, file }) }
    }

    /// The page whose scripts may send requests to the issuer and to this token endpoint.
    fn file(&self, token_endpoint: Option<&Url>) -> Arc<StaticFile> {
        let provider_origins = provider_origins(&self.config, token_endpoint);
        let mut rendered = self.rendered.lock();
        if rendered.provider_origins != provider_origins {
            let file = Arc::new(render(&self.html, &self.config, &provider_origins));
            *rendered = RenderedPage { provider_origins, file };
        }
        Arc::clone(&rendered.file)
    }
}

fn render(html: &Bytes, config: &DashboardConfig, provider_origins: &[String]) -> StaticFile {
    let headers = [
        (header::CACHE_CONTROL, REVALIDATED),
        (header::VARY, HeaderValue::from_static("accept, accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(config, provider_origins)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    StaticFile::new(html, "index.html", &headers)
}

/// The origins to which a sign-in sends requests: that of the issuer, and that of the token endpoint if it is another one.
fn provider_origins(config: &DashboardConfig, token_endpoint: Option<&Url>) -> Vec<String> {
    let issuer = config.sign_in.as_ref().map(|sign_in| &sign_in.issuer);
    let mut origins: Vec<String> =
        issuer.into_iter().chain(token_endpoint).map(|url| url.origin().ascii_serialization()).collect();
    origins.dedup();
    origins
}

/// What the page may load, and who may show it in a frame. `data:` is for the icon, `blob:` for charts that are
/// saved as PNG.
fn content_security_policy(config: &DashboardConfig, provider_origins: &[String]) -> HeaderValue {
    let mut policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
            .to_owned();
    for origin in provider_origins {
        _ = write!(policy, " {origin}");
    }
    policy.push_str("; base-uri 'none'; form-action 'none'; frame-ancestors");
    match config.frame_ancestors.as_slice() {
        [] => policy.push_str(" 'none'"),
        ancestors => ancestors.iter().for_each(|ancestor| _ = write!(policy, " {ancestor}")),
    }
    // Origins are ASCII without control characters.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use rstest::rstest;

    use super::*;
    use crate::api::caching::ContentEncoding;

    #[rstest]
    #[case("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true)]
    #[case("text/html", true)]
    #[case("*/*", false)]
    #[case("application/json", false)]
    #[case("application/json, text/html;q=0.5", false)]
    #[case("text/html;q=0", false)]
    #[case("", false)]
    fn only_clients_that_name_html_first_receive_the_page(#[case] accept: &str, #[case] expected: bool) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        assert_eq!(prefers_html(&headers), expected);
    }

    #[test]
    fn the_code_has_at_most_40_kb_when_compressed() {
        let files = ASSETS.iter().filter(|(name, _)| !name.starts_with("texts.")).map(|(_, content)| *content);
        let code: String = files.chain([PAGE]).collect();
        let compressed = ContentEncoding::Gzip.encode(code.into()).unwrap();
        assert!((1..=40 << 10).contains(&compressed.len()), "{} bytes", compressed.len());
    }

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/dashboard/assets");
        let mut listed: BTreeSet<String> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.insert("index.html".to_owned());
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(listed, files.collect());
    }
}
