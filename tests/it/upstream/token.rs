//! Access token: it is shared by all calls, and wrong credentials cause only one token request.

use std::time::Duration;

use feishu_pulse::{
    feishu::{
        http::HttpClient,
        token::{AppCredentials, TokenCache},
    },
    model::UserIdType,
};
use feishu_simulator::{AccessTokenStyle, FaultKind, FaultTarget, InjectedFault, SimulatorConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;
use rstest::rstest;

use crate::support::{
    Setup,
    truth::{served_rows, true_rows},
};

const DAY: &str = "start_date=2026-11-10&end_date=2026-11-10";

/// Five pages per day.
fn simulation() -> SimulatorConfig {
    SimulatorConfig { users: 300, days: 60, turnover: 0.0, ..SimulatorConfig::default() }
}

fn expected_rows(setup: &Setup) -> Vec<serde_json::Value> {
    true_rows(setup, setup.home(), "2026-11-10", "2026-11-10", UserIdType::OpenId)
}

fn token_calls(setup: &Setup) -> usize {
    setup.simulator.call_log().token_calls().len()
}

/// The numbers of the requested pages, in order.
fn requested_pages(setup: &Setup) -> Vec<usize> {
    setup.simulator.call_log().stats_calls().iter().filter_map(|call| call.page).collect()
}

#[rstest]
#[tokio::test]
async fn concurrent_requests_share_one_token_of_any_format_and_lifetime(
    #[values(7200, 7140, 1801, 60)] life: u64,
    #[values(AccessTokenStyle::Short, AccessTokenStyle::Jwt)] access_token_style: AccessTokenStyle,
) {
    let (token_ttl, latency) = (Duration::from_secs(life), Duration::from_millis(5));
    let setup = Setup::new(SimulatorConfig { token_ttl, access_token_style, latency, ..simulation() }).await;
    let path = |day: usize| format!("/v1/user-days?start_date=2026-11-{day}&end_date=2026-11-{day}");

    let answers = join_all((10..20).map(async |day| setup.get(&path(day)).await.status)).await;

    assert_eq!(answers, [StatusCode::OK; 10]);
    assert_eq!(token_calls(&setup), 1);
}

#[tokio::test]
async fn a_token_that_expires_during_a_chain_is_replaced() {
    // Ten days of five pages at 40 ms take 2 s; a token expires after 1 s.
    let (token_ttl, latency) = (Duration::from_secs(1), Duration::from_millis(40));
    let setup = Setup::new(SimulatorConfig { token_ttl, latency, ..simulation() }).await;

    let response_rows = served_rows(&setup, "start_date=2026-11-01&end_date=2026-11-10").await;

    assert_eq!(response_rows, true_rows(&setup, setup.home(), "2026-11-01", "2026-11-10", UserIdType::OpenId));
    assert!(token_calls(&setup) >= 2);
}

#[tokio::test]
async fn a_token_revoked_during_a_chain_costs_one_new_token_and_one_call() {
    let setup = Setup::new(simulation()).await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::RejectAccessToken).on(FaultTarget::LaterPages).after(1));

    let response_rows = served_rows(&setup, DAY).await;

    assert_eq!(response_rows, expected_rows(&setup));
    assert_eq!(requested_pages(&setup), [1, 2, 3, 3, 4, 5]);
    assert_eq!(token_calls(&setup), 2);
}

#[tokio::test]
async fn parallel_chains_with_a_revoked_token_request_one_new_token() {
    let setup = Setup::new(SimulatorConfig { users: 600, latency: Duration::from_millis(5), ..simulation() }).await;
    setup.get(&format!("/v1/user-days?{DAY}")).await.json();
    setup.simulator.revoke_access_tokens();

    let answer = setup.get("/v1/reports/activity?start_date=2026-10-11&end_date=2026-11-09").await;

    let first_pages = requested_pages(&setup).iter().filter(|page| **page == 1).count();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(first_pages > 5, "{first_pages} chains, expected more than 5");
    assert_eq!(token_calls(&setup), 2);
}

#[rstest]
#[case(10_003)]
#[case(10_014)]
#[case(10_015)]
#[tokio::test]
async fn rejected_credentials_cause_one_token_request_and_a_clear_problem(#[case] code: i64) {
    let setup = Setup::new(simulation()).await;
    setup
        .simulator
        .faults()
        .push(InjectedFault::new(FaultKind::error_code(code)).on(FaultTarget::Token).times(u32::MAX));
    let path = format!("/v1/user-days?{DAY}");

    let mut answers = join_all((0..10).map(|_| setup.get(&path))).await;
    for _ in 0..10 {
        answers.push(setup.get(&path).await);
    }

    for answer in &answers {
        let problem = answer.problem();
        assert_eq!((answer.status, problem["code"].as_str()), (StatusCode::BAD_GATEWAY, Some("upstream_unauthorized")));
        assert_eq!(problem["upstream_code"], code);
        assert!(problem["upstream_log_id"].is_string());
        assert!(problem["retry_after"].as_u64().is_some_and(|seconds| (1..=30).contains(&seconds)), "{problem}");
    }
    assert_eq!((token_calls(&setup), setup.upstream_calls()), (1, 0));
}

#[tokio::test]
async fn the_problem_for_a_wrong_secret_does_not_contain_the_secret() {
    let setup = Setup::with(simulation(), |config| config.feishu.credentials.app_secret = "hush-hush".into()).await;

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.problem()["upstream_code"], 10_014);
    assert!(!answer.text.contains("hush-hush") && !answer.text.contains("cli_demo"), "{}", answer.text);
}

#[tokio::test]
async fn a_token_that_is_always_rejected_is_requested_only_twice() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::RejectAccessToken).times(u32::MAX));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.problem()["code"], "upstream_unauthorized");
    assert_eq!((token_calls(&setup), setup.upstream_calls()), (2, 2));
}

#[tokio::test]
async fn a_token_request_that_fails_temporarily_is_retried() {
    let setup = Setup::new(simulation()).await;
    setup.simulator.faults().push(InjectedFault::new(FaultKind::Html { status: 502 }).on(FaultTarget::Token));
    setup.simulator.faults().push(InjectedFault::new(FaultKind::CloseWithoutReply).on(FaultTarget::Token));

    let answer = setup.get(&format!("/v1/user-days?{DAY}")).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(token_calls(&setup), 3);
}

#[tokio::test]
async fn only_the_rejected_token_is_dropped() {
    let setup = Setup::new(simulation()).await;
    let http = HttpClient::new(setup.simulator.base_url().parse().unwrap(), Duration::from_secs(5)).unwrap();
    let SimulatorConfig { app_id, app_secret, .. } = setup.simulator.config().clone();
    let tokens = TokenCache::new(http, AppCredentials { app_id, app_secret: app_secret.into() });
    let old = tokens.current().await.unwrap();
    setup.simulator.revoke_access_tokens();
    tokens.reject(&old);
    let new = tokens.current().await.unwrap();

    // A call that used the old token receives its rejection late.
    tokens.reject(&old);
    let after = tokens.current().await.unwrap();

    assert_ne!(old.expose(), new.expose());
    assert_eq!(after.expose(), new.expose());
    assert_eq!(token_calls(&setup), 2);
}
