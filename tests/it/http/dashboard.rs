//! The page at `/`, and its scripts and styles.

use axum::{Json, Router, routing::get};
use feishu_pulse::{
    access::{OidcConfig, Scope},
    api::{DashboardConfig, OidcSignIn},
    model::Geo,
};
use feishu_simulator::SimulatorConfig;
use reqwest::{StatusCode, redirect::Policy};
use rstest::rstest;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    access::callers::{GuardedGateway, Key, send},
    support::{ApiResponse, Setup},
};

/// What browsers send when a user opens an address.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

fn tiny() -> SimulatorConfig {
    SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() }
}

async fn page(setup: &Setup) -> ApiResponse {
    send(setup.http.get(format!("{}/", setup.base)).header("accept", BROWSER)).await
}

/// The address of an asset that the page loads, relative to the page.
fn asset(page: &ApiResponse, end: &str) -> String {
    let addresses = page.text.split('"').filter(|text| text.starts_with("dashboard/"));
    addresses.into_iter().find(|address| address.ends_with(end)).expect("an asset").to_owned()
}

fn policy(page: &ApiResponse) -> &str {
    page.headers["content-security-policy"].to_str().unwrap()
}

#[tokio::test]
async fn browsers_receive_the_page_and_other_clients_a_pointer() {
    let setup = Setup::new(tiny()).await;

    let page = page(&setup).await;
    let pointer = setup.get("/").await;

    assert_eq!(
        (page.status, &page.headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(page.text.starts_with("<!doctype html>") && !page.text.contains("{{"), "{}", page.text);
    assert_eq!(pointer.json()["documentation"], "docs/");
    for response in [&page, &pointer] {
        assert!(response.headers["vary"].to_str().unwrap().starts_with("accept"));
    }
}

#[tokio::test]
async fn the_page_may_load_only_from_its_own_origin() {
    let setup = Setup::new(tiny()).await;

    let page = page(&setup).await;

    assert_eq!(
        policy(&page),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(
        (&page.headers["x-content-type-options"], &page.headers["referrer-policy"]),
        (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    for forbidden in ["<script>", "<style", " style=", " onclick=", "src=\"http", "href=\"http"] {
        assert!(!page.text.contains(forbidden), "{forbidden}: {}", page.text);
    }
}

#[tokio::test]
async fn the_identity_provider_and_the_frames_are_settings() {
    let setup = Setup::with(tiny(), |config| {
        config.dashboard = DashboardConfig {
            sign_in: Some(OidcSignIn {
                issuer: "https://login.example.com/realms/corp".parse().unwrap(),
                client_id: "pulse\"><script>".to_owned(),
            }),
            frame_ancestors: vec!["'self'".to_owned(), "https://portal.example.com".to_owned()],
        };
    })
    .await;

    let page = page(&setup).await;

    let policy = policy(&page);
    assert!(policy.contains("connect-src 'self' https://login.example.com;"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'self' https://portal.example.com"), "{policy}");
    assert!(page.text.contains("\"https://login.example.com/realms/corp\""), "{}", page.text);
    assert!(page.text.contains("\"pulse&quot;&gt;&lt;script&gt;\""), "{}", page.text);
}

/// An issuer whose token endpoint has another origin.
async fn issuer_with_token_endpoint(token_endpoint: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let issuer = format!("http://{}", listener.local_addr().expect("an address"));
    let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "token_endpoint": token_endpoint});
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(async move || Json(metadata)))
        .route("/keys", get(async || Json(json!({"keys": []}))));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    issuer
}

#[tokio::test]
async fn the_page_may_send_requests_to_the_token_endpoint_of_the_provider() {
    let policy_with = async |token_endpoint: &str, is_issuer_up: bool| {
        let issuer = issuer_with_token_endpoint(token_endpoint).await;
        let issuer = if is_issuer_up { issuer } else { "http://127.0.0.1:1".to_owned() };
        let setup = Setup::with(tiny(), |config| {
            config.access.oidc = Some(OidcConfig {
                issuer: issuer.parse().unwrap(),
                audience: "pulse".to_owned(),
                scopes_claim: "scope".to_owned(),
                departments_claim: None,
                pseudonymous_claim: None,
            });
            let issuer = issuer.parse().unwrap();
            config.dashboard.sign_in = Some(OidcSignIn { issuer, client_id: "pulse".to_owned() });
        })
        .await;
        let page = page(&setup).await;
        let (_, sources) = policy(&page).split_once("connect-src ").unwrap();
        sources.split(';').next().unwrap().replace(&issuer, "ISSUER")
    };

    assert_eq!(policy_with("https://token.example.com/token", true).await, "'self' ISSUER https://token.example.com");
    assert_eq!(policy_with("no URL", true).await, "'self' ISSUER");
    assert_eq!(policy_with("https://token.example.com/token", false).await, "'self' ISSUER");
}

#[tokio::test]
async fn the_page_names_the_geos_that_are_served() {
    let home = Setup::new(tiny()).await;
    let several = Setup::with(tiny(), |config| config.geos = vec![Geo::Cn, Geo::Sg]).await;

    assert!(page(&home).await.text.contains("<meta name=\"geos\" content=\"cn\">"));
    assert!(page(&several).await.text.contains("<meta name=\"geos\" content=\"cn,sg\">"));
}

/// The definitions that the page has texts of are in the documents to which it links.
#[rstest]
#[case("", include_str!("../../../src/api/dashboard/assets/texts.en.js"))]
#[case("zh/", include_str!("../../../src/api/dashboard/assets/texts.zh.js"))]
#[tokio::test]
async fn each_definition_of_the_page_has_an_anchor(#[case] folder: &str, #[case] texts: &str) {
    let setup = Setup::new(tiny()).await;
    let document = setup.get(&format!("/docs/{folder}metrics.html")).await;
    assert_eq!(
        (document.status, &document.headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(
        document.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'; script-src 'self'")
    );

    let key = |line: &str| line.trim().strip_prefix("\"def.")?.split('"').next().map(ToOwned::to_owned);
    let keys: Vec<String> = texts.lines().filter_map(key).collect();
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        let named = texts.lines().find_map(|line| line.trim().strip_prefix(&format!("\"anchor.{key}\": \"")));
        let anchor = named.map_or(key.as_str(), |rest| rest.split('"').next().unwrap());
        assert!(document.text.contains(&format!(" id=\"{anchor}\"")), "{key}: {anchor}");
    }
}

#[rstest]
#[case("", None)]
#[case("gzip", Some("gzip"))]
#[case("gzip, deflate, br, zstd", Some("br"))]
#[case("zstd", Some("zstd"))]
#[tokio::test]
async fn assets_are_immutable_and_compressed(#[case] accepted: &str, #[case] encoding: Option<&str>) {
    let setup = Setup::new(tiny()).await;
    let page = page(&setup).await;

    for (end, media_type) in [("app.js", "text/javascript; charset=utf-8"), ("style.css", "text/css; charset=utf-8")] {
        let address = format!("{}/{}", setup.base, asset(&page, end));
        // A client that does not decompress.
        let http = reqwest::Client::builder().no_gzip().build().unwrap();
        let response = http.get(&address).header("accept-encoding", accepted).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers["content-type"], media_type);
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(headers.get("content-encoding").map(|name| name.to_str().unwrap()), encoding);
    }
}

#[tokio::test]
async fn an_asset_of_another_version_is_not_found() {
    let setup = Setup::new(tiny()).await;
    let address = asset(&page(&setup).await, "app.js");
    let version = address.split('/').nth(1).unwrap();

    for missing in [
        address.replace(version, "older"),
        address.replace("app.js", "none.js"),
        address.replace("app.js", "index.html"),
    ] {
        let response = setup.get(&format!("/{missing}")).await;
        assert_eq!((response.status, &response.problem()["code"]), (StatusCode::NOT_FOUND, &"not_found".into()));
        assert_eq!(response.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn the_page_is_revalidated() {
    let setup = Setup::new(tiny()).await;
    let first = page(&setup).await;
    assert_eq!(first.headers["cache-control"], "no-cache");
    let revalidate = |etag: &str| {
        let request = setup.http.get(format!("{}/", setup.base)).header("accept", BROWSER);
        send(request.header("if-none-match", etag.to_owned()))
    };

    let current = revalidate(first.headers["etag"].to_str().unwrap()).await;
    let other = revalidate("\"other\"").await;

    assert_eq!((current.status, current.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(policy(&current), policy(&first));
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn the_page_needs_no_key_but_the_host_is_checked() {
    let guarded = GuardedGateway::new(tiny(), &[Key::new("reader", &[Scope::ReportsRead])]).await;
    let open = Setup::new(tiny()).await;
    let request = |base: &str| open.http.get(format!("{base}/")).header("accept", BROWSER);

    assert_eq!(send(guarded.request(reqwest::Method::GET, "/").header("accept", BROWSER)).await.status, StatusCode::OK);
    let rebound = send(request(&open.base).header("host", "pulse.example.com")).await;
    let framed =
        send(request(&open.base).header("sec-fetch-site", "cross-site").header("sec-fetch-dest", "iframe")).await;

    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(framed.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_public_path_gets_a_slash_at_its_end() {
    let public_url = Some("https://bi.example.com/pulse".parse().unwrap());
    let setup = Setup::with(tiny(), |config| config.public_url = public_url).await;
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let get = |path: &str| send(http.get(format!("{}{path}", setup.base)).header("accept", BROWSER));

    let bare = get("/pulse?lang=en").await;
    let page = get("/pulse/").await;

    assert_eq!(
        (bare.status, &bare.headers["location"]),
        (StatusCode::PERMANENT_REDIRECT, &"/pulse/?lang=en".parse().unwrap())
    );
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(get(&format!("/pulse/{}", asset(&page, "app.js"))).await.status, StatusCode::OK);
}
