//! Drop-in API: every error has Feishu's code, status and JSON format.

use std::time::Duration;

use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    drop_in::sdk::{STATS_PATH, Sdk, TOKEN_PATH, error_of},
    support::{ApiResponse, Setup, eventually},
};

const DAY_20: &str = "start_date=2026-11-20&end_date=2026-11-20";

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 20, days: 40, ..SimulatorConfig::default() }).await
}

async fn send(setup: &Setup, method: Method, path: &str, token: Option<&str>) -> ApiResponse {
    let request = setup.http.request(method, format!("{}{path}", setup.base));
    let request = token.into_iter().fold(request, |request, value| request.header("Authorization", value));
    ApiResponse::read(request.send().await.expect("an answer")).await
}

#[rstest]
#[case::no_days("", "start_date")]
#[case::half_a_range("start_date=2026-11-01", "end_date")]
#[case::an_empty_day("start_date=&end_date=2026-11-02", "start_date")]
#[case::a_day_without_leading_zeros("start_date=2026-11-1&end_date=2026-11-02", "start_date")]
#[case::no_such_day("start_date=2026-02-01&end_date=2026-02-30", "end_date")]
#[case::backwards("start_date=2026-11-02&end_date=2026-11-01", "end_date")]
#[case::thirty_two_days("start_date=2026-10-01&end_date=2026-11-01", "end_date")]
#[case::an_empty_page("start_date=2026-11-01&end_date=2026-11-01&page_size=0", "page_size")]
#[case::a_large_page("start_date=2026-11-01&end_date=2026-11-01&page_size=61", "page_size")]
#[case::no_number("start_date=2026-11-01&end_date=2026-11-01&page_size=ten", "page_size")]
#[case::no_such_user_id_type("start_date=2026-11-01&end_date=2026-11-01&user_id_type=email", "user_id_type")]
#[case::no_such_department_id_type(
    "start_date=2026-11-01&end_date=2026-11-01&department_id_type=od",
    "department_id_type"
)]
#[case::no_such_geo("start_date=2026-11-01&end_date=2026-11-01&target_geo=de", "target_geo")]
#[case::no_page_token("start_date=2026-11-01&end_date=2026-11-01&page_token=2", "page_token")]
#[tokio::test]
async fn an_invalid_parameter_gets_feishus_error_and_makes_no_call(#[case] query: &str, #[case] field: &str) {
    let setup = setup().await;

    let ours = Sdk::of_gateway(&setup).await.get_stats(query, &[]).await;
    let calls = setup.upstream_calls();
    let of_feishu = Sdk::of_simulator(&setup).await.get_stats(query, &[]).await;

    assert_eq!(error_of(&ours), (StatusCode::INTERNAL_SERVER_ERROR, 1_051_001, Some(field.to_owned())));
    assert_eq!(error_of(&ours), error_of(&of_feishu));
    assert_eq!(calls, 0);
}

#[tokio::test]
async fn a_geo_that_is_not_served_is_an_authority_error() {
    let setup = setup().await;

    let answer = Sdk::of_gateway(&setup).await.get_stats(&format!("{DAY_20}&target_geo=us"), &[]).await;

    assert_eq!(error_of(&answer), (StatusCode::BAD_REQUEST, 1_051_002, Some("target_geo".to_owned())));
}

#[rstest]
#[case::none(None, 99_991_661)]
#[case::empty(Some("Bearer "), 99_991_661)]
#[case::another_scheme(Some("Basic YTpi"), 99_991_663)]
#[case::made_up(Some("Bearer t-7f1bcd13fc57d46bac21793a18e560"), 99_991_663)]
#[case::not_text(Some("Bearer \u{fe}"), 99_991_663)]
#[tokio::test]
async fn a_request_without_a_valid_token_is_rejected(#[case] header: Option<&str>, #[case] code: i64) {
    let setup = setup().await;

    let answer = send(&setup, Method::GET, &format!("{STATS_PATH}?{DAY_20}"), header).await;

    assert_eq!(error_of(&answer), (StatusCode::BAD_REQUEST, code, None));
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn tokens_of_feishu_and_of_the_gateway_are_not_interchangeable() {
    let setup = setup().await;
    let (ours, of_feishu) = (Sdk::of_gateway(&setup).await, Sdk::of_simulator(&setup).await);
    let stats = format!("{STATS_PATH}?{DAY_20}");

    let answer = send(&setup, Method::GET, &stats, Some(&format!("Bearer {}", of_feishu.token))).await;
    let other = ours.with_base_url(setup.simulator.base_url()).get_stats(DAY_20, &[]).await;

    assert_eq!(error_of(&answer).1, 99_991_663);
    assert_eq!(error_of(&other).1, 99_991_663);
}

#[tokio::test]
async fn a_token_is_valid_for_two_hours() {
    let setup = setup().await;
    let sdk = Sdk::of_gateway(&setup).await;

    setup.set_time("2026-11-22T05:59:59Z");
    let before = sdk.get_stats(DAY_20, &[]).await;
    setup.set_time("2026-11-22T06:00:00Z");
    let after = sdk.get_stats(DAY_20, &[]).await;

    assert_eq!(before.status, StatusCode::OK);
    assert_eq!(error_of(&after), (StatusCode::BAD_REQUEST, 99_991_663, None));
}

#[rstest]
#[case::nothing("", 400, 10_003)]
#[case::no_json("app_id=a&app_secret=b", 400, 10_003)]
#[case::another_shape("[]", 400, 10_003)]
#[case::a_number(r#"{"app_id":1,"app_secret":"b"}"#, 400, 10_003)]
#[case::no_app("{}", 400, 10_003)]
#[case::a_blank_app(r#"{"app_id":" ","app_secret":"b"}"#, 400, 10_003)]
#[case::no_secret(r#"{"app_id":"a"}"#, 200, 10_014)]
#[case::a_blank_secret(r#"{"app_id":"a","app_secret":" "}"#, 200, 10_014)]
#[tokio::test]
async fn malformed_credentials_get_feishus_error(#[case] body: &'static str, #[case] status: u16, #[case] code: i64) {
    let setup = setup().await;

    let reply = setup.http.post(format!("{}{TOKEN_PATH}", setup.base)).body(body).send().await.expect("an answer");

    let answer = ApiResponse::read(reply).await;
    assert_eq!((error_of(&answer).0.as_u16(), error_of(&answer).1), (status, code));
    assert!(!answer.text.contains("tenant_access_token"));
}

#[tokio::test]
async fn a_too_large_body_is_rejected_in_feishus_format() {
    let setup = setup().await;
    let body = vec![b' '; 3 << 20];

    let reply = setup.http.post(format!("{}{TOKEN_PATH}", setup.base)).body(body).send().await.expect("an answer");

    assert_eq!(error_of(&ApiResponse::read(reply).await).1, 1_051_001);
}

#[rstest]
#[case::a_missing_scope(99_991_672, 400, 99_991_672)]
#[case::outside_the_data_range(1_051_002, 400, 1_051_002)]
#[case::another_apps_id(99_992_361, 400, 99_992_361)]
#[case::an_invalid_parameter(1_051_001, 500, 1_051_001)]
#[case::a_spent_quota(99_991_403, 429, 99_991_403)]
#[case::a_failure(2200, 500, 2200)]
#[case::a_disabled_app(11_210, 400, 11_210)]
#[tokio::test]
async fn an_error_of_feishu_is_passed_on_with_its_log_id(
    #[case] of_feishu: i64,
    #[case] status: u16,
    #[case] code: i64,
) {
    let setup = setup().await;
    let sdk = Sdk::of_gateway(&setup).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::error_code(of_feishu)).times(u32::MAX));

    let answer = sdk.get_stats(DAY_20, &[]).await;

    assert_eq!((error_of(&answer).0.as_u16(), error_of(&answer).1), (status, code));
    assert_ne!(answer.headers["x-tt-logid"], answer.headers["x-request-id"]);
    assert_eq!(answer.headers.contains_key("x-ogw-ratelimit-reset"), status == 429);
}

#[tokio::test]
async fn wrong_app_credentials_are_an_internal_error_for_the_caller() {
    let setup = setup().await;
    let sdk = Sdk::of_gateway(&setup).await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::error_code(10_014)).on(FaultTarget::Token).times(u32::MAX));

    let answer = sdk.get_stats(DAY_20, &[]).await;

    assert_eq!(error_of(&answer), (StatusCode::INTERNAL_SERVER_ERROR, 2200, None));
}

#[tokio::test]
async fn a_fetch_that_exceeds_the_timeout_is_a_rate_limit_error_with_an_estimate_and_continues() {
    let simulation = SimulatorConfig { users: 50, latency: Duration::from_millis(300), ..SimulatorConfig::default() };
    let setup = Setup::with(simulation, |config| config.request_timeout = Duration::from_millis(100)).await;
    let sdk = Sdk::of_gateway(&setup).await;

    let first = sdk.get_stats(DAY_20, &[]).await;
    let reset: u64 = first.headers["x-ogw-ratelimit-reset"].to_str().unwrap().parse().expect("seconds");
    eventually(async || sdk.get_stats(DAY_20, &[]).await.status == StatusCode::OK).await;
    let answer = sdk.get_stats(DAY_20, &[]).await;

    assert_eq!(error_of(&first), (StatusCode::TOO_MANY_REQUESTS, 99_991_400, None));
    assert!((1..=60).contains(&reset), "{reset}");
    assert_eq!(answer.json()["code"], 0);
}

#[rstest]
#[case::another_api(Method::GET, "/open-apis/contact/v3/users", 404)]
#[case::no_api(Method::GET, "/open-apis/", 404)]
#[case::another_method(Method::POST, STATS_PATH, 405)]
#[case::a_token_request_with_get(Method::GET, TOKEN_PATH, 405)]
#[tokio::test]
async fn unknown_paths_and_methods_get_an_error_in_json(
    #[case] method: Method,
    #[case] path: &str,
    #[case] status: u16,
) {
    let setup = setup().await;

    let answer = send(&setup, method, path, None).await;

    assert_eq!((error_of(&answer).0.as_u16(), error_of(&answer).1), (status, status.into()));
    assert!(answer.headers["content-type"].to_str().is_ok_and(|kind| kind.starts_with("application/json")));
}

#[tokio::test]
async fn paths_outside_the_drop_in_api_get_problem_documents() {
    let setup = setup().await;

    let answer = send(&setup, Method::GET, "/open-api/", None).await;

    assert_eq!(answer.problem()["code"], "not_found");
    assert!(!answer.headers.contains_key("x-tt-logid"));
}

#[tokio::test]
async fn an_error_has_feishus_format() {
    let setup = setup().await;

    let answer =
        Sdk::of_gateway(&setup).await.get_stats(&format!("{DAY_20}&page_size=61"), &[("x-request-id", "r1")]).await;

    let body: Value = serde_json::from_str(&answer.text).unwrap();
    let description = "is not a whole number from 1 to 60";
    assert_eq!(
        body,
        json!({
            "code": 1_051_001, "msg": format!("request contain invalid param: page_size {description}"),
            "error": { "log_id": "r1", "field_violations": [{ "field": "page_size", "description": description }] },
        })
    );
}
