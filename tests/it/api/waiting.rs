//! Waiting: how long a request waits for data, and the responses if the data is not ready in time.

use std::time::Duration;

use crate::support::{ApiResponse, Setup, day, eventually};
use feishu_simulator::{FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;

const MONTH: &str = "/v1/reports/activity?start_date=2026-10-01&end_date=2026-10-31";

/// A simulated upstream with 1 s of latency for each of the 26 pages of a month.
async fn slow() -> Setup {
    Setup::new(SimulatorConfig { users: 50, latency: Duration::from_secs(1), ..SimulatorConfig::default() }).await
}

async fn get(setup: &Setup, prefer: &str) -> ApiResponse {
    let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("Prefer", prefer);
    ApiResponse::read(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn a_wait_that_is_too_short_gets_503_with_retry_after() {
    let setup = slow().await;

    let answer = get(&setup, "wait=1").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem()["code"], "not_ready_in_time");
    assert_eq!(answer.headers["preference-applied"], "wait=1");
    let retry_after: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert_eq!(answer.problem()["retry_after"], retry_after);
}

#[tokio::test]
async fn cached_days_are_returned_without_waiting() {
    let setup = Setup::new(SimulatorConfig { users: 50, ..SimulatorConfig::default() }).await;
    setup.get(MONTH).await.json();

    let answer = get(&setup, "wait=0").await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["preference-applied"], "wait=0");
}

#[tokio::test]
async fn a_partial_answer_has_the_days_that_are_held_and_tells_when_to_ask_again() {
    let setup = Setup::new(SimulatorConfig { users: 50, ..SimulatorConfig::default() }).await;
    setup.get("/v1/reports/activity?trailing=held&start_date=2026-10-20&end_date=2026-10-31").await.json();
    let delay = FaultKind::Delay(Duration::from_secs(4));
    setup.simulator.faults().push(InjectedFault::new(delay).on(FaultTarget::Stats));
    let partial = async |path: &str, prefer: &str| {
        let url = format!("{}{path}start_date=2026-10-18&end_date=2026-10-31&allow_partial=true", setup.base);
        ApiResponse::read(setup.http.get(url).header("Prefer", prefer).send().await.expect("an answer")).await
    };

    let paths = ["/v1/reports/activity?trailing=held&", "/v1/users?", "/v1/user-days?limit=1&"];
    let requests = paths.iter().flat_map(|path| ["wait=0", "wait=1", "respond-async"].map(|prefer| (*path, prefer)));
    for answer in join_all(requests.map(|(path, prefer)| partial(path, prefer))).await {
        let missing = &answer.json()["meta"]["days"]["missing"];
        let dates: Vec<_> = missing.as_array().expect("a list").iter().map(|day| &day["date"]).collect();
        assert_eq!(dates, ["2026-10-18", "2026-10-19"], "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        assert_eq!(answer.headers["cache-control"], "private, no-cache");
    }

    let whole = partial("/v1/users?", "wait=60").await;
    assert!(whole.json()["meta"]["days"]["missing"].as_array().expect("a list").is_empty());
    assert!(!whole.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn respond_async_returns_202_with_the_location_of_a_job() {
    let setup =
        Setup::new(SimulatorConfig { users: 50, latency: Duration::from_millis(300), ..SimulatorConfig::default() })
            .await;

    let accepted = get(&setup, "respond-async").await;

    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    assert_eq!(accepted.headers["cache-control"], "no-store");
    assert!(accepted.headers.contains_key("retry-after"));
    let job: serde_json::Value = serde_json::from_str(&accepted.text).expect("JSON");
    assert_eq!(job["question"], MONTH);
    let location = accepted.headers["location"].to_str().expect("a path").to_owned();
    let is_done = async || setup.get(&location).await.json()["state"] == "done";
    eventually(is_done).await;

    let calls = setup.upstream_calls();
    let answer = get(&setup, "respond-async").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("preference-applied"));
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn a_repeated_request_joins_the_running_job() {
    let setup = slow().await;

    let (first, second) = (get(&setup, "respond-async").await, get(&setup, "respond-async, wait=1").await);

    assert_eq!((first.status, second.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.headers["location"], second.headers["location"]);
    assert_eq!(second.headers["preference-applied"], "respond-async, wait=1");
    assert_eq!(setup.get("/v1/backfills").await.json()["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn respond_async_also_works_for_one_person() {
    let setup =
        Setup::new(SimulatorConfig { users: 50, latency: Duration::from_millis(300), ..SimulatorConfig::default() })
            .await;
    let user_id = setup.simulator.tenant().rows_of(setup.home(), day("2026-10-05").date())[0].open_id.clone();
    let url = format!("{}/v1/users/{user_id}?start_date=2026-10-01&end_date=2026-10-31", setup.base);
    let request_user = async || {
        let request = setup.http.get(&url).header("Prefer", "respond-async");
        ApiResponse::read(request.send().await.expect("an answer")).await
    };

    let accepted = request_user().await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    eventually(async || request_user().await.status == StatusCode::OK).await;

    assert!(setup.simulator.call_log().stats_calls().len() <= 2, "a month of one person needs one chain of one page");
}

#[tokio::test]
async fn a_faulty_request_gets_a_problem_for_any_accept_header() {
    let setup = slow().await;
    let request =
        setup.http.get(format!("{}/v1/reports/activity?period=soon", setup.base)).header("Accept", "image/png");

    let answer = ApiResponse::read(request.send().await.expect("an answer")).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.problem()["errors"][0]["parameter"], "period");
}
