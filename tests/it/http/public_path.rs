//! A gateway below a path of a reverse proxy.

use feishu_simulator::SimulatorConfig;
use reqwest::{StatusCode, redirect::Policy};
use rstest::rstest;

use crate::support::Setup;

async fn published() -> Setup {
    let simulation = SimulatorConfig { users: 5, days: 40, ..SimulatorConfig::default() };
    let public_url = Some("https://bi.example.com/pulse/".parse().unwrap());
    Setup::with(simulation, |config| config.public_url = public_url).await
}

#[rstest]
#[case::a_proxy_that_removes_the_path("")]
#[case::a_proxy_that_passes_the_path_on("/pulse")]
#[tokio::test]
async fn links_and_redirects_contain_the_public_path(#[case] path: &str) {
    let setup = published().await;
    let base = format!("{}{path}", setup.base);
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();

    let page = http.get(format!("{base}/v1/users?period=2d&limit=2")).send().await.unwrap();
    let link = page.headers()["link"].to_str().unwrap().to_owned();
    assert!(link.starts_with("</pulse/v1/users?"), "{link}");
    // A caller inside the network that follows the link.
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(http.get(format!("{}{next}", setup.base)).send().await.unwrap().status(), StatusCode::OK);

    let job = http.post(format!("{base}/v1/backfills?period=2d")).send().await.unwrap();
    let location = job.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("/pulse/v1/backfills/"), "{location}");

    let docs = http.get(format!("{base}/docs")).send().await.unwrap();
    assert_eq!(docs.headers()["location"], "/pulse/docs/");
    let document: serde_json::Value =
        http.get(format!("{base}/openapi.json")).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["servers"][0]["url"], "https://bi.example.com/pulse");
    let script = http.get(format!("{base}/docs/swagger-initializer.js")).send().await.unwrap().text().await.unwrap();
    assert!(script.contains("\"../openapi.json\""), "{script}");
}

#[tokio::test]
async fn a_base_url_with_a_trailing_slash_gets_feishus_answers() {
    let setup = Setup::new(SimulatorConfig { users: 5, days: 5, ..SimulatorConfig::default() }).await;

    for path in
        ["//open-apis/admin/v1/admin_user_stats?start_date=2026-11-20&end_date=2026-11-20", "//open-apis/none/such"]
    {
        let answer = setup.http.get(format!("{}{path}", setup.base)).send().await.unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert!(answer["code"].is_i64() && answer["msg"].is_string(), "{answer}");
    }
}
