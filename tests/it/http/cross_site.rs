//! Requests that a browser sends for a web page of another site.

use feishu_simulator::SimulatorConfig;
use reqwest::{Method, RequestBuilder, StatusCode};
use rstest::rstest;

use crate::{
    access::callers::{GuardedGateway, Key, send},
    http::hosts::with_operations_listener,
    support::{ApiResponse, Setup},
};

const BACKFILL: &str = "/v1/backfills?start_date=2026-11-01&end_date=2026-11-20";

fn small() -> SimulatorConfig {
    SimulatorConfig { users: 5, days: 40, ..SimulatorConfig::default() }
}

fn with_headers(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

fn assert_refused(response: &ApiResponse) {
    assert_eq!(response.status, StatusCode::FORBIDDEN, "{}", response.text);
    assert_eq!(response.problem()["code"], "cross_site_request");
}

// What browsers send with a form or `fetch(…, {mode: "no-cors", method: "POST"})` of another page.
#[rstest]
#[case::another_site(&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")])]
#[case::another_port(&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")])]
#[case::an_old_browser(&[("origin", "https://evil.example")])]
#[case::a_sandboxed_page(&[("origin", "null")])]
#[case::a_form_of_another_site(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")])]
#[tokio::test]
async fn a_page_of_another_site_starts_no_backfill(#[case] headers: &[(&str, &str)]) {
    let setup = Setup::new(small()).await;
    let post = setup.http.post(format!("{}{BACKFILL}", setup.base));

    assert_refused(&send(with_headers(post, headers)).await);

    let delete = setup.http.delete(format!("{}/v1/days/2026-11-18", setup.base));
    assert_refused(&send(with_headers(delete, headers)).await);
    let jobs = setup.get("/v1/backfills").await.json();
    assert_eq!((jobs["data"].as_array().map(Vec::len), setup.upstream_calls()), (Some(0), 0));
}

#[rstest]
#[case::no_browser(&[])]
#[case::an_own_page(&[("sec-fetch-site", "same-origin")])]
#[case::the_address_bar(&[("sec-fetch-site", "none")])]
#[case::an_allowed_page(&[("sec-fetch-site", "cross-site"), ("origin", "https://bi.example.com")])]
#[tokio::test]
async fn other_clients_and_allowed_pages_start_backfills(#[case] headers: &[(&str, &str)]) {
    let setup =
        Setup::with(small(), |config| config.cors_origins = vec!["https://bi.example.com".parse().unwrap()]).await;

    let post = setup.http.post(format!("{}{BACKFILL}", setup.base));

    assert_eq!(send(with_headers(post, headers)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_own_page_of_an_old_browser_starts_backfills() {
    let setup = Setup::new(small()).await;

    let post = setup.http.post(format!("{}{BACKFILL}", setup.base)).header("origin", &setup.base);

    assert_eq!(send(post).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn without_access_control_a_page_of_another_site_causes_no_calls_by_reading() {
    let setup = Setup::new(small()).await;
    let get = |path: &str, headers: &[(&str, &str)]| {
        send(with_headers(setup.http.get(format!("{}{path}", setup.base)), headers))
    };
    let image = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
    let frame = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

    for headers in [&image, &frame] {
        assert_refused(&get("/v1/user-days?period=30d", headers).await);
        let drop_in = get("/open-apis/admin/v1/admin_user_stats?start_date=2026-11-20&end_date=2026-11-20", headers);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&drop_in.await.text).unwrap()["code"], 1_051_002);
    }
    assert_eq!(setup.upstream_calls(), 0);
    assert_eq!(get("/docs/", &link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn with_access_control_pages_of_other_sites_may_read_but_not_change() {
    let key = Key::new("all", &[feishu_pulse::access::Scope::Admin]);
    let guarded = GuardedGateway::new(small(), std::slice::from_ref(&key)).await;
    let request = |method: Method, path: &str| {
        let request = guarded.request(method, path).bearer_auth(&key.secret);
        send(with_headers(request, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]))
    };

    assert_eq!(request(Method::GET, "/v1/coverage").await.status, StatusCode::OK);
    assert_refused(&request(Method::POST, BACKFILL).await);
}

#[tokio::test]
async fn a_page_of_another_site_does_not_change_the_log_filter() {
    let (setup, address) = with_operations_listener(&[]).await;

    let put = setup.http.put(format!("http://{address}/log-level")).body("off");

    assert_refused(&send(put.header("origin", "http://10.9.9.9")).await);
}
