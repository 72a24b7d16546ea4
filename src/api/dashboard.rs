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
    extract::{Path, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use quick_xml::escape::escape;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::assets::{ASSETS, PAGE};
pub use self::dashboard_config::{DashboardConfig, OidcSignIn};
use super::{
    access_log::RowCount,
    caching::{
        ContentEncoding, ETag, cache_entry::not_modified, preconditions::Preconditions, response_store::StoredResponse,
    },
    format::media_type_quality,
    problem::{Problem, ProblemCode},
    public_path::BarePublicPath,
    state::ApiState,
};

/// For the page: a browser revalidates it, because it names the version of the assets.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// For the assets: their path contains a hash of their content.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

const HTML: &str = "text/html";

/// Hash of all assets, part of their path.
static VERSION: LazyLock<String> = LazyLock::new(|| {
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

/// `/` and `/dashboard/{version}/{name}`.
pub(super) fn routes(config: &DashboardConfig) -> Router<ApiState> {
    let page = Arc::new(page(config));
    Router::new().route("/", get(index).layer(Extension(page))).route("/dashboard/{version}/{name}", get(asset))
}

/// The page for browsers, and for other clients the addresses of the documentation.
async fn index(Extension(page): Extension<Arc<StaticFile>>, request: Request) -> Response {
    // Without a slash at the end, browsers resolve the page's relative addresses against the parent path.
    if request.extensions().get::<BarePublicPath>().is_some() {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return Redirect::permanent(&format!("/{query}")).into_response();
    }
    if prefers_html(request.headers()) {
        return page.response(request.headers());
    }
    let pointer = json!({"service": "feishu-pulse", "documentation": "docs/", "openapi": "openapi.json"});
    ([(header::VARY, "accept")], Json(pointer)).into_response()
}

/// An asset of this version.
async fn asset(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = ENCODED_ASSETS.iter().find(|(known, _)| *known == name).filter(|_| version == *VERSION);
    let detail = "this version of the dashboard has no such file; load the page again";
    found.map(|(_, file)| file.response(&headers)).ok_or_else(|| Problem::new(ProblemCode::NotFound, detail))
}

/// Whether the client would rather have HTML than JSON. Only browsers name HTML.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    let accept = accept.join(",");
    media_type_quality(&accept, HTML) > media_type_quality(&accept, "application/json")
}

/// The page with its placeholders filled in.
fn page(config: &DashboardConfig) -> StaticFile {
    let (issuer, client_id) = config.sign_in.as_ref().map_or(("", ""), |OidcSignIn { issuer, client_id }| {
        (issuer.as_str().trim_end_matches('/'), client_id.as_str())
    });
    let values = [("{{version}}", VERSION.as_str()), ("{{oidc_issuer}}", issuer), ("{{oidc_client_id}}", client_id)];
    let html = values.into_iter().fold(PAGE.to_owned(), |html, (name, value)| html.replace(name, &escape(value)));
    let headers = [
        (header::CACHE_CONTROL, REVALIDATED),
        (header::VARY, HeaderValue::from_static("accept, accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, content_security_policy(config)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    StaticFile::new(&html.into(), "index.html", &headers)
}

/// What the page may load, and who may show it in a frame. `data:` is for the icon, `blob:` for charts that are
/// saved as PNG.
fn content_security_policy(config: &DashboardConfig) -> HeaderValue {
    let issuer = config.sign_in.as_ref().map(|sign_in| format!(" {}", sign_in.issuer.origin().ascii_serialization()));
    let mut policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'{}; \
         base-uri 'none'; form-action 'none'; frame-ancestors",
        issuer.unwrap_or_default()
    );
    match config.frame_ancestors.as_slice() {
        [] => policy.push_str(" 'none'"),
        ancestors => ancestors.iter().for_each(|ancestor| _ = write!(policy, " {ancestor}")),
    }
    // Origins are ASCII without control characters.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

fn media_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    })
}

/// A file in all content codings.
struct StaticFile {
    identity: (ETag, StoredResponse),
    compressed: Vec<(ContentEncoding, (ETag, StoredResponse))>,
}

impl StaticFile {
    fn new(content: &Bytes, name: &str, headers: &[(HeaderName, HeaderValue)]) -> Self {
        let representation = |encoding: ContentEncoding, body: Bytes| {
            // The content alone does not decide: two pages differ only in a header.
            let etag = ETag::new(content, name, &format!("{headers:?}"), encoding);
            let mut headers: HeaderMap = headers.iter().cloned().collect();
            headers.insert(header::CONTENT_TYPE, media_type(name));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.extend(encoding.header().map(|encoding| (header::CONTENT_ENCODING, encoding)));
            headers.extend(etag.header().map(|etag| (header::ETAG, etag)));
            (etag, StoredResponse { headers, body, rows: RowCount::default() })
        };
        let compressed = ContentEncoding::STORED.iter().filter_map(|encoding| {
            let body = encoding.encode(content.clone()).ok()?;
            Some((*encoding, representation(*encoding, body)))
        });
        Self { compressed: compressed.collect(), identity: representation(ContentEncoding::Identity, content.clone()) }
    }

    /// The file in the coding that the client prefers, or what its preconditions demand.
    fn response(&self, request_headers: &HeaderMap) -> Response {
        let negotiated = ContentEncoding::negotiate(request_headers, ContentEncoding::STORED);
        let found = self.compressed.iter().find(|(encoding, _)| *encoding == negotiated);
        let (etag, stored) = found.map_or(&self.identity, |(_, compressed)| compressed);
        Preconditions::from_headers(request_headers)
            .response(etag, None, || not_modified(stored.headers.clone()))
            .unwrap_or_else(|| stored.to_response(stored.headers_with(HeaderMap::new()), request_headers))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use rstest::rstest;

    use super::*;

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
