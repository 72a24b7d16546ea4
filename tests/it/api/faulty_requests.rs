//! Faulty requests: the response lists all faults, and no call is made to Feishu.

use std::collections::BTreeSet;

use feishu_simulator::SimulatorConfig;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::Value;

use crate::support::{ApiResponse, Setup};

async fn setup() -> Setup {
    Setup::new(SimulatorConfig { users: 5, days: 10, ..SimulatorConfig::default() }).await
}

/// The parameters in the `errors` of a problem.
fn faulty_parameters(problem: &Value) -> BTreeSet<&str> {
    let errors = problem["errors"].as_array().expect("errors");
    errors.iter().map(|error| error["parameter"].as_str().expect("a name")).collect()
}

async fn send(setup: &Setup, method: Method, path: &str, headers: &[(&str, &str)]) -> ApiResponse {
    let request = setup.http.request(method, format!("{}{path}", setup.base));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    ApiResponse::read(request.send().await.expect("an answer")).await
}

/// Faults of the parameters that the data endpoints share.
#[rstest]
#[case::no_range("", &["start_date", "end_date"])]
#[case::half_a_range("start_date=2026-11-01", &["end_date"])]
#[case::no_such_day("start_date=2026-02-30&end_date=2026-11-01", &["start_date"])]
#[case::malformed_days("start_date=2026-11-1&end_date=20261102", &["start_date", "end_date"])]
#[case::backwards("start_date=2026-11-02&end_date=2026-11-01", &["end_date"])]
#[case::too_long("start_date=2010-01-01&end_date=2026-11-01", &["end_date"])]
#[case::no_such_period("period=fortnight", &["period"])]
#[case::nothing_of_a_period("period=0d", &["period"])]
#[case::both_ways("period=7d&start_date=2026-11-01", &["start_date"])]
#[case::no_such_geo("period=7d&geo=mars", &["geo"])]
#[case::a_geo_not_served("period=7d&geo=us", &["geo"])]
#[case::a_geo_twice("period=7d&geo=cn,cn", &["geo"])]
#[case::an_empty_geo("period=7d&geo=cn,", &["geo"])]
#[case::no_such_id_type("period=7d&user_id_type=email", &["user_id_type"])]
#[case::unknown("period=7d&colour=red", &["colour"])]
#[case::case_matters("Period=7d", &["Period", "start_date", "end_date"])]
#[case::twice("period=7d&period=30d", &["period"])]
#[case::empty("period=", &["period"])]
#[case::without_value("period", &["period"])]
#[case::not_utf8("period=7d&geo=%FF", &["geo"])]
#[case::a_control_character("period=7d&geo=cn%00", &["geo"])]
#[case::several("start_date=x&end_date=y&geo=mars&user_id_type=z&colour=red",
    &["start_date", "end_date", "geo", "user_id_type", "colour"])]
#[tokio::test]
async fn every_data_endpoint_reports_a_faulty_range(
    #[values("/v1/user-days", "/v1/reports/activity", "/v1/coverage")] path: &str,
    #[case] query: &str,
    #[case] faulty: &[&str],
) {
    let setup = setup().await;
    let without_range_is_fine = path == "/v1/coverage" && !query.contains("date") && !query.starts_with("period");
    let faulty = faulty.iter().copied().filter(|name| !(without_range_is_fine && name.ends_with("_date")));
    let faulty: BTreeSet<_> = faulty.collect();

    let answer = setup.get(&format!("{path}?{query}")).await;

    if faulty.is_empty() {
        assert_eq!(answer.status, StatusCode::OK);
    } else {
        assert_eq!(
            (answer.status, answer.problem()["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("invalid_parameters"))
        );
        assert_eq!(faulty_parameters(&answer.problem()), faulty, "{}", answer.text);
    }
    assert!(setup.simulator.call_log().calls().is_empty());
}

/// Faults of an endpoint's own parameters.
#[rstest]
#[case("/v1/user-days?period=7d&active=maybe", &["active"])]
#[case("/v1/user-days?period=7d&fields=salary", &["fields"])]
#[case("/v1/user-days?period=7d&fields=date,date", &["fields"])]
#[case("/v1/user-days?period=7d&fields=date,,geo", &["fields"])]
#[case("/v1/user-days?period=7d&limit=0", &["limit"])]
#[case("/v1/user-days?period=7d&limit=10001", &["limit"])]
#[case("/v1/user-days?period=7d&limit=many", &["limit"])]
#[case("/v1/user-days?period=7d&cursor=zzz", &["cursor"])]
#[case("/v1/user-days?period=7d&format=xml", &["format"])]
#[case("/v1/user-days?period=7d&format=ndjson&limit=5", &["limit"])]
#[case("/v1/user-days?period=7d&format=ndjson&cursor=zzz", &["cursor"])]
#[case("/v1/user-days?period=7d&interval=week", &["interval"])]
#[case("/v1/user-days?period=7d&sort=salary", &["sort"])]
#[case("/v1/user-days?period=7d&sort=-clients", &["sort"])]
#[case("/v1/user-days?period=7d&sort=date&cursor=zzz", &["cursor"])]
#[case("/v1/user-days?period=7d&department_id_type=department_id", &["department_id_type"])]
#[case("/v1/user-days?period=7d&trailing=held", &["trailing"])]
#[case("/v1/user-days?period=7d&department_id=", &["department_id"])]
#[case("/v1/user-days?period=7d&department_id=x&department_id_type=name", &["department_id_type"])]
#[case("/v1/user-days?period=7d&user_id=", &["user_id"])]
#[case("/v1/user-days?period=7d&allow_partial=yes", &["allow_partial"])]
#[case("/v1/reports/activity?period=7d&interval=year", &["interval"])]
#[case("/v1/reports/activity?period=7d&trailing=all", &["trailing"])]
#[case("/v1/reports/departments?period=7d&trailing=all&department_id_type=x", &["department_id_type", "trailing"])]
#[case("/v1/reports/activity?period=7d&format=xml", &["format"])]
#[case("/v1/users?period=7d&sort=-salary&inactive_for=soon", &["inactive_for", "sort"])]
#[case("/v1/users?period=7d&cursor=zzz&limit=0", &["limit", "cursor"])]
#[case("/v1/users/ou_1?period=7d&user_id=ou_2", &["user_id"])]
#[case("/v1/reports/departments?period=7d&depth=0&layout=round", &["depth", "layout"])]
#[case("/v1/reports/departments?period=7d&regular_days=8", &["regular_days"])]
#[case("/v1/reports/summary?period=7d&regular_days=0", &["regular_days"])]
#[case("/v1/reports/activity?period=7d&regular_days=2", &["regular_days"])]
#[case("/v1/reports/activity?period=2026-10&interval=week&regular_days=8", &["regular_days"])]
#[case("/v1/reports/departments?period=7d&layout=tree&format=csv", &["layout"])]
#[case("/v1/reports/retention?period=7d&interval=day", &["interval"])]
#[case("/v1/reports/movement?period=7d&interval=day&user_id=ou_1", &["interval", "user_id"])]
#[case("/v1/reports/movement?period=7d&department_id=od-1", &["department_id"])]
#[case("/v1/reports/summary?period=7d&bom=true", &["bom"])]
#[case("/v1/reports/activity?period=7d&limit=5&cursor=a", &["limit", "cursor"])]
#[case("/v1/reports/activity?period=7d&allow_partial=1&user_id=", &["allow_partial", "user_id"])]
#[case("/v1/coverage?user_id=ou_1&allow_partial=true", &["user_id", "allow_partial"])]
#[tokio::test]
async fn an_endpoint_reports_its_faulty_parameters(#[case] path: &str, #[case] faulty: &[&str]) {
    let setup = setup().await;

    let answer = setup.get(path).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert_eq!(faulty_parameters(&answer.problem()), faulty.iter().copied().collect(), "{}", answer.text);
    assert!(setup.simulator.call_log().calls().is_empty());
}

#[tokio::test]
async fn an_invalid_parameter_is_not_reported_as_missing() {
    let setup = setup().await;
    let long = "x".repeat(600);

    let answer = setup.get(&format!("/v1/user-days?start_date=%FF&end_date={long}")).await;

    let problem = answer.problem();
    let details: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["detail"].as_str()).collect();
    assert_eq!(details.len(), 2, "{problem}");
    assert!(details.iter().flatten().all(|detail| !detail.contains("missing")), "{problem}");
}

#[tokio::test]
async fn a_query_of_many_unknown_parameters_gets_a_short_response() {
    let setup = setup().await;

    let answer = setup.get(&format!("/v1/user-days?{}", "x&".repeat(4_000))).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text.len() < 20_000, "{} bytes", answer.text.len());
}

#[rstest]
#[case(Method::GET, "/v2", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/v1/user-days/", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::POST, "/v2", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/problems/unheard_of", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/problems/%FF", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/v1/users/%FF?period=7d", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/v1/backfills/%FF", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::GET, "/v1/backfills/%FF/events", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::DELETE, "/v1/backfills/%FF", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::DELETE, "/v1/days/%FF", StatusCode::NOT_FOUND, "not_found")]
#[case(Method::POST, "/v1/user-days", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")]
#[case(Method::DELETE, "/v1/reports/activity", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")]
#[case(Method::PUT, "/livez", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")]
#[case(Method::PATCH, "/openapi.json", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")]
#[tokio::test]
async fn unknown_paths_and_methods_are_problems(
    #[case] method: Method,
    #[case] path: &str,
    #[case] status: StatusCode,
    #[case] code: &str,
) {
    let setup = setup().await;

    let answer = send(&setup, method, path, &[]).await;

    assert_eq!((answer.status, answer.problem()["code"].as_str()), (status, Some(code)));
    assert_eq!(answer.headers["cache-control"], "no-store");
    if status == StatusCode::METHOD_NOT_ALLOWED {
        assert_eq!(answer.headers["allow"], "GET,HEAD");
    }
}

#[rstest]
#[case("/v1/user-days?period=7d", "text/html")]
#[case("/v1/user-days?period=7d", "application/json;q=0")]
#[case("/v1/reports/activity?period=7d", "application/xml, text/csv;q=0")]
#[tokio::test]
async fn an_unsupported_format_is_not_acceptable(#[case] path: &str, #[case] accept: &str) {
    let setup = setup().await;

    let answer = send(&setup, Method::GET, path, &[("accept", accept)]).await;

    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(answer.problem()["code"], "not_acceptable");
    assert_eq!(setup.upstream_calls(), 0);
}

#[tokio::test]
async fn the_type_of_a_problem_is_the_path_of_its_explanation() {
    let setup = setup().await;
    let problem = setup.get("/v1/user-days").await.problem();

    let page = setup.get(problem["type"].as_str().expect("a path")).await.json();

    assert_eq!(
        (&page["code"], &page["status"], &page["title"]),
        (&problem["code"], &problem["status"], &problem["title"])
    );
    assert!(page["cause"].is_string() && page["cure"].is_string());
}

#[rstest]
#[case::sound(Some("trace-7:a.b_c"), true)]
#[case::with_a_blank(Some("two words"), false)]
#[case::too_long(Some("0123456789012345678901234567890123456789012345678901234567890123456789"), false)]
#[case::none(None, false)]
#[tokio::test]
async fn every_response_has_a_request_id(#[case] sent: Option<&str>, #[case] is_adopted: bool) {
    let setup = setup().await;
    let headers: Vec<_> = sent.map(|id| ("x-request-id", id)).into_iter().collect();

    let valid = send(&setup, Method::GET, "/livez", &headers).await;
    let invalid = send(&setup, Method::GET, "/v1/user-days", &headers).await;

    let ids = [&valid, &invalid].map(|answer| answer.headers["x-request-id"].to_str().unwrap());
    assert!(ids.iter().all(|id| !id.is_empty() && (Some(*id) == sent) == is_adopted), "{ids:?}");
    assert_eq!(invalid.problem()["request_id"], ids[1]);
}

#[tokio::test]
async fn a_head_request_gets_headers_without_a_body() {
    let setup = setup().await;

    let valid = send(&setup, Method::HEAD, "/v1/coverage", &[]).await;
    let invalid = send(&setup, Method::HEAD, "/v1/user-days", &[]).await;

    assert_eq!((valid.status, invalid.status), (StatusCode::OK, StatusCode::BAD_REQUEST));
    assert_eq!(invalid.headers["content-type"], "application/problem+json");
    assert!(valid.text.is_empty() && invalid.text.is_empty());
}

#[tokio::test]
async fn an_error_of_a_library_is_a_problem_document() {
    let answer = setup().await.get("/docs/nothing").await;
    assert_eq!((answer.status, &answer.problem()["status"]), (StatusCode::NOT_FOUND, &404.into()));
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn responses_without_validators_are_not_stored() {
    let setup = setup().await;
    let no_store = "no-store".parse().expect("a header value");
    for path in ["/v1/coverage", "/v1/backfills", "/metrics"] {
        let response = setup.get(path).await;
        assert_eq!((response.status, &response.headers["cache-control"]), (StatusCode::OK, &no_store), "{path}");
    }
}
