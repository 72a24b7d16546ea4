//! How long callers wait, and what they are told when it takes longer.

use std::time::Duration;

use crate::support::{Answer, Setup, day, eventually};
use feishu_pulse::sim::SimConfig;
use reqwest::StatusCode;

const MONTH: &str = "/v1/reports/activity?start_date=2026-10-01&end_date=2026-10-31";

/// A Feishu that takes a second for each of a month's 26 pages.
async fn slow() -> Setup {
    Setup::new(SimConfig { users: 50, latency: Duration::from_secs(1), ..SimConfig::default() }).await
}

async fn get(setup: &Setup, prefer: &str) -> Answer {
    let request = setup.http.get(format!("{}{MONTH}", setup.base)).header("Prefer", prefer);
    Answer::read(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn a_caller_who_waits_less_is_told_when_to_come_back() {
    let setup = slow().await;

    let answer = get(&setup, "wait=1").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.problem()["code"], "not_ready_in_time");
    assert_eq!(answer.headers["preference-applied"], "wait=1");
    let retry_after: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert_eq!(answer.problem()["retry_after"], retry_after);
}

#[tokio::test]
async fn a_day_that_is_held_is_answered_without_any_wait() {
    let setup = Setup::new(SimConfig { users: 50, ..SimConfig::default() }).await;
    setup.get(MONTH).await.json();

    let answer = get(&setup, "wait=0").await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["preference-applied"], "wait=0");
}

#[tokio::test]
async fn a_caller_who_prefers_not_to_wait_is_told_where_to_follow_the_work() {
    let setup = Setup::new(SimConfig { users: 50, latency: Duration::from_millis(300), ..SimConfig::default() }).await;

    let accepted = get(&setup, "respond-async").await;

    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    assert_eq!(accepted.headers["preference-applied"], "respond-async");
    assert_eq!(accepted.headers["cache-control"], "no-store");
    assert!(accepted.headers.contains_key("retry-after"));
    let job: serde_json::Value = serde_json::from_str(&accepted.text).expect("JSON");
    assert_eq!(job["question"], MONTH);
    let location = accepted.headers["location"].to_str().expect("a path").to_owned();
    let at_last = async || setup.get(&location).await.json()["state"] == "done";
    eventually(at_last).await;

    let calls = setup.upstream_calls();
    let answer = get(&setup, "respond-async").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("preference-applied"));
    assert_eq!(setup.upstream_calls(), calls);
}

#[tokio::test]
async fn asking_again_while_the_work_goes_on_begins_no_other() {
    let setup = slow().await;

    let (first, second) = (get(&setup, "respond-async").await, get(&setup, "respond-async, wait=1").await);

    assert_eq!((first.status, second.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.headers["location"], second.headers["location"]);
    assert_eq!(second.headers["preference-applied"], "respond-async, wait=1");
    assert_eq!(setup.get("/v1/backfills").await.json()["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_question_about_one_person_is_followed_in_the_same_way() {
    let setup = Setup::new(SimConfig { users: 50, latency: Duration::from_millis(300), ..SimConfig::default() }).await;
    let user_id = setup.simulator.tenant().rows_of(setup.home(), day("2026-10-05"))[0].open_id.clone();
    let question = format!("{}/v1/users/{user_id}?start_date=2026-10-01&end_date=2026-10-31", setup.base);
    let ask = async || {
        let request = setup.http.get(&question).header("Prefer", "respond-async");
        Answer::read(request.send().await.expect("an answer")).await
    };

    let accepted = ask().await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    eventually(async || ask().await.status == StatusCode::OK).await;

    assert!(setup.simulator.ledger().stats_calls().len() <= 2, "a month of one person is one chain of one page");
}

#[tokio::test]
async fn a_faulty_request_is_told_its_faults_whatever_it_accepts() {
    let setup = slow().await;
    let request =
        setup.http.get(format!("{}/v1/reports/activity?period=soon", setup.base)).header("Accept", "image/png");

    let answer = Answer::read(request.send().await.expect("an answer")).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.problem()["errors"][0]["parameter"], "period");
}
